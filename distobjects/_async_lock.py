"""Keeping a lock while its block runs, for asyncio; the twin of `_lock`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from ._lock import EXTEND_AFTER, lost, taken
from .errors import StoreUnavailable

__all__ = ["kept", "lost", "taken"]


class AsyncLease(Protocol):
    """A lock that is held."""

    async def extend(self) -> bool: ...


@asynccontextmanager
async def kept(lease: AsyncLease, lease_seconds: float) -> AsyncGenerator[None, None]:
    """Extend a lease from a task of its own until the block ends."""

    async def keep() -> None:
        held = True
        while held:
            await asyncio.sleep(lease_seconds * EXTEND_AFTER)
            with suppress(StoreUnavailable):
                held = await lease.extend()

    keeper = asyncio.create_task(keep(), name="distobjects-lock")
    try:
        yield
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
