"""Interleaved rounds and their ratios: what is compared runs in the same seconds, on the same CPU."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """One contender's result: the median of its ratios to the baseline of the same round, and its own time."""

    name: str
    ratio: float
    spread: float
    microseconds: float


def pin(cpu: int) -> None:
    """Keep this process on one CPU, where the system can: two shared CPUs give two speeds at random."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def machine() -> str:
    """Name what the numbers were measured on."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


def compare(
    contenders: Mapping[str, Callable[[], object]], *, baseline: str, rounds: int = 25, calls: int = 400
) -> list[Row]:
    """Time all contenders in turn, round by round.

    Args:
        calls: how often each is called in a round.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - started) / calls * 1e6)
    rows: list[Row] = []
    for name, taken in times.items():
        ratios = [one / base for one, base in zip(taken, times[baseline], strict=True)]
        quarter = statistics.quantiles(ratios, n=4)
        rows.append(Row(name, statistics.median(ratios), quarter[2] - quarter[0], statistics.median(taken)))
    return rows


def show(title: str, rows: list[Row]) -> None:
    """Print a table."""
    print(f"\n{title}")
    for row in rows:
        print(f"  {row.name:44}{row.ratio:6.2f}  +-{row.spread / 2:.2f}{row.microseconds:9.1f} us")
