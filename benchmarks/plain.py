"""One attribute where hiredis is not installed, on either side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from . import _rounds, attribute
from ._case import Case, Fact
from ._server import Server

# A module that is None cannot be imported, nor found: redis-py and we fall back on Python.
_WITHOUT = "import sys; sys.modules['hiredis'] = None; from benchmarks import plain; plain.main(*sys.argv[1:])"
_TARGET = 0.75


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Measure in another process, for here redis-py has hiredis already."""
    command = [sys.executable, "-c", _WITHOUT, server.name, str(server.port), server.socket]
    command.append("2" if quick else "15")  # rounds
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for each in json.loads(printed):
        yield Fact(**each)


def main(name: str, port: str, socket: str, rounds: str) -> None:
    """Print what is measured, as JSON."""
    cases = (
        case
        for case in attribute.cases(Server(name, int(port), socket), quick=False)
        if isinstance(case, Case) and case.name.endswith("TCP")
    )
    rows = _rounds.measure("plain", name, cases, rounds=int(rounds), seconds=5, calls=3 if rounds == "2" else None)
    facts = [
        Fact(f"{row.name}, {row.contender}", row.value, "x", target=_TARGET, spread=row.spread)._asdict()
        for row in rows
        if "client" not in row.contender
    ]
    print(json.dumps(facts))
