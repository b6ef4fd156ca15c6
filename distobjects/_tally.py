"""How far an operation on many objects has come, and what an error in its middle says of the others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

from ._flow import Flow
from .errors import DistObjectsError, OutcomeUnknown

E = TypeVar("E", bound=Exception)
T = TypeVar("T")

Tell = Callable[[int, int | None], object]


class Tally:
    """How far an operation on many objects has come.

    Attributes:
        begun: how many objects have been taken in.
        done: how many have been dealt with.
        total: how many there are, None as long as nobody knows.
        taken: ids that `create_many` found taken.
    """

    def __init__(self, items: object, tell: Tell | None) -> None:
        self._tell = tell
        self.begun = self.done = 0
        self.total = len(items) if isinstance(items, Sized) else None
        self.taken: list[str] = []

    def flow(self, flow: Flow[T], size: int) -> Flow[T]:
        """Count what a flow deals with."""
        self.begun += size
        return self._counted(flow, size)

    def _counted(self, flow: Flow[T], size: int) -> Flow[T]:
        result = yield from flow
        self.done += size
        if self._tell is not None:
            self._tell(self.done, self.total)
        return result

    def end(self) -> None:
        """Say that all have been taken in."""
        self.total = self.begun

    def failed(self, error: E, ids: Sequence[str], others: int) -> E:
        """Let an error say which objects it is about, and what is known of the others: so many in their chunk."""
        outcome = "not done"
        if isinstance(error, DistObjectsError):
            error.ids = tuple(ids)
            if isinstance(error, OutcomeUnknown):
                outcome = "done or not, each of them"
        taken = f" ({_listed(self.taken)} existed already)" if self.taken else ""
        done = f"{self.done + others:,} before and beside them{taken}"
        error.add_note(f"{outcome}: {_listed(ids)}; done: {done}; not sent: all that come after")
        return error


def _listed(ids: Sequence[str]) -> str:
    """Name a few ids, and say how many more there are."""
    more = f" and {len(ids) - 5:,} more" if len(ids) > 5 else ""
    return ", ".join(map(repr, ids[:5])) + more
