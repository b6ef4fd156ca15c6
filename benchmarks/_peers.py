"""What others take for the same work: each in a virtual environment of its own, against the redis-py in there."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import _server

_ROOT = Path(__file__).parents[1]
_HOME = _ROOT / ".bench" / "venvs"
SYNC = "distobjects redis-om pydantic-redis walrus walrus.Hash pottery redis-dict valkey-glide-sync".split()
ASYNC = "distobjects.asyncio rapyer coredis valkey-glide".split()


class Peer(NamedTuple):
    """One library on one server: its ratios to redis-py by operation, or why there are none."""

    name: str
    server: str
    versions: str
    ratios: dict[str, float]
    reason: str = ""


def measured(servers: dict[str, str], rounds: int) -> Iterator[Peer]:
    """Install each library where it is not installed yet, and measure it on every server."""
    for name in (*SYNC, *ASYNC):
        python = _python(name.partition(".")[0])
        for kind, binary in servers.items():
            if not isinstance(python, Path):
                yield Peer(name, kind, "", {}, python)
                continue
            with _server.running(kind, binary) as server:
                command = [str(python), "-m", "benchmarks._peer", name, str(server.port), str(rounds)]
                try:
                    ran = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=300)
                except subprocess.TimeoutExpired:
                    yield Peer(name, kind, "", {}, "took more than 5 minutes")
                    continue
            if ran.returncode:
                yield Peer(name, kind, "", {}, _last(ran.stderr))
            else:
                yield Peer(name, kind, **json.loads(_last(ran.stdout)))


def _python(package: str) -> Path | str:
    """Return the Python that has a library, and redis-py with hiredis; or why there is none."""
    if package == "distobjects":
        return Path(sys.executable)
    home = _HOME / package
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (home / "installed").exists():
        venv.create(home, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", package, "redis", "hiredis"]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            return f"cannot be installed: {_last(ran.stderr)}"
        (home / "installed").touch()
    return python


def _last(output: str) -> str:
    return (output.strip().splitlines() or ["no word"])[-1]
