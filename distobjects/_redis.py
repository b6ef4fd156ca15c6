"""The clients: the only file that imports redis, and fakeredis. Opens our own, and says what a user's can do."""

from __future__ import annotations

import inspect
import socket
from importlib.metadata import version
from typing import Any, cast

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import Unsupported

_PLAIN = ("Connection", "UnixDomainSocketConnection")
_FAILURES = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)


def failures(client: Any) -> tuple[type[Exception], ...]:
    """Return what a client of this kind raises: valkey-py has a root of its own."""
    if type(client).__module__.partition(".")[0] != "valkey":
        return _FAILURES
    import valkey.exceptions  # pyright: ignore[reportMissingImports]  # only there when the user hands such a client over

    return (valkey.exceptions.ValkeyError, *_FAILURES)


def where(client: Any) -> str:
    """Name the server that a client talks to, without credentials."""
    if type(client).__module__.startswith("fakeredis"):
        return "memory"
    pool = getattr(client, "connection_pool", None)
    if service := getattr(pool, "service_name", None):
        return f"sentinel://{service}"
    if nodes := getattr(getattr(client, "nodes_manager", None), "startup_nodes", None):
        return f"cluster://{next(iter(nodes))}"
    return _place(pool)


def _place(pool: Any) -> str:
    options: dict[str, Any] = getattr(pool, "connection_kwargs", None) or {}
    if "path" in options:
        return f"unix://{options['path']}"
    scheme = "rediss" if "SSL" in getattr(pool, "connection_class", object).__name__ else "redis"
    return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db') or 0}"


def has_own_pool(client: Any) -> bool:
    """Say whether the client's connections can be driven by hand."""
    pool = getattr(client, "connection_pool", None)
    bases: tuple[type, ...] = getattr(getattr(pool, "connection_class", None), "__mro__", ())
    homes = {base.__module__.partition(".")[0] for base in bases}
    driven = bool(homes & {"redis", "valkey"}) and "fakeredis" not in homes
    return driven and hasattr(pool, "get_connection") and getattr(pool, "cache", None) is None


def plain_socket(connection: Any) -> socket.socket | None:
    """Return the socket of a connection whose bytes may be sent and received without it; None where they may not.

    A class of its own, such as Sentinel's or TLS's, does more than that with them, and so does a socket of gevent's.
    """
    kind = cast(Any, type(connection))
    plain = kind.__module__ in ("redis.connection", "valkey.connection") and kind.__name__ in _PLAIN
    stream: Any = connection._sock if plain else None
    return stream if type(stream).__module__ == "socket" else None


def can_be_shared(pool: Any) -> bool:
    """Say whether a connection of an asyncio pool may be kept: never the only one, for the pool is the user's, too."""
    return getattr(pool, "max_connections", 1) > 1


def is_stale(pool: Any, connection: Any, idle_seconds: float) -> bool:
    """Say whether redis-py would renew a connection that is kept, or look whether it is well, if it had it back."""
    if getattr(connection, "_should_reconnect", False) or getattr(connection, "_re_auth_token", None) is not None:
        return True
    if 0 < connection.health_check_interval < idle_seconds:
        return True
    master = getattr(pool, "master_address", None)  # of a Sentinel's pool, which has heard of a failover meanwhile
    return master is not None and bool(pool.is_master) and master != (connection.host, connection.port)


def response_error(message: str) -> redis.ResponseError:
    """Make redis-py's error for an error reply that it has not read itself."""
    return redis.ResponseError(message)


def lone_connection(client: Any) -> Any:
    """Make a connection like those of the client's pool, but outside of it and over RESP2. No I/O.

    It tries nothing twice and checks its health never: whoever has it does both.
    """
    pool = client.connection_pool
    settings: dict[str, Any] = pool.connection_kwargs
    kept = {name: value for name, value in settings.items() if not name.startswith(("retry", "maint_notifications"))}
    return pool.connection_class(**kept | {"protocol": 2, "decode_responses": False, "health_check_interval": 0})


def cannot_hear(where: str, what: str) -> Unsupported:
    """Make the error for a near cache before a store that tells nobody what changes."""
    return Unsupported(
        f"{where}: near= needs a server that tells what changes, over a connection of its own, and this is {what}; "
        "leave near= out, or connect to one Redis (6 or later) or Valkey by its URL"
    )


def is_cluster(client: Any) -> bool:
    """Say whether the client routes commands to the nodes of a cluster."""
    return hasattr(client, "get_node_from_key")


def lease_arguments(pool: Any) -> tuple[str, ...]:
    """Before redis-py 5.3, and in valkey-py, `get_connection` needs the name of a command, for nothing."""
    parameter = inspect.signature(pool.get_connection).parameters.get("command_name")
    return ("_",) if parameter is not None and parameter.default is inspect.Parameter.empty else ()


def is_asyncio(client: Any) -> bool:
    """Say whether the client's methods are to be awaited."""
    return (
        inspect.iscoroutinefunction(getattr(client, "execute_command", None)) or ".asyncio" in type(client).__module__
    )


def open_client(url: str, *, connect_seconds: float, operation_seconds: float) -> redis.Redis:
    """Make a client of our own: a blocking pool, redis-py's retries and maintenance notifications off."""
    options = _options(redis.Connection, connect_seconds, operation_seconds)
    pool = cast(Any, redis.BlockingConnectionPool).from_url(
        _redis_url(url), timeout=operation_seconds, retry=Retry(NoBackoff(), 0), **options
    )
    _refuse_bad_options(pool)
    return redis.Redis(connection_pool=pool)


def open_async_client(url: str, *, connect_seconds: float, operation_seconds: float) -> redis.asyncio.Redis:
    """The twin of `open_client` for asyncio."""
    options = _options(redis.asyncio.Connection, connect_seconds, operation_seconds)
    pool = cast(Any, redis.asyncio.BlockingConnectionPool).from_url(
        _redis_url(url), timeout=operation_seconds, retry=AsyncRetry(NoBackoff(), 0), **options
    )
    _refuse_bad_options(pool)
    return redis.asyncio.Redis(connection_pool=pool)


def _refuse_bad_options(pool: Any) -> None:
    """Say now, not at the first command, what no connection would take in the URL's query. No I/O."""
    try:
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, redis.RedisError) as error:
        raise ValueError(f"the URL of {_place(pool)} has an option that redis-py refuses: {error}") from error


def _redis_url(url: str) -> str:
    """redis-py does not know the schemes of Valkey."""
    scheme, colon, rest = url.partition("://")
    return {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme) + colon + rest


def _options(connection: type[Any], connect_seconds: float, operation_seconds: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": operation_seconds,
        "max_connections": 64,
        "protocol": 2,  # every server speaks it
        "lib_name": "distobjects",
        "lib_version": version("distobjects"),
    }
    known = {name for base in connection.__mro__ for name in inspect.signature(base).parameters}
    if "driver_info" in known:
        options["driver_info"] = redis.DriverInfo().add_upstream_driver("distobjects", options["lib_version"])
        del options["lib_name"], options["lib_version"]
    if "maint_notifications_config" in known:  # they would switch off the check for replies that nobody has read
        from redis.maint_notifications import MaintNotificationsConfig

        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return options


_memory_servers: dict[str, Any] = {}


def open_memory(name: str, *, asynchronous: bool) -> Any:
    """Make a client of the in-process store of this name: fakeredis, gone with the process."""
    import fakeredis

    server = _memory_servers.setdefault(name, fakeredis.FakeServer())
    return fakeredis.FakeAsyncRedis(server=server) if asynchronous else fakeredis.FakeRedis(server=server)


def refuse_other(client: Any) -> None:
    if not callable(getattr(client, "execute_command", None)):
        raise TypeError(f"{type(client).__name__} is no Redis client; connect() takes a URL")
