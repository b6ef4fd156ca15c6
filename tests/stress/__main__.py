"""Run scenarios at their full sizes and print a table: `python -m tests.stress [scenario ...] [--server valkey|redis]`.

A scenario that fails says so, and the others run all the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing

from tests.fix_servers import KINDS, running
from tests.fix_stores import FACES
from tests.stress.crew import Crew
from tests.stress.figures import Figures
from tests.stress.scenarios import SCENARIOS
from tests.stress.stage import Stage

_HEAD = f"{'scenario':<18}{'server':<8}{'colour':<7}" + "".join(
    f"{name:>13}" for name in ("acknowledged", "stored", "unknown", "conflicts", "retries", "worst s", "seconds")
)


class Line:
    """A line on the terminal that tells how far a run has come."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown = 0.0

    def watch(self, ticks: int) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._shown > 0.2:
            self._shown = now
            print(f"\r{self._title} {ticks:,}\033[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def row(name: str, kind: str, colour: str, figures: Figures) -> str:
    """Return a line of the table."""
    counts = (figures.acknowledged, figures.stored, figures.unknown, figures.conflicts, figures.retries)
    cells = [*("-" if count is None else f"{count:,}" for count in counts)]
    cells += [f"{figures.worst_seconds:.2f}", f"{figures.seconds:.1f}"]
    return f"{name:<18}{kind:<8}{colour:<7}" + "".join(f"{cell:>13}" for cell in cells) + f"  {figures.note}"


def play(name: str, stage: Stage, line: Line, scale: float) -> bool:
    """Run one scenario and print its figures; say whether it kept its promise."""
    scenario, started = SCENARIOS[name], time.monotonic()
    try:
        figures = scenario.play(stage, max(1, round(scenario.size * scale)))
    except (AssertionError, RuntimeError, TimeoutError) as error:
        line.clear()
        last = str(error).strip().rpartition("\n")[2]
        print(f"{name:<18}{stage.server.kind:<8}{stage.colour:<7} FAILED: {last or type(error).__name__}", flush=True)
        return False
    figures.seconds = time.monotonic() - started
    line.clear()
    print(row(name, stage.server.kind, stage.colour, figures), flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description="Run the stress scenarios.")
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--server", choices=KINDS, help="both by default")
    parser.add_argument("--colour", choices=FACES, help="both by default")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the full sizes")
    asked = parser.parse_args()
    if unknown := set(asked.scenario) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    print(_HEAD)
    kept: list[bool] = []
    with closing(Crew(asked.processes)) as crew:
        for kind in [asked.server] if asked.server else KINDS:
            with running(kind) as server:
                for name in asked.scenario or SCENARIOS:
                    colours = SCENARIOS[name].colours
                    for colour in [each for each in colours if asked.colour in (None, each)]:
                        line = Line(f"{name} {kind} {colour}")
                        stage = Stage(server, colour, crew, line.watch, most_seconds=1800)
                        kept.append(play(name, stage, line, asked.scale))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
