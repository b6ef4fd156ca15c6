"""Interleaved rounds and their ratios: what is compared runs in the same seconds, on the same CPU."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ._case import Call, Case, Fact

_LEAST = 3  # rounds


class Row(NamedTuple):
    """One line of the report: what one of ours took, or a fact."""

    module: str
    server: str
    name: str
    contender: str
    value: float
    """A ratio: the median of those of each round; else in `unit`."""
    unit: str
    target: float | None
    stretch: float | None
    spread: float | None = None
    """Half of the distance between the quartiles of the rounds' ratios."""
    rounds: int | None = None
    baseline: str | None = None
    microseconds: float | None = None
    """What one operation of ours took, in the median."""
    theirs: float | None = None
    """What one of the baseline took, in microseconds."""
    floor: float | None = None
    """The ratio of a bare socket to the baseline."""
    at: int | None = None
    axis: str = ""

    @property
    def title(self) -> str:
        """What is measured, in words."""
        point = f"{self.at:,} {self.axis}" if self.at is not None else ""
        return ", ".join(part for part in (self.name, self.contender, point) if part)


@contextmanager
def pinned(cpu: int | None) -> Generator[None]:
    """Keep this process, and those that it starts, on one CPU, where the system can; None leaves them all.

    Two shared CPUs give two speeds at random.
    """
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(
    module: str, server: str, cases: Iterable[Case | Fact], *, rounds: int, seconds: float, calls: int | None = None
) -> Iterator[Row]:
    """Measure each case as it is yielded.

    Args:
        rounds: How many for each case; fewer where they would take more than `seconds`, but three.
        calls: The most of them in a round, instead of as many as the case says.
    """
    for case in cases:
        if isinstance(case, Fact):
            yield Row(
                module, server, case.name, "", case.value, case.unit, case.target, case.stretch,
                spread=case.spread, at=case.at, axis=case.axis,
            )  # fmt: skip
        else:
            yield from _compared(module, server, case, rounds, seconds, min(case.calls, calls or case.calls))


def _compared(module: str, server: str, case: Case, rounds: int, seconds: float, calls: int) -> Iterator[Row]:
    baseline, theirs = case.baseline
    contenders = {baseline: theirs, **case.ours} | ({"floor": case.floor} if case.floor else {})
    times = _times(contenders, rounds, seconds, calls)
    base = times[baseline]
    floor = statistics.median(map(_ratio, times["floor"], base)) if case.floor else None
    for name in case.ours:
        ratios = list(map(_ratio, times[name], base))
        low, _, high = statistics.quantiles(ratios, n=4)
        yield Row(
            module, server, case.name, name, statistics.median(ratios), "x", case.target, case.stretch,
            spread=(high - low) / 2, rounds=len(ratios), baseline=baseline,
            microseconds=statistics.median(times[name]) / case.work * 1e6,
            theirs=statistics.median(base) / case.work * 1e6, floor=floor, at=case.at, axis=case.axis,
        )  # fmt: skip


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs


def _times(contenders: dict[str, Call], rounds: int, seconds: float, calls: int) -> dict[str, list[float]]:
    """Return the seconds that one call of each took, round by round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = deque(contenders.items())
    for call in contenders.values():
        call()  # connects, compiles, fills caches
    begin = time.perf_counter()
    for done in range(rounds):
        if done >= _LEAST and time.perf_counter() - begin > seconds:
            break
        gc.collect()
        for name, call in order:
            started = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - started) / calls)
        order.rotate()  # nobody is always the one after the pause
    return times
