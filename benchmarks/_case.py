"""What a module of benchmarks yields: what is to be timed, and what it has measured itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Call = Callable[[], Any]


class Case(NamedTuple):
    """One operation, done by others and by us: a row of the report for each of ours.

    A call may be anything, a batch or a whole asyncio loop's work too: `work` says how many operations are in it.
    """

    name: str
    """What is done: `read, TCP`. With the module's name, it is the row's."""
    baseline: tuple[str, Call]
    """What it is measured against: `redis-py hget`, and a call of it."""
    ours: Mapping[str, Call]
    """Our ways to do it, by the name of each in the row: `{"int": ..., "str": ...}`, or `{"": ...}`."""
    target: float | None = None
    """The ratio to the baseline that is wanted of each of ours; less is faster."""
    stretch: float | None = None
    floor: Call | None = None
    """The same bytes over a bare socket: as fast as Python gets."""
    calls: int = 400
    """How often each is called in a round, where a round should be seconds at most."""
    work: int = 1
    """How many operations one call is; times are shown for one."""
    at: int | None = None
    """Where on a curve this is: the number of tasks, threads, objects or fields."""
    axis: str = ""
    """What `at` counts: `tasks`."""


class Fact(NamedTuple):
    """What a module measured by itself; say it so that less is better: `lost`, not `kept`."""

    name: str
    value: float
    unit: str
    """`bytes`, `us`, `errors`, `%`; `x` for a ratio."""
    target: float | None = None
    """The most that is wanted."""
    stretch: float | None = None
    spread: float | None = None
    """Half of the distance between the quartiles, where it is a median."""
    at: int | None = None
    axis: str = ""
