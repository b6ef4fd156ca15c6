"""The ways to the server, for threads: sends an ask, hands back its raw replies, with the same results.

* A connection of the client's own pool, driven by hand: our own packing, bytes whatever `decode_responses` says, and
  none of redis-py's command retries, which would apply a write twice when only its reply was lost.
* The client's `execute_command`, where it has no such pool (fakeredis, a client-side cache, foreign clients).
* A Cluster's client, told which node to use, which keeps it from sending a write twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ._channels import Unsent, open_channel
from ._flow import Ask, Command
from ._leases import Lease as Leased
from ._leases import Leases
from ._redis import failures, has_own_pool, is_asyncio, is_cluster, lease_arguments, refuse_other, where
from ._retry import Lost
from ._translation import connection_error, lock_error, never_left, reply_error
from ._wire import as_replies, divided, is_redirection, joined, key_of, packed, plain
from .errors import StoreUnavailable


class PoolLink:
    """Sends asks over connections leased from the client's own pool."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.where = where(client)
        self._failures = failures(client)
        self._pool = client.connection_pool
        get = partial(self._pool.get_connection, *lease_arguments(self._pool))
        drive = partial(open_channel, failures=self._failures, where=self.where)
        self._leases = Leases(self._pool, get, drive)

    def post(self, ask: Ask) -> list[Any]:
        """Send the commands and return one raw reply for each, an error reply as one of our exceptions."""
        return self.send(packed(ask.commands), len(ask.commands), not ask.repeatable)

    def send(self, packed: bytes, count: int, writing: bool, /) -> list[Any]:
        """Send `count` packed commands and return as many raw replies, an error reply as one of our exceptions."""
        try:
            lease = self._leases.take(writing)
        except self._failures as error:
            raise connection_error(error, self.where, sent=False) from error
        try:
            replies = lease.channel.exchange(packed, count)
        except self._failures as error:
            self._leases.drop(lease)
            raise connection_error(error, self.where, sent=not isinstance(error, Unsent)) from error
        except BaseException:  # KeyboardInterrupt: a reply is still on its way and must reach nobody else
            self._leases.drop(lease)
            raise
        self._leases.give(lease)
        return replies

    def launch(self, ask: Ask) -> Flight | Waiting:
        """Send the commands; the replies are taken later. Where too many are in flight, all of it happens then."""
        return Flight(self, ask) if self._leases.runways.acquire(blocking=False) else Waiting(self, ask)

    def close(self, *, own: bool) -> None:
        """Give the leases back; close the connections if the client is our `own`."""
        self._leases.close()
        if own:
            self._pool.disconnect()


class Flight:
    """Commands that are on their way over a leased connection: `land` takes what they bring, `drop` gives it up."""

    def __init__(self, link: PoolLink, ask: Ask) -> None:
        self._link = link
        self._count = len(ask.commands)
        self._pid = os.getpid()
        self._lease: Leased | None = None
        self._failure: Exception | None = None  # told when the replies are wanted: those before are worth having
        try:
            self._lease = link._leases.take(not ask.repeatable)
            self._lease.channel.send(packed(ask.commands))
        except link._failures as error:
            sent = self._lease is not None and not isinstance(error, Unsent)
            self._failure = connection_error(error, link.where, sent=sent)
            self._failure.__cause__ = error
            self._end()
        except BaseException:
            self._end()
            raise

    def land(self) -> list[Any]:
        """Return the replies, as `post` does."""
        if self._failure is not None:
            raise self._failure
        assert self._lease is not None
        if self._pid != os.getpid():
            self._end()
            raise Lost(StoreUnavailable("the process has forked, and its parent has the connection"), sent=True)
        try:
            replies = self._lease.channel.receive(self._count)
        except self._link._failures as error:
            self._end()
            raise connection_error(error, self._link.where, sent=True) from error
        except BaseException:
            self._end()
            raise
        lease, self._lease = self._lease, None
        self._link._leases.give(lease)
        self._link._leases.runways.release()
        return replies

    def drop(self) -> None:
        """Close the connection: what is on its way must reach nobody else."""
        if self._lease is not None:
            self._end()

    def _end(self) -> None:
        lease, self._lease = self._lease, None
        if self._pid == os.getpid():
            self._link._leases.runways.release()
            if lease is not None:
                self._link._leases.drop(lease)
        elif lease is not None:  # neither its connection nor its runway is the child's to give back
            lease.connection.disconnect()


class Waiting:
    """Commands that leave when their replies are wanted, where none can be in flight."""

    def __init__(self, link: Any, ask: Ask) -> None:
        self._link = link
        self._ask = ask

    def land(self) -> list[Any]:
        """Send the commands and return the replies, as `post` does."""
        replies: list[Any] = self._link.post(self._ask)
        return replies

    def drop(self) -> None:
        """Send nothing."""


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
            raise connection_error(error, self.where, sent=not never_left(error)) from error

    def launch(self, ask: Ask) -> Waiting:
        """Send the commands when their replies are wanted: such a client can do no other."""
        return Waiting(self, ask)

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
            link = PoolLink(self.client.get_redis_connection(self.client.get_node(node_name=name)))
            try:
                part = link.post(Ask([ask.commands[place] for place in places]))
            except Lost as lost:
                with suppress(*self._failures):
                    self.client.nodes_manager.initialize()  # the node may have been replaced
                raise Lost(lost.error, sent=sent or lost.sent, slow=lost.slow) from lost.__cause__
            finally:
                link.close(own=False)
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


def link_to(client: Any) -> PoolLink | ClientLink:
    """Return the way to the server that this client offers.

    Raises:
        TypeError: it is no client, or one for asyncio.
    """
    refuse_other(client)
    if is_asyncio(client):
        raise TypeError(f"{type(client).__name__} is an asyncio client; AsyncRedisBackend takes it")
    if has_own_pool(client):
        return PoolLink(client)
    return ClusterLink(client) if is_cluster(client) else ClientLink(client)
