"""The redis-py adapter: the only file that imports redis. Sends asks, hands back raw replies, translates errors.

Two ways to the server, with the same results:

* a connection of the client's own pool, driven by hand: our own packing, bytes whatever `decode_responses` says, and
  none of redis-py's command retries, which would apply a write twice when only its reply was lost;
* the client's `execute_command`, where it has no such pool (Cluster, fakeredis, a client-side cache, foreign clients).
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, cast

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ._flow import Argument, Ask, Command, NoScript, WrongType
from ._leases import Leases
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
    ("AskError", Unsupported),  # a MovedError is one too; older versions of redis-py have them in clusters only
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
    ("ACL failure in script", AccessDenied),
    ("The user executing the script can't", AccessDenied),  # before Redis 7.2
    ("unknown command", Unsupported),
    ("ERR unknown command", Unsupported),
    ("MOVED ", Unsupported),
    ("ASK ", Unsupported),
    ("MASTERDOWN", StoreUnavailable),
    ("CLUSTERDOWN", StoreUnavailable),
    ("No connection available", StoreBusy),
    ("Too many connections", StoreBusy),
    ("max number of clients reached", StoreBusy),
)
_IN_SCRIPT = re.compile(r"^.*@user_script: ?\d+: -?")
_WAY_OUT: Mapping[type[DistObjectsError], str] = {
    AccessDenied: "check user, password and ACL rules; docs/atomic lists the commands that are needed",
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
    # Before Redis 7, the error of a command in a script comes inside of another: "... @user_script: 1: -READONLY ...".
    message = _IN_SCRIPT.sub("", message)
    return next((kind for start, kind in _BY_MESSAGE if message.startswith(start)), None)


def _made(kind: type[DistObjectsError], error: BaseException, where: str) -> DistObjectsError:
    way_out = _WAY_OUT.get(kind)
    if "AskError" in _names(error) or str(error).startswith(("MOVED ", "ASK ")):
        way_out = (
            "this is one node of a cluster, and the key is on another: RedisBackend(redis.RedisCluster(...)) finds it"
        )
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
    lost = Lost(made, sent=sent, slow="TimeoutError" in _names(error))
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
    for args, _ in commands:
        parts.append(b"*%d\r\n" % len(args))
        for argument in args:
            raw = argument.encode() if type(argument) is str else _raw(argument)
            parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def plain(command: Command) -> tuple[Argument, ...]:
    """Return the arguments as bytes: a client packs text in an encoding of its own. It looks names up, as text."""
    name, *others = command.args
    return name, *map(_raw, others)


def _raw(argument: Argument) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return argument.encode() if isinstance(argument, str) else b"%d" % argument


# ---- clients


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


def is_cluster(client: Any) -> bool:
    """Say whether the client routes commands to the nodes of a cluster."""
    return hasattr(client, "get_node_from_key")


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


# ---- links: what the runners send an ask through


class PoolLink:
    """Sends asks over connections leased from the client's own pool."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        get = partial(self._pool.get_connection, *_lease_arguments(self._pool))
        self._leases = Leases(self._pool, get, self._failures)

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        try:
            lease = self._leases.take(writing=not ask.repeatable)
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error
        connection = lease.connection
        try:
            connection.send_packed_command((packed(ask.commands),), check_health=lease.fresh)
            replies = [self._reply(connection) for _ in ask.commands]
        except self._failures as error:
            self._leases.drop(lease)
            raise connection_error(error, self.where, sent=True) from error
        except BaseException:  # KeyboardInterrupt: a reply is still on its way and must reach nobody else
            self._leases.drop(lease)
            raise
        self._leases.give(lease)
        return replies

    def _reply(self, connection: Any) -> Any:
        try:
            return connection.read_response(disable_decoding=True)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    def close(self, *, own: bool) -> None:
        """Give the leases back; close the connections if the client is our `own`."""
        self._leases.close()
        if own:
            self._pool.disconnect()


# After so long without a round trip, a connection may have died without the event loop having told it.
_IDLE_SECONDS = 0.001


class AsyncPoolLink:
    """The twin of `PoolLink` for asyncio."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        self._lease = _lease_arguments(self._pool)
        # With maintenance notifications, redis-py's pool does not look whether an idle connection has died.
        unchecked = getattr(self._pool, "maint_notifications_enabled", None)
        self._unchecked = unchecked is not None and bool(unchecked())
        self._used = 0.0

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        pool, loop = self._pool, asyncio.get_running_loop()
        if loop.time() - self._used > _IDLE_SECONDS:
            # A loop that has been busy learns in one turn that a connection has died, and tells it in the next.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        try:
            connection = await pool.get_connection(*self._lease)
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error
        sent = False
        try:
            if self._unchecked and await connection.can_read():
                await connection.disconnect(nowait=True)
                await connection.connect()
            sent = True
            await connection.send_packed_command((packed(ask.commands),))
            return [await self._reply(connection) for _ in ask.commands]
        except self._failures as error:
            await connection.disconnect(nowait=True)
            raise connection_error(error, self.where, sent=sent) from error
        except BaseException:  # cancelled: a reply is still on its way and must reach nobody else
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._used = loop.time()
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
                pipeline.execute_command(*plain(command), NEVER_DECODE=True)
            return as_replies(pipeline.execute(raise_on_error=False), self.where)
        except self._failures as error:
            raise connection_error(error, self.where, sent=not _never_left(error)) from error

    def _one(self, command: Command) -> Any:
        try:
            return self._execute(command)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    def _execute(self, command: Command) -> Any:
        return self.client.execute_command(*plain(command), NEVER_DECODE=True)

    def close(self, *, own: bool) -> None:
        """Close the client if it is our `own`."""
        if own:
            self.client.close()


class ClusterLink(ClientLink):
    """Sends asks through a cluster client, so that redis-py sends no write again whose reply was lost.

    It does not where the command comes with its node. A batch it would send again all the same, so a batch of writes
    goes to each node over the node's own pool.
    """

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one reply for each, an error reply as one of our exceptions."""
        if ask.repeatable or len(ask.commands) == 1:
            return super().post(ask)
        parts: dict[str, list[int]] = {}
        for place, command in enumerate(ask.commands):
            parts.setdefault(self._node(command).name, []).append(place)
        replies: list[Any] = [None] * len(ask.commands)
        sent = False
        for name, places in parts.items():
            node = self.client.get_redis_connection(self.client.get_node(node_name=name))
            try:
                part = PoolLink(node).post(Ask([ask.commands[place] for place in places]))
            except Lost as lost:
                with suppress(*self._failures):
                    self.client.nodes_manager.initialize()  # the node may have been replaced
                raise Lost(lost.error, sent=sent or lost.sent, slow=lost.slow) from lost.__cause__
            sent = True
            for place, reply in zip(places, part, strict=True):
                replies[place] = self._one(ask.commands[place]) if is_redirection(reply) else reply
        return replies

    def _execute(self, command: Command) -> Any:
        if command.args[0] == "SCAN":
            return self._scan_nodes(command)
        if command.repeatable:
            return super()._execute(command)
        return self.client.execute_command(*plain(command), target_nodes=self._node(command), NEVER_DECODE=True)

    def _node(self, command: Command) -> Any:
        try:
            return self.client.get_node_from_key(key_of(command))
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error

    def _scan_nodes(self, command: Command) -> Any:
        """Scan the primaries of a cluster one after the other, under one cursor."""
        nodes = sorted(self.client.get_primaries(), key=lambda node: str(node.name))
        cursor, node = divided(command, len(nodes))
        reply = self.client.execute_command(
            "SCAN", cursor, *plain(command)[2:], target_nodes=nodes[node], NEVER_DECODE=True
        )
        return joined(reply, node, len(nodes))


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
                pipeline.execute_command(*plain(command), NEVER_DECODE=True)
            return as_replies(await pipeline.execute(raise_on_error=False), self.where)
        except self._failures as error:
            raise connection_error(error, self.where, sent=not _never_left(error)) from error

    async def _one(self, command: Command) -> Any:
        try:
            return await self._execute(command)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    async def _execute(self, command: Command) -> Any:
        return await self.client.execute_command(*plain(command), NEVER_DECODE=True)

    async def close(self) -> None:
        await self.client.aclose()


class AsyncClusterLink(AsyncClientLink):
    """The twin of `ClusterLink` for asyncio, where redis-py's batches send nothing again."""

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one reply for each, an error reply as one of our exceptions."""
        try:
            await self.client.initialize()
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error
        if not ask.repeatable:
            for command in ask.commands:
                self._node(command)  # a slot that no node has is told before anything is sent
        try:
            return await super().post(ask)
        except KeyError as slot:  # so a batch of redis-py's tells it
            uncovered = OSError(f"no node of the cluster has slot {slot}")
            raise connection_error(uncovered, self.where, sent=True) from uncovered

    async def _execute(self, command: Command) -> Any:
        if command.args[0] == "SCAN":
            return await self._scan_nodes(command)
        if command.repeatable:
            return await super()._execute(command)
        return await self.client.execute_command(*plain(command), target_nodes=self._node(command), NEVER_DECODE=True)

    def _node(self, command: Command) -> Any:
        try:
            return self.client.get_node_from_key(key_of(command))
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error

    async def _scan_nodes(self, command: Command) -> Any:
        """Scan the primaries of a cluster one after the other, under one cursor."""
        nodes = sorted(self.client.get_primaries(), key=lambda node: str(node.name))
        cursor, node = divided(command, len(nodes))
        reply = await self.client.execute_command(
            "SCAN", cursor, *plain(command)[2:], target_nodes=nodes[node], NEVER_DECODE=True
        )
        return joined(reply, node, len(nodes))


def as_replies(results: Sequence[Any], where: str) -> list[Any]:
    """Translate the error replies among a pipeline's results; raise where one says that the connection failed."""
    replies: list[Any] = []
    for result in results:
        reply = reply_error(result, where) if isinstance(result, Exception) else result
        if reply is None and isinstance(result, Exception):
            raise result
        replies.append(reply)
    return replies


def key_of(command: Command) -> Argument:
    """Return the key by which a cluster routes a command."""
    return command.args[3 if command.args[0] in ("EVAL", "EVALSHA") else 1]


def is_redirection(reply: Any) -> bool:
    """Say whether a node of a cluster did nothing because another one has the key, or is about to have it."""
    cause = reply.__cause__ if isinstance(reply, DistObjectsError) else None
    return cause is not None and not _names(cause).isdisjoint(("AskError", "TryAgainError"))  # a MovedError is an Ask


def divided(command: Command, nodes: int) -> tuple[int, int]:
    """Split the cursor of a cluster-wide SCAN into a node's own cursor and the node's place."""
    return divmod(int(command.args[1]), nodes)


def joined(reply: Any, node: int, nodes: int) -> list[Any]:
    """Return a node's SCAN reply with a cluster-wide cursor: 0 only behind the last node."""
    cursor, keys = reply
    if isinstance(cursor, Mapping):  # redis-py's cluster clients name the node
        [cursor] = cast(Mapping[str, Any], cursor).values()
    cursor = int(cursor)
    if cursor:
        return [cursor * nodes + node, keys]
    return [node + 1 if node + 1 < nodes else 0, keys]


def refuse_slots(client: Any, keys: Sequence[str]) -> None:
    """Refuse keys that a cluster has in different slots, before anything is sent.

    Raises:
        ValueError: no script can run on all of them.
    """
    if hasattr(client, "keyslot") and len({client.keyslot(key) for key in keys}) > 1:
        raise ValueError(
            f"a transaction on a Cluster needs all of its objects in one slot, and {keys[0]!r} and {keys[-1]!r} are in "
            "two; give the backend a prefix with a {tag}, which keeps it in one slot"
        )


class Lease:
    """A lock of redis-py's, with our errors."""

    def __init__(self, client: Any, key: str, lease_seconds: float, wait_seconds: float) -> None:
        # Not thread-local: a thread of its own extends it.
        self._lock = client.lock(key, timeout=lease_seconds, blocking_timeout=wait_seconds, thread_local=False)
        self._failures = failures(client)
        self._where = where(client)

    def acquire(self) -> bool:
        return bool(self._translated(self._lock.acquire))

    def extend(self) -> bool:
        """Start the lease anew; say whether it was still held."""
        return self._translated(self._lock.reacquire) is not None

    def release(self) -> bool:
        """Give it back; say whether it was still held."""
        return self._translated(self._lock.release) is not None

    def _translated(self, call: Callable[[], Any]) -> Any:
        try:
            result = call()
        except self._failures as error:
            return lock_error(error, self._where)
        return True if result is None else result


class AsyncLease:
    """The twin of `Lease` for asyncio."""

    def __init__(self, client: Any, key: str, lease_seconds: float, wait_seconds: float) -> None:
        self._lock = client.lock(key, timeout=lease_seconds, blocking_timeout=wait_seconds, thread_local=False)
        self._failures = failures(client)
        self._where = where(client)

    async def acquire(self) -> bool:
        return bool(await self._translated(self._lock.acquire))

    async def extend(self) -> bool:
        """Start the lease anew; say whether it was still held."""
        return await self._translated(self._lock.reacquire) is not None

    async def release(self) -> bool:
        """Give it back; say whether it was still held."""
        return await self._translated(self._lock.release) is not None

    async def _translated(self, call: Callable[[], Any]) -> Any:
        try:
            result = await call()
        except self._failures as error:
            return lock_error(error, self._where)
        return True if result is None else result


def lock_error(error: Exception, where: str) -> None:
    """Return None where a lock is not held any more; raise what else went wrong."""
    if "LockError" in _names(error):
        return
    translated = reply_error(error, where) or connection_error(error, where, sent=True)
    raise translated.error if isinstance(translated, Lost) else translated


def link_to(client: Any) -> PoolLink | ClientLink:
    """Return the way to the server that this client offers.

    Raises:
        TypeError: it is no client, or one for asyncio.
    """
    _refuse_other(client)
    if is_asyncio(client):
        raise TypeError(f"{type(client).__name__} is an asyncio client; AsyncRedisBackend takes it")
    if has_own_pool(client):
        return PoolLink(client)
    return ClusterLink(client) if is_cluster(client) else ClientLink(client)


def async_link_to(client: Any) -> AsyncPoolLink | AsyncClientLink:
    """Return the way to the server that this asyncio client offers.

    Raises:
        TypeError: it is no client, or none for asyncio.
    """
    _refuse_other(client)
    if not is_asyncio(client):
        raise TypeError(f"{type(client).__name__} is no asyncio client; RedisBackend takes it")
    if has_own_pool(client):
        return AsyncPoolLink(client)
    return AsyncClusterLink(client) if is_cluster(client) else AsyncClientLink(client)


def _refuse_other(client: Any) -> None:
    if not callable(getattr(client, "execute_command", None)):
        raise TypeError(f"{type(client).__name__} is no Redis client; connect() takes a URL")
