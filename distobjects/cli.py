"""The command line: `distobjects demo`, `doctor` and `watch`. The only file that prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

from . import DistObjectsError, _demo, _doctor, _spectator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a wrong call ends with status 2, as argparse has it."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (DistObjectsError, OSError) as error:
        print(f"distobjects: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="distobjects", description="Typed objects that live in Redis.")
    parser.add_argument("--version", action="version", version=version("distobjects"))
    commands = parser.add_subparsers(metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="see two processes share one object; takes seconds",
        description="Let two processes share one object, in the store that connect() opens, and clean up.",
    )
    demo.set_defaults(run=_run_demo)
    doctor = commands.add_parser(
        "doctor",
        help="look at a server: can it be reached, how fast is it, what can it do",
        description="Look at a server. It stores one object of its own for the test, and deletes it.",
        epilog="exit status: 0 fine, 1 problems, 2 the server cannot be reached",
    )
    doctor.add_argument("url", nargs="?", metavar="URL", help="the store to look at; default: what connect() opens")
    doctor.add_argument("--json", action="store_true", help="write one JSON object")
    doctor.set_defaults(run=_run_doctor)
    watch = commands.add_parser(
        "watch",
        help="see what changes, as it happens",
        description="Show what changes in a store, by whomever, as it is stored. It needs no model, writes nothing, "
        "and keeps a copy of what it watches in memory. Ctrl-C ends it.",
    )
    watch.add_argument("url", metavar="URL", help="the store to watch")
    watch.add_argument(
        "what",
        nargs="?",
        metavar="space[:id]",
        help="a space (Student), an object (Student:1), or what keys begin with (app:Student:); default: every hash",
    )
    watch.add_argument("--json", action="store_true", help="write one JSON object a line")
    watch.set_defaults(run=_run_watch)
    return parser


def _run_demo(options: argparse.Namespace) -> int:
    _demo.show(partial(print, flush=True))
    return 0


def _run_doctor(options: argparse.Namespace) -> int:
    report = _doctor.examine(options.url)
    print(json.dumps(report.facts(), indent=2) if options.json else "\n".join(report.lines()))
    return report.status


def _run_watch(options: argparse.Namespace) -> int:
    def begun() -> None:
        print(f"watching {options.what or 'every hash'}; Ctrl-C ends it", file=sys.stderr, flush=True)

    for seen in _spectator.spectate(options.url, options.what, begun):
        print(json.dumps(seen.facts()) if options.json else seen.line(), flush=True)
    return 0
