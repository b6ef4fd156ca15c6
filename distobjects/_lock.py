"""Keeping a lock while its block runs, for threads."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Protocol

from ._space import Space
from .errors import Conflict, StoreUnavailable

# Of its lease: two extensions may fail before the third is too late.
EXTEND_AFTER = 1 / 3


class Lease(Protocol):
    """A lock that is held."""

    def extend(self) -> bool: ...


@contextmanager
def kept(lease: Lease, lease_seconds: float) -> Generator[None, None, None]:
    """Extend a lease from a thread of its own until the block ends."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(lease_seconds * EXTEND_AFTER):
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


def taken(space: Space, id: str, wait_seconds: float) -> Conflict:
    """Make the error for a lock that another holder kept."""
    reason = f"another holder kept the lock for {wait_seconds:g} s; wait longer, or look for one that hangs"
    return Conflict(model=space.schema.name, id=id, reason=reason)


def lost(space: Space, id: str) -> Conflict:
    """Make the error for a lease that ended while the block ran."""
    reason = "the lock's lease was lost while it was held, and others may have had it; check what the block did"
    return Conflict(model=space.schema.name, id=id, reason=reason)
