"""Keeping a lock while its block runs. The two ways to wait, for threads and for asyncio, stand side by side here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Protocol

from ._space import Space
from .errors import Conflict, StoreUnavailable

# Of its lease: two extensions may fail before the third is too late.
_EXTEND_AFTER = 1 / 3


class Lease(Protocol):
    """A lock that is held."""

    def extend(self) -> bool: ...


class AsyncLease(Protocol):
    """A lock that is held, for asyncio."""

    async def extend(self) -> bool: ...


@contextmanager
def kept(lease: Lease, lease_seconds: float) -> Generator[None, None, None]:
    """Extend a lease from a thread of its own until the block ends."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(lease_seconds * _EXTEND_AFTER):
            with suppress(StoreUnavailable):  # the next extension may still be in time; whether it was, release tells
                if not lease.extend():
                    return

    keeper = threading.Thread(target=keep, name="distobjects-lock", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


@asynccontextmanager
async def kept_async(lease: AsyncLease, lease_seconds: float) -> AsyncGenerator[None, None]:
    """The twin of `kept` for asyncio: a task extends it."""

    async def keep() -> None:
        held = True
        while held:
            await asyncio.sleep(lease_seconds * _EXTEND_AFTER)
            with suppress(StoreUnavailable):
                held = await lease.extend()

    keeper = asyncio.create_task(keep(), name="distobjects-lock")
    try:
        yield
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper


def taken(space: Space, id: str, wait_seconds: float) -> Conflict:
    """Make the error for a lock that another holder kept."""
    reason = f"another holder kept the lock for {wait_seconds:g} s; wait longer, or look for one that hangs"
    return Conflict(model=space.schema.name, id=id, reason=reason)


def lost(space: Space, id: str) -> Conflict:
    """Make the error for a lease that ended while the block ran."""
    reason = "the lock's lease was lost while it was held, and others may have had it; check what the block did"
    return Conflict(model=space.schema.name, id=id, reason=reason)
