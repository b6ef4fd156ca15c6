"""The static types: what checkers must accept and infer, and what they must refuse, line by line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TYPING = Path(__file__).parent / "typing"
FILES = ("accepted.py", "refused.py")
MARK = re.compile(r"# refused: ")

Errors = dict[str, dict[int, str]]


def mypy() -> Errors:
    """Return mypy's errors, by file and line."""
    cache = ROOT / ".mypy_cache" / "typing"  # of its own: the gate's has other options
    options = ("--strict", "--explicit-package-bases", "--config-file=", "--cache-dir", str(cache), "--no-pretty")
    ran = _checked("mypy", *options, *FILES)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return _by_line(
        (Path(path).name, int(line), text)
        for path, line, text in re.findall(r"^(.+?):(\d+): error: (.*)$", ran.stdout, re.MULTILINE)
    )


def pyright() -> Errors:
    """Return pyright's errors, by file and line."""
    ran = _checked("pyright", "--project", str(TYPING), "--pythonpath", sys.executable, "--outputjson")
    report = json.loads(ran.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES), ran.stdout
    return _by_line(
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    )


def _checked(checker: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip(checker, reason="of the dev extra")
    return subprocess.run([sys.executable, "-m", checker, *arguments], cwd=TYPING, capture_output=True, text=True)


def _by_line(errors: Iterable[tuple[str, int, str]]) -> Errors:
    found: Errors = {name: {} for name in FILES}
    for name, line, text in errors:
        found.setdefault(name, {})[line] = text
    return found


CHECKERS: dict[str, Callable[[], Errors]] = {"mypy": mypy, "pyright": pyright}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_accepts_what_is_right_and_refuses_what_is_wrong(checker: str) -> None:
    lines = (TYPING / "refused.py").read_text().splitlines()
    wrong = {number: line for number, line in enumerate(lines, 1) if MARK.search(line)}
    assert wrong
    errors = CHECKERS[checker]()
    assert errors.keys() == set(FILES)
    assert errors["accepted.py"] == {}
    missed = [line for number, line in wrong.items() if number not in errors["refused.py"]]
    assert missed == []
    assert {number: text for number, text in errors["refused.py"].items() if number not in wrong} == {}
