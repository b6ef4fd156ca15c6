"""Was a history of reads and writes of one register linearizable? Exact, in O(n log n), for unique written values.

After Gibbons and Korach, "Testing Shared Memories" (1997):

1. A write and the reads that returned its value form a cluster. In a linearization nothing of another cluster may
   come between them.
2. A cluster of which one operation ended before another began takes at least the time from its earliest end to its
   latest start: its forward zone. Two forward zones may not overlap.
3. Any other cluster fits into one instant, between its latest start and its earliest end: its backward zone. It may
   not lie within a forward zone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

# The end of a write whose outcome is unknown: it may happen at any time after its start, or never.
NEVER = math.inf


class Operation(NamedTuple):
    """One read or write, by one clock; `value` is what was written or returned."""

    start: float
    end: float
    writes: bool
    value: int


class Violation(NamedTuple):
    """What no order of the operations explains."""

    kind: str
    value: int
    other: int | None = None


class Zone(NamedTuple):
    """The time that a cluster needs, or the one in which it must find its instant."""

    low: float
    high: float
    value: int


def violations(history: Iterable[Operation], initial: int) -> list[Violation]:
    """Return what is wrong with a history; nothing if it is linearizable.

    Args:
        history: without reads that failed, and without writes that are known not to have happened.
    """
    writes = {initial: (-NEVER, -NEVER)}
    reads: dict[int, tuple[float, float]] = {}  # latest start, earliest end
    found: list[Violation] = []
    for start, end, is_write, value in history:
        if is_write:
            if value in writes:
                found.append(Violation("written twice", value))
            writes[value] = start, end
        elif value in reads:
            latest, earliest = reads[value]
            reads[value] = max(latest, start), min(earliest, end)
        else:
            reads[value] = start, end
    for value, (_, earliest) in reads.items():
        if value not in writes:
            found.append(Violation("read but never written", value))
        elif earliest < writes[value][0]:
            found.append(Violation("read before it was written", value))
    return found + _disordered(*_zones(writes, reads))


def _zones(
    writes: dict[int, tuple[float, float]], reads: dict[int, tuple[float, float]]
) -> tuple[list[Zone], list[Zone]]:
    forward: list[Zone] = []
    backward: list[Zone] = []
    for value, (start, end) in writes.items():
        latest, earliest = start, end
        if value in reads:
            latest, earliest = max(start, reads[value][0]), min(end, reads[value][1])
        elif end == NEVER:
            continue  # nobody saw it: it need not have happened
        if earliest < latest:
            forward.append(Zone(earliest, latest, value))
        else:
            backward.append(Zone(latest, earliest, value))
    return sorted(forward), backward


def _disordered(forward: list[Zone], backward: list[Zone]) -> list[Violation]:
    found = [
        Violation("two values alternate", one.value, other.value)
        for one, other in pairwise(forward)
        if other.low < one.high
    ]
    lows = [zone.low for zone in forward]
    for zone in backward:
        around = bisect_right(lows, zone.low) - 1
        if around >= 0 and forward[around].low < zone.low and zone.high < forward[around].high:
            found.append(Violation("lost, or the other is stale", zone.value, forward[around].value))
    return found
