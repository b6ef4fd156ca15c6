"""The redis-py adapter: the only file that imports redis. Sends asks, hands back raw replies, translates errors.

Two ways to the server, with the same results:

* a connection of the client's own pool, driven by hand: our own packing, bytes whatever `decode_responses` says, and
  none of redis-py's command retries, which would apply a write twice when only its reply was lost;
* the client's `execute_command`, where it has no such pool (Cluster, fakeredis, a client-side cache, foreign clients).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ._flow import Argument, Ask, Command, NoScript, WrongType
from ._retry import Lost
from .errors import (
    AccessDenied,
    DistObjectsError,
    OutOfMemory,
    ReadOnly,
    StoreBusy,
    StoreUnavailable,
    Unsupported,
)

# ---- errors

# By class name, not by class: valkey-py has the same ones under another roof. The first that fits counts.
_BY_CLASS: Sequence[tuple[str, type[DistObjectsError]]] = (
    ("NoScriptError", NoScript),
    ("AuthenticationError", AccessDenied),
    ("AuthorizationError", AccessDenied),
    ("NoPermissionError", AccessDenied),
    ("ReadOnlyError", ReadOnly),
    ("OutOfMemoryError", OutOfMemory),
    ("BusyLoadingError", StoreBusy),
    ("MaxConnectionsError", StoreBusy),
    ("ClusterDownError", StoreUnavailable),
    ("MasterDownError", StoreUnavailable),
)
# By how the server's message begins; redis-py knows no class for these.
_BY_MESSAGE: Sequence[tuple[str, type[DistObjectsError]]] = (
    ("WRONGTYPE", WrongType),
    ("NOSCRIPT", NoScript),
    ("BUSY ", StoreBusy),
    ("LOADING", StoreBusy),
    ("READONLY", ReadOnly),
    ("NOREPLICAS", ReadOnly),
    ("MISCONF", ReadOnly),
    ("OOM", OutOfMemory),
    ("command not allowed when used memory", OutOfMemory),
    ("NOAUTH", AccessDenied),
    ("WRONGPASS", AccessDenied),
    ("NOPERM", AccessDenied),
    ("unknown command", Unsupported),
    ("ERR unknown command", Unsupported),
    ("MASTERDOWN", StoreUnavailable),
    ("CLUSTERDOWN", StoreUnavailable),
    ("No connection available", StoreBusy),
    ("Too many connections", StoreBusy),
    ("max number of clients reached", StoreBusy),
)
_WAY_OUT: Mapping[type[DistObjectsError], str] = {
    AccessDenied: "check user, password and ACL rules; docs/errors lists the commands that are needed",
    ReadOnly: "write to the primary, or mend its persistence or replicas",
    OutOfMemory: "raise maxmemory, set an eviction policy, or delete",
    StoreBusy: "try again, or allow more connections",
    Unsupported: "doctor shows what this server can do",
    StoreUnavailable: "is the server running? `python -m distobjects doctor URL` looks; connect() alone embeds one",
}


def _names(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}


def _kind(error: BaseException) -> type[DistObjectsError] | None:
    """Return what an error of redis-py is among ours; None where the table does not know it."""
    names, message = _names(error), str(error)
    for name, kind in _BY_CLASS:
        if name in names:
            return kind
    # A script's error carries the command's own one inside: "... @user_script:1: WRONGTYPE ..." before Redis 7.
    inner = message.rsplit("@user_script: ", 1)[-1].rpartition(": WRONGTYPE")
    for start, kind in _BY_MESSAGE:
        if message.startswith(start) or (kind is WrongType and inner[1]):
            return kind
    return None


def _made(kind: type[DistObjectsError], error: BaseException, where: str) -> DistObjectsError:
    way_out = _WAY_OUT.get(kind)
    made = kind(f"{where}: {str(error) or type(error).__name__}" + (f"; {way_out}" if way_out else ""))
    made.__cause__ = error
    return made


def reply_error(error: Exception, where: str) -> DistObjectsError | None:
    """Translate an error reply; None where it is none, because the connection itself failed."""
    if "ResponseError" not in _names(error):
        return None
    return _made(_kind(error) or DistObjectsError, error, where)


def connection_error(error: Exception, where: str, *, sent: bool) -> Exception:
    """Translate a failure to connect, send or receive: `Lost` where another attempt may help."""
    kind = _kind(error)
    if kind in (AccessDenied, StoreBusy):
        return _made(kind, error, where)
    made = _made(StoreUnavailable, error, where)
    lost = Lost(made, sent=sent)
    lost.__cause__ = error
    return lost


def _never_left(error: Exception) -> bool:
    """Say whether a client that connects by itself failed before it sent anything."""
    return str(error).startswith("Error") and "connecting to" in str(error)


_FAILURES = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)


def failures(client: Any) -> tuple[type[Exception], ...]:
    """Return what a client of this kind raises: valkey-py has a root of its own."""
    if type(client).__module__.partition(".")[0] != "valkey":
        return _FAILURES
    import valkey.exceptions  # pyright: ignore[reportMissingImports]  # only there when the user hands such a client over

    return (valkey.exceptions.ValkeyError, *_FAILURES)


# ---- the wire format of commands (RESP arrays of bulk strings, as every server understands)


def packed(commands: Sequence[Command]) -> bytes:
    """Return the bytes of commands, as one piece to send."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command.args))
        for argument in command.args:
            raw = _argument(argument)
            parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def _argument(argument: Argument) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return argument.encode() if isinstance(argument, str) else b"%d" % argument


# ---- clients


def where(client: Any) -> str:
    """Name the server that a client talks to, without credentials."""
    options: dict[str, Any] = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None) or {}
    if "path" in options:
        return f"unix://{options['path']}"
    if "host" in options:
        return f"redis://{options['host']}:{options.get('port', 6379)}/{options.get('db') or 0}"
    return type(client).__name__


def has_own_pool(client: Any) -> bool:
    """Say whether the client's connections can be driven by hand."""
    pool = getattr(client, "connection_pool", None)
    reader = getattr(getattr(pool, "connection_class", None), "read_response", None)
    home = getattr(reader, "__module__", "").partition(".")[0]
    return home in ("redis", "valkey") and hasattr(pool, "get_connection") and getattr(pool, "cache", None) is None


def _lease_arguments(pool: Any) -> tuple[str, ...]:
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
    return redis.Redis(connection_pool=pool)


def open_async_client(url: str, *, connect_seconds: float, operation_seconds: float) -> redis.asyncio.Redis:
    """The twin of `open_client` for asyncio."""
    options = _options(redis.asyncio.Connection, connect_seconds, operation_seconds)
    pool = cast(Any, redis.asyncio.BlockingConnectionPool).from_url(
        _redis_url(url), timeout=operation_seconds, retry=AsyncRetry(NoBackoff(), 0), **options
    )
    return redis.asyncio.Redis(connection_pool=pool)


def _redis_url(url: str) -> str:
    """redis-py does not know the schemes of Valkey."""
    scheme, colon, rest = url.partition("://")
    return {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme) + colon + rest


def _options(connection: type[Any], connect_seconds: float, operation_seconds: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_connect_timeout": connect_seconds,
        "socket_timeout": operation_seconds,
        "max_connections": 64,
        "protocol": 2,  # every server speaks it, and maintenance notifications exist only in RESP3
        "lib_name": "distobjects",
        "lib_version": version("distobjects"),
    }
    known = {name for base in connection.__mro__ for name in inspect.signature(base).parameters}
    if "driver_info" in known:
        options["driver_info"] = redis.DriverInfo().add_upstream_driver("distobjects", options["lib_version"])
        del options["lib_name"], options["lib_version"]
    return options


_memory_servers: dict[str, Any] = {}


def open_memory(name: str, *, asynchronous: bool) -> Any:
    """Make a client of the in-process store of this name: fakeredis, gone with the process."""
    import fakeredis

    server = _memory_servers.setdefault(name, fakeredis.FakeServer())
    return fakeredis.FakeAsyncRedis(server=server) if asynchronous else fakeredis.FakeRedis(server=server)


# ---- links: what the runners send an ask through


class PoolLink:
    """Sends asks over connections taken from the client's own pool."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        self._lease = _lease_arguments(self._pool)

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        pool = self._pool
        try:
            connection = pool.get_connection(*self._lease)
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error
        try:
            connection.send_packed_command((packed(ask.commands),))
            return [self._reply(connection) for _ in ask.commands]
        except self._failures as error:
            connection.disconnect()
            raise connection_error(error, self.where, sent=True) from error
        except BaseException:  # KeyboardInterrupt: a reply is still on its way and must reach nobody else
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def _reply(self, connection: Any) -> Any:
        try:
            return connection.read_response(disable_decoding=True)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    def close(self) -> None:
        self._pool.disconnect()


class AsyncPoolLink:
    """The twin of `PoolLink` for asyncio."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        self._lease = _lease_arguments(self._pool)

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        pool = self._pool
        try:
            connection = await pool.get_connection(*self._lease)
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error
        try:
            await connection.send_packed_command((packed(ask.commands),))
            return [await self._reply(connection) for _ in ask.commands]
        except self._failures as error:
            await connection.disconnect(nowait=True)
            raise connection_error(error, self.where, sent=True) from error
        except BaseException:  # cancelled: a reply is still on its way and must reach nobody else
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def _reply(self, connection: Any) -> Any:
        try:
            return await connection.read_response(disable_decoding=True)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    async def close(self) -> None:
        await self._pool.disconnect()


class ClientLink:
    """Sends asks through the client's own methods, where its connections cannot be driven by hand."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one reply for each, an error reply as one of our exceptions."""
        try:
            if len(ask.commands) == 1:
                return [self._one(ask.commands[0])]
            pipeline = self.client.pipeline(transaction=False)
            for command in ask.commands:
                pipeline.execute_command(*command.args, NEVER_DECODE=True)
            return as_replies(pipeline.execute(raise_on_error=False), self.where)
        except self._failures as error:
            raise connection_error(error, self.where, sent=not _never_left(error)) from error

    def _one(self, command: Command) -> Any:
        try:
            if command.args[0] == "SCAN" and hasattr(self.client, "get_primaries"):
                return self._scan_nodes(command)
            return self.client.execute_command(*command.args, NEVER_DECODE=True)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    def _scan_nodes(self, command: Command) -> Any:
        """Scan the primaries of a cluster one after the other, under one cursor."""
        nodes = sorted(self.client.get_primaries(), key=lambda node: str(node.name))
        cursor, node = divided(command, len(nodes))
        reply = self.client.execute_command(
            "SCAN", cursor, *command.args[2:], target_nodes=nodes[node], NEVER_DECODE=True
        )
        return joined(reply, node, len(nodes))

    def close(self) -> None:
        self.client.close()


class AsyncClientLink:
    """The twin of `ClientLink` for asyncio."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one reply for each, an error reply as one of our exceptions."""
        try:
            if len(ask.commands) == 1:
                return [await self._one(ask.commands[0])]
            pipeline = self.client.pipeline(transaction=False)
            for command in ask.commands:
                pipeline.execute_command(*command.args, NEVER_DECODE=True)
            return as_replies(await pipeline.execute(raise_on_error=False), self.where)
        except self._failures as error:
            raise connection_error(error, self.where, sent=not _never_left(error)) from error

    async def _one(self, command: Command) -> Any:
        try:
            if command.args[0] == "SCAN" and hasattr(self.client, "get_primaries"):
                return await self._scan_nodes(command)
            return await self.client.execute_command(*command.args, NEVER_DECODE=True)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    async def _scan_nodes(self, command: Command) -> Any:
        """Scan the primaries of a cluster one after the other, under one cursor."""
        await self.client.initialize()
        nodes = sorted(self.client.get_primaries(), key=lambda node: str(node.name))
        cursor, node = divided(command, len(nodes))
        reply = await self.client.execute_command(
            "SCAN", cursor, *command.args[2:], target_nodes=nodes[node], NEVER_DECODE=True
        )
        return joined(reply, node, len(nodes))

    async def close(self) -> None:
        await self.client.aclose()


def as_replies(results: Sequence[Any], where: str) -> list[Any]:
    """Translate the error replies among a pipeline's results; raise where one says that the connection failed."""
    replies: list[Any] = []
    for result in results:
        reply = reply_error(result, where) if isinstance(result, Exception) else result
        if reply is None and isinstance(result, Exception):
            raise result
        replies.append(reply)
    return replies


def divided(command: Command, nodes: int) -> tuple[int, int]:
    """Split the cursor of a cluster-wide SCAN into a node's own cursor and the node's place."""
    return divmod(int(command.args[1]), nodes)


def joined(reply: Any, node: int, nodes: int) -> list[Any]:
    """Return a node's SCAN reply with a cluster-wide cursor: 0 only behind the last node."""
    if isinstance(reply, Mapping):  # some versions of redis-py name the node
        [reply] = cast(Mapping[str, Any], reply).values()
    cursor, keys = int(reply[0]), reply[1]
    if cursor:
        return [cursor * nodes + node, keys]
    return [node + 1 if node + 1 < nodes else 0, keys]


def link_to(client: Any) -> PoolLink | ClientLink:
    """Return the way to the server that this client offers."""
    return PoolLink(client) if has_own_pool(client) else ClientLink(client)


def async_link_to(client: Any) -> AsyncPoolLink | AsyncClientLink:
    """Return the way to the server that this asyncio client offers."""
    return AsyncPoolLink(client) if has_own_pool(client) else AsyncClientLink(client)
