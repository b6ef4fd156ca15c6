"""The gate: `python -m tests` runs every check, `python -m tests --quick` the tests alone.

All checks run, also after one that failed: one run tells everything that is to be mended.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("pytest", "-q", "-n", "auto", "--maxprocesses", "4")


def gate(site: str) -> dict[str, tuple[str, ...]]:
    """Name every check; each is a module of this interpreter and its arguments."""
    return {
        "lint": ("ruff", "check", "--quiet"),
        "format": ("ruff", "format", "--check", "--quiet"),
        "mypy": ("mypy",),
        # pyright looks for packages beside the `python` on PATH, which need not be this one
        "pyright": ("pyright", "--pythonpath", sys.executable),
        "tests": (*TESTS, "--cov", "--cov-report=", "--cov-fail-under=0"),
        "coverage": ("coverage", "report"),
        "docs": ("mkdocs", "build", "--quiet", "--strict", "--site-dir", site),
    }


def passes(title: str, command: tuple[str, ...]) -> bool:
    """Run one check, its output as it comes, and close with its result and time."""
    print(f"--- {title}", flush=True)
    begin = time.monotonic()
    status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode
    print(f"--- {title}: {'FAILED' if status else 'ok'}, {time.monotonic() - begin:.1f} s\n", flush=True)
    return status == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", description="Run every check of the project.")
    parser.add_argument("--quick", action="store_true", help="run the tests only, without coverage")
    # Both would tell, in every run, of newer versions and of other products.
    os.environ.update(NO_MKDOCS_2_WARNING="1", PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    with tempfile.TemporaryDirectory() as site:
        checks = {"tests": TESTS} if parser.parse_args().quick else gate(site)
        failed = [title for title, command in checks.items() if not passes(title, command)]
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
