"""What a run is told by: how often each outcome came about, and how long the unluckiest had to wait."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import ValidationError

from distobjects import Conflict, NotFound, OutcomeUnknown, StoreUnavailable

ACKNOWLEDGED, UNKNOWN, CONFLICTS, REFUSED, MISSING, UNAVAILABLE = (
    "acknowledged",
    "unknown",
    "conflicts",
    "refused",
    "missing",
    "unavailable",
)
_OUTCOMES: dict[type[Exception], str] = {
    OutcomeUnknown: UNKNOWN,
    Conflict: CONFLICTS,
    ValidationError: REFUSED,
    NotFound: MISSING,
    StoreUnavailable: UNAVAILABLE,
}


@dataclass
class Tally:
    """One worker's count of what became of its attempts; its crew adds the round trips."""

    counts: Counter[str] = field(default_factory=Counter)
    last: str = ""
    worst_seconds: float = 0.0
    trips: int = 0

    @contextmanager
    def attempt(self, *expected: type[Exception]) -> Iterator[None]:
        """Count how the block ends; `last` tells. What is not expected is raised."""
        started = time.monotonic()
        try:
            yield
        except expected as error:
            self.last = next(name for kind, name in _OUTCOMES.items() if isinstance(error, kind))
        else:
            self.last = ACKNOWLEDGED
        self.counts[self.last] += 1
        self.worst_seconds = max(self.worst_seconds, time.monotonic() - started)


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the count of all workers."""
    whole = Tally()
    for each in tallies:
        whole.counts += each.counts
        whole.trips += each.trips
        whole.worst_seconds = max(whole.worst_seconds, each.worst_seconds)
    return whole


@dataclass
class Figures:
    """What a scenario has counted.

    Attributes:
        retries: attempts beyond the first; None where they cannot be told from the round trips.
        note: what else there is to say.
    """

    acknowledged: int
    stored: int
    unknown: int = 0
    conflicts: int = 0
    retries: int | None = None
    worst_seconds: float = 0.0
    note: str = ""
    seconds: float = 0.0
