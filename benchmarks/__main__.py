"""`python -m benchmarks`: every benchmark on every server that is installed, in one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib import import_module

from . import _rounds, _server

MODULES = ("attribute", "atomic")
"""Modules of this package, in the order of the report; each has `cases()`."""


def measured(only: list[str], *, rounds: int, quick: bool) -> Iterator[_rounds.Row]:
    """Measure on one server after the other."""
    _rounds.pin(0)
    limits = {"rounds": 2, "seconds": 0.5, "calls": 3} if quick else {"rounds": rounds, "seconds": 20}
    for kind, binary in _server.binaries().items():
        for name in only:
            with _server.running(kind, binary, cpu=0) as server:
                cases = import_module(f"benchmarks.{name}").cases(server, quick=quick)
                yield from _rounds.measure(name, kind, cases, **limits)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=MODULES, help="a module of the benchmarks; may be repeated")
    parser.add_argument("--rounds", type=int, default=25, help="at most, of each comparison")
    parser.add_argument("--quick", action="store_true", help="see in seconds that it runs; the numbers are void")
    options = parser.parse_args()
    for row in measured(options.only or list(MODULES), rounds=options.rounds, quick=options.quick):
        spread = f" +-{row.spread:.2f}" if row.spread is not None else ""
        target = f" (wanted {row.target:g})" if row.target is not None else ""
        print(f"{row.server:7} {row.module:12} {row.title:44} {row.value:8.2f} {row.unit}{spread}{target}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
