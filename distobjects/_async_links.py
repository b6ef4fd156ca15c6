"""The ways to the server, for asyncio; the twins of `_links`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ._async_channel import Channel
from ._flow import Ask, Command
from ._redis import (
    can_be_shared,
    failures,
    has_own_pool,
    is_asyncio,
    is_cluster,
    lease_arguments,
    refuse_other,
    response_error,
    where,
)
from ._resp import ResponseError
from ._translation import connection_error, lock_error, never_left, reply_error
from ._wire import as_replies, divided, joined, key_of, packed, plain

# After so long without a round trip, a connection may have died without the event loop having told it.
_IDLE_SECONDS = 0.001


class AsyncPoolLink:
    """The twin of `PoolLink` for asyncio."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        self._lease = lease_arguments(self._pool)
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

    async def close(self, *, own: bool) -> None:
        """Close the connections if the client is our `own`."""
        if own:
            await self._pool.disconnect()


class AsyncSharedLink(AsyncPoolLink):
    """Sends the asks of all tasks over one connection of the client's own pool."""

    channel: Channel | None = None  # once there has been something to send

    def begin(self) -> Channel:
        """Return what the tasks of the running loop share; a link belongs to one loop."""
        if self.channel is None:
            self.channel = Channel(self.client, asyncio.get_running_loop())
        return self.channel

    async def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        channel, data, count = self.begin(), packed(ask.commands), len(ask.commands)
        if count == 1:
            return [self.told(await channel.send(data))]
        replies = await channel.send_several(data, count) if count else []
        return [self.told(reply) for reply in replies]

    def told(self, reply: Any) -> Any:
        """Return a reply, an error reply as one of our exceptions."""
        if not isinstance(reply, ResponseError):
            return reply
        message = str(reply)
        if message.startswith("READONLY"):  # after a failover; redis-py would ask for the new primary, too
            self.begin().retire()
        return reply_error(response_error(message), self.where)

    async def close(self, *, own: bool) -> None:
        """Give the connection back; close the others too if the client is our `own`."""
        if self.channel is not None:
            await self.channel.close()
        await super().close(own=own)


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
            raise connection_error(error, self.where, sent=not never_left(error)) from error

    async def _one(self, command: Command) -> Any:
        try:
            return await self._execute(command)
        except self._failures as error:
            if (reply := reply_error(error, self.where)) is None:
                raise
            return reply

    async def _execute(self, command: Command) -> Any:
        return await self.client.execute_command(*plain(command), NEVER_DECODE=True)

    async def close(self, *, own: bool) -> None:
        """Close the client if it is our `own`."""
        if own:
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


def async_link_to(client: Any, *, multiplex: bool = True) -> AsyncPoolLink | AsyncClientLink:
    """Return the way to the server that this asyncio client offers.

    Args:
        multiplex: all tasks share one connection, where the client has more than that.

    Raises:
        TypeError: it is no client, or none for asyncio.
    """
    refuse_other(client)
    if not is_asyncio(client):
        raise TypeError(f"{type(client).__name__} is no asyncio client; RedisBackend takes it")
    if has_own_pool(client):
        shared = multiplex and can_be_shared(client.connection_pool)
        return AsyncSharedLink(client) if shared else AsyncPoolLink(client)
    return AsyncClusterLink(client) if is_cluster(client) else AsyncClientLink(client)
