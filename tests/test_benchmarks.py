"""The benchmarks run, and what they write is made from what they measured; no number is judged here."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import _figures, _report, _rounds, _server
from benchmarks._case import Case, Fact
from benchmarks._peers import Peer
from benchmarks._rounds import Row

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> None:
    """Run the command, and show what it said where it failed."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results() -> _report.Results:
    """Return some results without measuring any."""
    machine = {"CPU": "one", "valkey server": "9.1.2", "redis server": "7.0.15"}
    rows = [
        Row("attribute", server, "read, TCP", "int", 0.5, "x", 0.52, 0.45, 0.01, 5, "redis-py hget", 20.0, 40.0, 0.4)
        for server in ("valkey", "redis")
    ]
    curve = Row("threads", "redis", "read", "", 0.6, "x", 0.52, None, 0.1, 5, "redis-py hget", 25.0, 40.0)
    rows += [curve._replace(at=at, axis="threads") for at in (1, 16)]
    rows.append(Row("start", "redis", "a live object", "", 1056.8, "bytes", 200, None))
    peers = [
        Peer("walrus", "valkey", "walrus 1, redis 8", {"read": 2.5}),
        Peer("walrus", "redis", "walrus 1, redis 8", {"read": 2.75}),
        Peer("rapyer", "redis", "", {}, "needs | a module"),
    ]
    return _report.Results(machine, rows, peers)


# ---- the smoke run


def test_a_quick_run_measures_everything_on_every_server(tmp_path: Path) -> None:
    run("--quick", "--out", str(tmp_path))
    found = _report.Results.load(tmp_path)
    assert found
    assert {row.server for row in found.rows} == set(_server.binaries())
    for server in _server.binaries():
        assert list(dict.fromkeys(row.module for row in found.rows if row.server == server)) == list(benchmarks.MODULES)
    assert [row.title for row in found.rows if not math.isfinite(row.value)] == []
    page = (tmp_path / "speed.md").read_text()
    assert [row.title for row in found.rows if f"| {row.title} |" not in page] == []
    assert "void" in page
    before = files(tmp_path)
    run("--draw", "--out", str(tmp_path))
    assert files(tmp_path) == before


def test_every_module_that_has_cases_is_in_the_list() -> None:
    having = {path.stem for path in ROOT.glob("benchmarks/*.py") if "\ndef cases(" in path.read_text()}
    assert set(benchmarks.MODULES) == having


# ---- rounds


def test_contenders_take_turns_and_ratios_are_of_one_round() -> None:
    called: list[str] = []
    case = Case("read", ("theirs", lambda: called.append("t")), {"": lambda: called.append("o")}, calls=2)
    [row] = _rounds.measure("module", "redis", [case], rounds=3, seconds=60)
    assert "".join(called) == "to" + "ttoo" + "oott" + "ttoo"
    assert (row.rounds, row.baseline, row.unit) == (3, "theirs", "x")


def test_a_case_is_measured_before_the_module_goes_on() -> None:
    told: list[str] = []

    def cases() -> object:
        yield Case("read", ("theirs", int), {"": lambda: told.append("called")}, calls=1)
        told.append("cleared up")
        yield Fact("held", 3, "bytes")

    rows = list(_rounds.measure("module", "redis", cases(), rounds=2, seconds=60))  # type: ignore[arg-type]
    assert told == ["called", "called", "called", "cleared up"]
    assert [(row.name, row.unit) for row in rows] == [("read", "x"), ("held", "bytes")]


def test_a_comparison_that_takes_too_long_has_three_rounds() -> None:
    [row] = _rounds.measure("module", "redis", [Case("read", ("theirs", int), {"": int})], rounds=99, seconds=0)
    assert row.rounds == 3


# ---- what is written


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    results().save(tmp_path)
    assert _report.Results.load(tmp_path) == results()
    assert _report.Results.load(tmp_path / "elsewhere") is None


def test_the_blocks_of_a_page_are_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text("above\n<!-- tables -->\nstale\n<!-- /tables -->\nbelow\n")
    _report.write(results(), tmp_path)
    written = page.read_text()
    assert written.startswith("above\n<!-- tables -->\n\n**One attribute")
    assert written.endswith("<!-- /tables -->\nbelow\n")
    assert "stale" not in written
    assert "| read, TCP, int | redis-py hget, 40 µs | **0.50** ±0.01 | **0.50** ±0.01 | 0.40 | 0.52 | 0.45 |" in written
    assert "| read, 16 threads | redis-py hget, 40 µs |  | 0.60 ±0.10 |  | 0.52 |  |" in written
    assert "| a live object |  |  | 1,057 bytes |  | 200 |  |" in written


def test_a_peer_that_cannot_be_measured_stands_in_the_table_with_its_reason(tmp_path: Path) -> None:
    written = _report.write(results(), tmp_path).read_text()
    assert "| walrus | walrus 1, redis 8 | 2.50 / 2.75 |" in written
    assert r"| rapyer | needs \| a module |" in written


def test_the_same_results_make_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = [_figures.draw(results(), tmp_path / name) for name in ("first", "second")]
    assert [path.name for path in drawn[0]] == ["attribute.svg", "threads.svg"]
    assert files(tmp_path / "first") == files(tmp_path / "second")


# ---- the page of the docs


def test_no_number_of_the_page_was_typed_by_hand(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "speed.md").read_text()
    found = _report.Results.load(ROOT / "docs")
    assert found
    assert "void" not in found.machine
    assert _report.filled(page, found) == page
    assert re.findall(r"^<!-- (\w+) -->", page, re.MULTILINE) == list(_report.BLOCKS)


def test_the_page_shows_every_figure_that_its_results_make(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    shutil.copytree(ROOT / "docs" / "figures", tmp_path / "figures")
    found = _report.Results.load(tmp_path)
    assert found
    drawn = {path.name for path in _figures.draw(found, tmp_path)}
    shown = set(re.findall(r"\]\(figures/(\S+\.svg)\)", (ROOT / "docs" / "speed.md").read_text()))
    assert shown == drawn == {path.name for path in (ROOT / "docs" / "figures").glob("*.svg")}
