"""Local copies that are kept fresh, for asyncio; the twin of `_mirrors`. A task does it while they are open.

Reading one asks nobody and is not awaited, so nothing can be written through one either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any, TypeVar

from ._async_lookouts import AsyncLookout
from ._flow import Ask, Done, Flow, advance
from ._mirrored import Standing, answered, is_answerable, reply_to, watching_of
from ._space import Space
from ._watching import Watching
from .errors import StoreUnavailable

T = TypeVar("T")


class AsyncMirror(Standing):
    """The twin of `Mirror`: a backend for live objects that are read without `await`."""

    def __init__(
        self,
        origin: Any,
        space: Space,
        ids: Collection[str],
        open: Callable[[Watching, float], AsyncLookout],
        lease_seconds: float,
    ) -> None:
        self.origin = origin
        self._space = space
        self._keys = {space.key(id): id for id in ids}
        watching, self._seen = watching_of(space, ids)
        self._lookout = open(watching, lease_seconds / 3)
        self._lease_seconds = lease_seconds
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Read all objects, and keep them fresh from now on.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        try:
            while not self._lookout.settled():
                await self._lookout.look()
        except BaseException:
            await self._lookout.close()
            raise
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while self._task is not None and not self._lookout.ended():  # a client may swallow that it was cancelled
            await self._lookout.look()

    def run(self, flow: Flow[T]) -> T:
        """Run a flow of reads, from memory.

        Raises:
            AttributeError: it is no read.
            StoreUnavailable: nothing has been heard for longer than the lease.
        """
        local = answered(flow, self._answer, _nothing)
        step = advance(local)
        if isinstance(step, Done):
            value: T = step.value
            return value
        local.close()
        raise AttributeError(
            f"a mirror of {self._space.stem!r} is read without await, and nothing can be written without; "
            "`async with objects.edit(id)` or `await objects.update(id, {...})` can"
        )

    def _answer(self, ask: Ask) -> list[Any] | None:
        if not all(is_answerable(each) and each.args[1] in self._keys for each in ask.commands):
            return None
        if monotonic() >= self._lookout.alive + self._lease_seconds or self._task is None or self._task.done():
            self._refuse()
        return [reply_to(each, self._seen.get(self._keys[str(each.args[1])])) for each in ask.commands]

    def _refuse(self) -> None:
        if self._task is None or (self._task.done() and self._lookout.ended()):
            raise StoreUnavailable(f"this mirror of {self._space.stem!r} is closed; open another one")
        if self._task.done():
            self._task.result()  # what it failed with
        raise StoreUnavailable(
            f"this mirror of {self._space.stem!r} has heard nothing for {self._lease_seconds} s: the network is "
            "silent, or something has blocked the event loop; await a read instead"
        )

    async def close(self) -> None:
        """End the task and close the line; nothing can be read any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            _ = task.cancelled() or task.exception()  # which has been told to whoever has read
        await self._lookout.close()


def _nothing(ask: Ask) -> None:
    pass
