"""The redis-py adapter, against servers that are refused, killed, paused, full, busy, or cut off in the middle."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.sentinel
import valkey
import valkey.asyncio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from redis.backoff import ExponentialBackoff
from redis.connection import Connection
from redis.retry import Retry

from distobjects import (
    AccessDenied,
    AsyncRedisBackend,
    CorruptData,
    DistObjectsError,
    F,
    OutcomeUnknown,
    OutOfMemory,
    ReadOnly,
    RedisBackend,
    StoreBusy,
    StoreUnavailable,
    connect,
    connect_async,
)
from distobjects._async_links import _IDLE_SECONDS
from distobjects._flow import Command, Flow, NoScript, WrongType, ask, reading
from distobjects._redis import lease_arguments, where
from distobjects._translation import reply_error
from distobjects._wire import divided, joined, packed
from distobjects.errors import Unsupported
from tests.fix_faults import Fault, Proxy, faulty
from tests.fix_servers import KINDS, Server, free_port, poll, running
from tests.fix_stores import CONNECT_SECONDS, FACES, Store

SECRET = "correct-horse"
THEIRS = (redis.RedisError, redis.exceptions.RedisClusterException, valkey.ValkeyError, OSError)


class Thing(BaseModel):
    n: int = 0
    text: str = ""


class Face:
    """One of both faces: opens stores that are closed behind the test."""

    def __init__(self, name: str, closing: ExitStack) -> None:
        self.loop = closing.enter_context(asyncio.Runner()) if name == "async" else None
        self.lib: Any = redis if name == "sync" else redis.asyncio
        self._closing = closing

    def do(self, work: Callable[[], Any]) -> Any:
        """Do work inside of the event loop, where there is one, and return what it returns, awaited."""

        async def inside() -> Any:
            made = work()
            return await made if asyncio.iscoroutine(made) else made

        return work() if self.loop is None else self.loop.run(inside())

    def connect(self, url: str, **options: Any) -> Store:
        backend: Any = (connect if self.loop is None else connect_async)(
            url, **{"connect_seconds": CONNECT_SECONDS, **options}
        )
        return self._store(backend, backend.close)

    def hand_over(self, make: Callable[[], Any]) -> Store:
        """Open a store on a client of the test's own."""
        client = self.do(make)
        backend: Any = (RedisBackend if self.loop is None else AsyncRedisBackend)(client)
        return self._store(backend, client.close if self.loop is None else client.aclose)

    def _store(self, backend: Any, close: Callable[[], Any]) -> Store:
        self._closing.callback(self.do, close)
        return Store(backend, None, None, self.loop)

    def client(self, port: int, **options: Any) -> Any:
        return self.lib.Redis(host="127.0.0.1", port=port, **options)


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    with ExitStack() as closing:
        yield Face(request.param, closing)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def failure(kind: type[DistObjectsError], port: int, work: Callable[..., Any], *args: Any, **options: Any) -> str:
    """See that the work fails as it should, with redis-py's error as the cause; return the message."""
    with pytest.raises(DistObjectsError) as caught:
        work(*args, **options)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert isinstance(caught.value.__cause__, THEIRS)
    assert f"127.0.0.1:{port}" in message
    assert SECRET not in message
    return message


def put(store: Store, n: int = 0, id: str = "1") -> None:
    store.objects(Thing).put(Thing(n=n), id=id)


def read(store: Store, id: str = "1") -> int:
    value: int = store.objects(Thing).read(id, F(Thing).n)
    return value


def write(store: Store, n: int, id: str = "1") -> None:
    store.objects(Thing).update(id, {"n": n})


def run(store: Store, *commands: Command) -> Any:
    return store.run(store.backend.run(ask(*commands)))


def rest() -> None:
    """Let all connections be idle: a connection that was in use a moment ago is not asked whether it lives."""
    begin = time.monotonic()
    poll(lambda: time.monotonic() - begin > 2 * _IDLE_SECONDS)


# ---- a server that is not there, or no more


def test_a_closed_port_is_reported_within_two_seconds(face: Face) -> None:
    port = free_port()
    store = face.connect(f"redis://user:{SECRET}@127.0.0.1:{port}/0")
    begin = time.monotonic()
    assert "is the server running?" in failure(StoreUnavailable, port, read, store)
    failure(StoreUnavailable, port, write, store, 1)
    assert time.monotonic() - begin < 2 * 2


def test_a_host_that_does_not_answer_is_reported_when_the_time_to_connect_is_over(face: Face) -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)  # takes one connection or two, and lets all others wait
        port = deaf.getsockname()[1]
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        store = face.connect(f"redis://127.0.0.1:{port}/0", connect_seconds=0.2)
        begin = time.monotonic()
        failure(StoreUnavailable, port, write, store, 1)
        assert 0.2 <= time.monotonic() - begin < 2


def test_a_server_that_was_killed_refuses_reads_and_writes_and_no_outcome_is_unknown(face: Face, kind: str) -> None:
    with running(kind) as server:
        store = face.connect(server.url)
        put(store)
        server.process.kill()
        server.process.wait()
        rest()
        failure(StoreUnavailable, server.port, write, store, 1)
        failure(StoreUnavailable, server.port, read, store)


@contextmanager
def killed_in_the_middle(server: Server) -> Iterator[None]:
    """Kill the server once it is busy with what the block has sent."""

    def kill() -> None:
        with server.client() as client:
            poll(lambda: _is_busy(client))
            server.process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        killer.join()


def _is_busy(client: redis.Redis) -> bool:
    try:
        return not client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")


FOREVER = ("EVAL", "while true do end", 0)


def test_a_server_that_is_killed_in_the_middle_of_a_write_leaves_the_outcome_unknown(face: Face, kind: str) -> None:
    with running(kind, "--busy-reply-threshold", "50") as server:
        store = face.connect(server.url)
        with killed_in_the_middle(server):
            message = failure(OutcomeUnknown, server.port, run, store, Command(FOREVER))
    assert "EVAL" in message
    assert "while" not in message


def test_a_server_that_is_killed_in_the_middle_of_a_read_is_asked_again_and_is_gone(face: Face, kind: str) -> None:
    with running(kind, "--busy-reply-threshold", "50") as server:
        store = face.connect(server.url)
        with killed_in_the_middle(server):
            failure(StoreUnavailable, server.port, run, store, reading(*FOREVER))


def test_a_paused_server_costs_one_time_out_that_can_be_set(face: Face, kind: str) -> None:
    with running(kind) as server:
        store, other = (face.connect(server.url, operation_seconds=0.2) for _ in range(2))
        put(store, 1)
        put(other, 1)
        os.kill(server.process.pid, signal.SIGSTOP)
        begin = time.monotonic()
        failure(StoreUnavailable, server.port, read, store)
        failure(OutcomeUnknown, server.port, write, other, 2)
        failure(StoreUnavailable, server.port, write, store, 2)  # it could not even connect again
        assert 0.6 <= time.monotonic() - begin < 2
        os.kill(server.process.pid, signal.SIGCONT)
        assert read(store) in (1, 2)


# ---- a server that refuses


def test_a_replica_refuses_writes_and_answers_reads(face: Face, kind: str) -> None:
    with running(kind) as primary, running(kind, "--replicaof", "127.0.0.1", str(primary.port)) as replica:
        above, below = face.connect(primary.url), face.connect(replica.url)
        put(above, 1)
        with replica.client() as client:
            poll(lambda: client.info("replication")["master_link_status"] == "up" and client.dbsize(), seconds=20)
        assert read(below) == 1
        assert "write to the primary" in failure(ReadOnly, replica.port, write, below, 2)
        failure(ReadOnly, replica.port, put, below)
        failure(ReadOnly, replica.port, below.objects(Thing).delete, "1")


def test_a_server_without_memory_left_refuses_writes(face: Face, kind: str) -> None:
    with running(kind, "--maxmemory-policy", "noeviction") as server:
        store = face.connect(server.url)
        put(store, 1)
        with server.client() as client:
            client.config_set("maxmemory", 1)
        assert "raise maxmemory" in failure(OutOfMemory, server.port, write, store, 2)
        failure(OutOfMemory, server.port, put, store, id="2")
        failure(OutOfMemory, server.port, store.objects(Thing).create, Thing(), id="2")
        assert read(store) == 1
        assert store.objects(Thing).delete("1")


def test_a_server_that_loads_its_data_is_busy(face: Face, kind: str) -> None:
    options = ("--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    options += ("--rdbcompression", "no")
    with running(kind, *options) as server, server.client() as client, server.client() as other:
        store = face.connect(server.url)
        put(store)
        for number in range(100):
            client.set(f"filler:{number}", "x" * 1024)
        client.config_set("key-load-delay", 50_000)  # microseconds for each key: five seconds in all
        reload = threading.Thread(target=_reload, args=(client,))
        reload.start()
        poll(lambda: _is_loading(other))
        failure(StoreBusy, server.port, read, store)
        failure(StoreBusy, server.port, write, store, 1)
        failure(StoreBusy, server.port, put, face.connect(server.url))
        server.process.kill()
        reload.join()


def _reload(client: redis.Redis) -> None:
    with pytest.raises(redis.ConnectionError):
        client.execute_command("DEBUG", "RELOAD")


def _is_loading(client: redis.Redis) -> bool:
    try:
        return not client.ping()
    except redis.exceptions.BusyLoadingError:
        return True


def test_a_server_that_runs_a_long_script_is_busy_until_that_ends(face: Face, kind: str) -> None:
    with running(kind, "--busy-reply-threshold", "50") as server, server.client() as client, server.client() as other:
        store = face.connect(server.url)
        put(store, 1)
        script = threading.Thread(target=_be_killed, args=(client,))
        script.start()
        poll(lambda: _is_busy(other))
        assert "try again" in failure(StoreBusy, server.port, read, store)
        failure(StoreBusy, server.port, write, store, 2)
        failure(StoreBusy, server.port, put, face.connect(server.url))  # who comes new is told so too
        other.script_kill()
        script.join()
        assert read(store) == 1


def _be_killed(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.execute_command(*FOREVER)


def test_a_wrong_or_missing_password_is_refused_access(face: Face, kind: str) -> None:
    with running(kind, "--requirepass", SECRET) as server:
        right = face.connect(f"redis://:{SECRET}@127.0.0.1:{server.port}/0")
        put(right, 1)
        assert read(right) == 1
        begin = time.monotonic()
        wrong = face.connect(f"redis://:{SECRET}-not@127.0.0.1:{server.port}/0")
        assert "check user, password" in failure(AccessDenied, server.port, read, wrong)
        failure(AccessDenied, server.port, write, wrong, 2)
        missing = face.connect(server.url)
        failure(AccessDenied, server.port, read, missing)
        failure(AccessDenied, server.port, write, missing, 2)
        assert time.monotonic() - begin < 2


def test_a_user_is_refused_what_its_rules_do_not_allow(face: Face, server: Server) -> None:
    with server.client() as client:
        client.acl_setuser(
            "clerk", enabled=True, reset=True, passwords=[f"+{SECRET}"], keys=["Thing:*"], commands=["+hget", "+select"]
        )
    store = face.connect(f"redis://clerk:{SECRET}@127.0.0.1:{server.port}/0")
    assert "ACL" in failure(AccessDenied, server.port, write, store, 1)
    failure(AccessDenied, server.port, put, store)
    elsewhere = face.connect(f"redis://clerk:{SECRET}@127.0.0.1:{server.port}/0", prefix="other:")
    failure(AccessDenied, server.port, read, elsewhere)


def test_a_server_with_too_many_clients_cannot_be_joined(face: Face, kind: str) -> None:
    with running(kind, "--maxclients", "3") as server, ExitStack() as crowd:
        with server.client() as client:
            poll(lambda: len(client.client_list()) == 1)
        for _ in range(3):
            poll(lambda: _joined(server, crowd))
        store = face.connect(server.url)
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}") as caught:
            read(store)
        # the server closes without reading, so that its words may be lost in the reset of the connection
        assert isinstance(caught.value, StoreBusy) == ("max number of clients" in str(caught.value))


def _joined(server: Server, crowd: ExitStack) -> bool:
    one = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    one.sendall(b"PING\r\n")
    if one.recv(16) == b"+PONG\r\n":
        crowd.enter_context(one)
        return True
    one.close()
    return False


def test_a_key_that_holds_no_hash_is_corrupt_data(face: Face, server: Server) -> None:
    server.flush()
    store = face.connect(server.url)
    with server.client() as client:
        client.set("Thing:1", "text")
    things = store.objects(Thing)
    for work in (lambda: read(store), lambda: write(store, 1), lambda: things.get("1"), lambda: things.get_many(["1"])):
        with pytest.raises(CorruptData, match=r"Thing '1'.*holds no hash") as caught:
            work()
        assert isinstance(caught.value.__cause__, WrongType)


def test_a_server_that_misses_its_replicas_refuses_writes(face: Face, kind: str) -> None:
    with running(kind, "--min-replicas-to-write", "1") as server:
        store = face.connect(server.url)
        assert "replicas" in failure(ReadOnly, server.port, put, store)
        failure(ReadOnly, server.port, store.objects(Thing).delete, "1")


def test_a_server_that_cannot_save_refuses_writes(face: Face, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with running(kind, "--dir", str(folder), "--save", "3600 1") as server, server.client() as client:
        shutil.rmtree(folder)
        client.bgsave()
        poll(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        store = face.connect(server.url)
        assert "persistence" in failure(ReadOnly, server.port, put, store)


def test_a_cluster_that_is_down_is_unavailable(face: Face) -> None:
    with running("valkey", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        failure(StoreUnavailable, server.port, read, face.connect(server.url))
        failure(StoreUnavailable, server.port, put, face.connect(server.url))


@pytest.mark.parametrize("blocking", [False, True], ids=["at once", "after waiting"])
def test_a_pool_without_a_free_connection_is_busy(face: Face, server: Server, blocking: bool) -> None:
    def make() -> Any:
        options: dict[str, Any] = {"timeout": 0.05} if blocking else {}
        kind = face.lib.BlockingConnectionPool if blocking else face.lib.ConnectionPool
        return face.lib.Redis.from_pool(kind(host="127.0.0.1", port=server.port, max_connections=1, **options))

    store = face.hand_over(make)
    pool = (
        store.backend.client.connection_pool
        if face.loop is None
        else face.do(lambda: store.backend.client).connection_pool
    )
    taken = face.do(lambda: pool.get_connection(*lease_arguments(pool)))
    failure(StoreBusy, server.port, read, store)
    failure(StoreBusy, server.port, put, store)
    face.do(lambda: pool.release(taken))
    put(store, 1)
    assert read(store) == 1


# What Redis 6.2 says of a command that fails in a script; from 7.0 on, the message begins with the code.
OLD_SCRIPT_ERRORS = {
    "ERR Error running script (call to f_0a): @user_script:4: WRONGTYPE Operation against a key": WrongType,
    "ERR Error running script (call to f_0a): @user_script: 4: -READONLY You can't write against a": ReadOnly,
    "ERR Error running script (call to f_0a): @user_script: 4: -OOM command not allowed when used": OutOfMemory,
    "ERR Error running script (call to f_0a): @user_script: 4: -NOREPLICAS Not enough good replicas": ReadOnly,
    "ERR Error running script (call to f_0a): @user_script: 4: -NOPERM this user has no permissions": AccessDenied,
    "ERR Error running script (call to f_0a): @user_script: 4: no idea": DistObjectsError,
}


@pytest.mark.parametrize(("message", "kind"), OLD_SCRIPT_ERRORS.items())
def test_an_error_inside_of_a_script_is_known_on_old_servers_too(message: str, kind: type[DistObjectsError]) -> None:
    error = reply_error(redis.ResponseError(message), "redis://h:1/0")
    assert type(error) is kind
    assert error.__cause__ is not None


def test_a_command_that_the_server_does_not_know_is_unsupported(face: Face, server: Server) -> None:
    store = face.connect(server.url)
    assert "doctor" in failure(Unsupported, server.port, run, store, Command(("NOSUCHCOMMAND", "k")))


def test_an_error_reply_of_no_known_kind_is_an_error_of_ours(face: Face, server: Server) -> None:
    failure(DistObjectsError, server.port, run, face.connect(server.url), Command(("HSET", "k")))
    with pytest.raises(NoScript):
        run(face.connect(server.url), Command(("EVALSHA", "0" * 40, 0)))


# ---- replies that are lost


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    server.flush()
    with faulty(server) as made:
        yield made


def retrying(face: Face, port: int, **options: Any) -> Store:
    """Open a store on a client of the user's that would send everything again by itself."""
    return face.hand_over(lambda: face.client(port, retry=_retries(face), **options))


def _retries(face: Face) -> Any:
    kind: Any = Retry if face.loop is None else redis.asyncio.retry.Retry
    return kind(ExponentialBackoff(cap=0.01, base=0.001), 5)


def _valkey_py(face: Face) -> Any:
    return valkey.Valkey if face.loop is None else valkey.asyncio.Valkey


OPENERS: dict[str, Callable[[Face, int], Store]] = {
    "url": lambda face, port: face.connect(f"redis://127.0.0.1:{port}/0"),
    "defaults": lambda face, port: face.hand_over(lambda: face.client(port)),
    "retries": lambda face, port: retrying(face, port),
    "resp2": lambda face, port: retrying(face, port, protocol=2),
    "resp3": lambda face, port: retrying(face, port, protocol=3),
    "text": lambda face, port: retrying(face, port, decode_responses=True),
    "valkey-py": lambda face, port: face.hand_over(lambda: _valkey_py(face)(host="127.0.0.1", port=port)),
    "health checks": lambda face, port: retrying(face, port, health_check_interval=1),
}


@pytest.fixture(params=OPENERS)
def cut_off(request: pytest.FixtureRequest, face: Face, proxy: Proxy) -> Store:
    """A store behind the proxy, through each kind of client."""
    return OPENERS[request.param](face, proxy.port)


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY])
def test_a_write_whose_reply_is_lost_is_done_once_and_its_outcome_is_unknown(
    cut_off: Store, proxy: Proxy, fault: Fault
) -> None:
    proxy.arm(fault, "HINCRBY")
    failure(OutcomeUnknown, proxy.port, run, cut_off, Command(("HINCRBY", "k", "f", 1)))
    assert proxy.fired == [fault]
    assert run(cut_off, reading("HGET", "k", "f")) == [b"1"]


def test_a_flow_hears_that_its_reply_is_lost_and_may_still_ask(cut_off: Store, proxy: Proxy) -> None:
    def flow() -> Flow[Any]:
        try:
            yield from ask(Command(("HINCRBY", "k", "f", 1)))
        except OutcomeUnknown:
            return (yield from ask(reading("HGET", "k", "f")))

    proxy.arm(Fault.LOSE_REPLY, "HINCRBY")
    assert cut_off.run(cut_off.backend.run(flow())) == [b"1"]
    assert proxy.fired == [Fault.LOSE_REPLY]


def test_a_batch_of_writes_whose_reply_is_lost_is_done_once(cut_off: Store, proxy: Proxy) -> None:
    proxy.arm(Fault.LOSE_REPLY, "HINCRBY")
    batch = [Command(("HINCRBY", f"k{number}", "f", 1)) for number in range(3)]
    failure(OutcomeUnknown, proxy.port, run, cut_off, *batch)
    assert run(cut_off, *(reading("HGET", f"k{number}", "f") for number in range(3))) == [b"1", b"1", b"1"]


def test_a_script_whose_reply_is_lost_runs_once(cut_off: Store, proxy: Proxy) -> None:
    proxy.arm(Fault.LOSE_REPLY, "EVAL")
    script = Command(("EVAL", "return redis.call('HINCRBY', KEYS[1], 'f', 1)", 1, "k"))
    failure(OutcomeUnknown, proxy.port, run, cut_off, script)
    assert run(cut_off, reading("HGET", "k", "f")) == [b"1"]


def test_a_write_that_is_lost_on_its_way_is_not_done_and_its_outcome_is_unknown(cut_off: Store, proxy: Proxy) -> None:
    proxy.arm(Fault.LOSE_REQUEST, "HINCRBY")
    failure(OutcomeUnknown, proxy.port, run, cut_off, Command(("HINCRBY", "k", "f", 1)))
    assert run(cut_off, reading("HGET", "k", "f")) == [None]


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.CUT_REPLY])
def test_a_read_that_is_lost_is_repeated_and_succeeds(cut_off: Store, proxy: Proxy, fault: Fault) -> None:
    put(cut_off, 7)
    proxy.arm(fault, "HGET", times=3)
    assert read(cut_off) == 7
    assert proxy.fired == [fault] * 3


def test_a_read_that_is_lost_again_and_again_is_given_up(cut_off: Store, proxy: Proxy) -> None:
    put(cut_off, 7)
    proxy.arm(Fault.LOSE_REPLY, "HGET", times=5)
    failure(StoreUnavailable, proxy.port, read, cut_off)
    assert len(proxy.fired) == 4


def test_a_batch_of_reads_that_is_lost_is_repeated(cut_off: Store, proxy: Proxy) -> None:
    for id in "123":
        put(cut_off, int(id), id)
    proxy.arm(Fault.LOSE_REPLY, "HMGET")
    assert [thing.n for thing in cut_off.objects(Thing).get_many("123")] == [1, 2, 3]


def test_a_reply_that_comes_too_late_is_given_to_nobody_else(face: Face, server: Server, proxy: Proxy) -> None:
    store = face.connect(proxy.url, operation_seconds=1.0)
    put(store, 7)
    asked = server.command_counts().get("HGET", 0)
    proxy.arm(Fault.HOLD_REPLY, "HGET")
    failure(StoreUnavailable, proxy.port, read, store)
    assert server.command_counts()["HGET"] == asked + 1  # a time-out is not repeated
    proxy.arm(Fault.HOLD_REPLY, "HINCRBY")
    failure(OutcomeUnknown, proxy.port, run, store, Command(("HINCRBY", "k", "f", 41)))
    proxy.release()
    assert read(store) == 7
    assert run(store, reading("HGET", "k", "f"), reading("EXISTS", "nothing")) == [b"41", 0]


@pytest.mark.parametrize("opener", ["url", "defaults", "resp2", "resp3", "valkey-py"])
def test_a_connection_that_died_idle_is_noticed_before_a_write(face: Face, server: Server, opener: str) -> None:
    store = OPENERS[opener](face, server.port)
    put(store)
    with server.client() as client:
        for n in range(1, 4):
            client.client_kill_filter(_type="normal", skipme=True)
            poll(lambda: len(client.client_list()) == 1)
            rest()
            write(store, n)
            assert read(store) == n


# ---- interruptions


class Interruption(BaseException):
    """As KeyboardInterrupt, but nobody else's."""


def test_an_interrupted_operation_leaves_no_reply_to_the_next(proxy: Proxy) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise Interruption

    def send() -> None:
        poll(lambda: proxy.fired)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=proxy.port, max_connections=1, timeout=1)
    before = signal.signal(signal.SIGUSR1, interrupt)
    sender = threading.Thread(target=send)
    with redis.Redis.from_pool(pool) as client:
        things = RedisBackend(client).objects(Thing)
        things.put(Thing(n=1), id="1")
        things.put(Thing(n=2), id="2")
        proxy.arm(Fault.HOLD_REPLY, "HGET")
        try:
            sender.start()
            with pytest.raises(Interruption):
                things["1"].n
        finally:
            sender.join()
            signal.signal(signal.SIGUSR1, before)
        proxy.release()
        assert [things["2"].n, things["1"].n] == [2, 1]  # the one connection is back, and clean


@contextmanager
def interrupted(step: int, *files: str) -> Iterator[None]:
    """Raise an `Interruption` in the block, before the line of these files that is the step-th to run."""
    left = step

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(files):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise Interruption
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_an_operation_that_is_interrupted_at_any_line_leaves_no_reply_to_the_next(server: Server) -> None:
    # A trace function is of one thread; in this one it would take the place of coverage's for the rest of the run.
    with ThreadPoolExecutor(1) as other:
        other.submit(interrupt_at_every_line, server).result()


def interrupt_at_every_line(server: Server) -> None:
    server.flush()
    with server.client() as client:
        things = RedisBackend(client).objects(Thing)
        for id in "12":
            things.put(Thing(n=int(id)), id=id)
        for step in range(200):
            try:
                with interrupted(step, "_links.py", "_leases.py", "_channels.py"):
                    things.get_many("11")
            except Interruption:
                assert [things["2"].n, things["1"].n] == [2, 1]
            else:
                break
        assert 10 < step < 199


@pytest.mark.parametrize("multiplex", [True, False])
def test_a_task_that_is_cancelled_at_any_step_leaves_no_reply_and_no_connection_behind(
    server: Server, multiplex: bool
) -> None:
    server.flush()

    async def cancel_everywhere() -> None:
        pool = redis.asyncio.BlockingConnectionPool(host="127.0.0.1", port=server.port, max_connections=2, timeout=5)
        async with redis.asyncio.Redis.from_pool(pool) as client:
            db = AsyncRedisBackend(client, multiplex=multiplex)
            things = db.objects(Thing)
            for id in "12":
                await things.put(Thing(n=int(id)), id=id)
            reached = False
            for steps in range(60):
                others = [asyncio.ensure_future(things.read("2", F(Thing).n)) for _ in range(3)]
                task = asyncio.ensure_future(things.read("1", F(Thing).n))
                for _ in range(steps):
                    await asyncio.sleep(0)
                reached |= not task.cancel()
                results = await asyncio.gather(task, return_exceptions=True)
                assert results == [1] or isinstance(results[0], asyncio.CancelledError)
                assert await asyncio.gather(*others) == [2, 2, 2]
                if steps % 3 == 0:
                    await pool.disconnect()  # so that connecting is interrupted too
            assert reached
            await db.close()
            free = len(pool._available_connections)
            assert free <= 2
            assert not pool._in_use_connections

    asyncio.run(cancel_everywhere())


def test_a_cancelled_write_in_the_middle_of_its_reply_leaves_nothing_to_the_next(proxy: Proxy) -> None:
    async def cancel_it() -> None:
        async with connect_async(proxy.url) as db:
            proxy.arm(Fault.HOLD_REPLY, "HINCRBY")
            task = asyncio.ensure_future(db.run(ask(Command(("HINCRBY", "k", "f", 41)))))
            await asyncio.to_thread(poll, lambda: proxy.fired)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            proxy.release()
            assert await db.run(ask(reading("EXISTS", "nothing"))) == [0]

    asyncio.run(cancel_it())


def test_many_threads_share_a_small_pool(server: Server) -> None:
    server.flush()
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=server.port, max_connections=2, timeout=20)
    with redis.Redis.from_pool(pool) as client, server.client() as other:
        things = RedisBackend(client).objects(Thing)
        before, wrong = len(other.client_list()), []

        def work(number: int) -> None:
            id = str(number)
            things.put(Thing(n=number), id=id)
            wrong.extend(n for _ in range(50) if (n := things[id].n) != number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(other.client_list()) <= before + 2


def test_many_tasks_share_the_pool_of_our_own_client(server: Server) -> None:
    server.flush()

    async def work() -> None:
        async with connect_async(server.url) as db:
            things = db.objects(Thing)
            await things.put_many({str(number): Thing(n=number) for number in range(200)})
            reads = (things.read(str(number), F(Thing).n) for number in range(200))
            assert await asyncio.gather(*reads) == list(range(200))
            assert len(await db.client.client_list()) <= 64 + 5

    asyncio.run(work())


# ---- bytes

ARGUMENTS = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), st.integers())
COMMANDS = st.tuples(st.sampled_from(["HSET", "EVALSHA"]), *[ARGUMENTS] * 3)


@given(st.lists(COMMANDS, max_size=5))
def test_commands_are_packed_as_redis_py_packs_them(commands: list[tuple[Any, ...]]) -> None:
    theirs = b"".join(b"".join(Connection().pack_command(*args)) for args in commands)
    assert packed([Command(args) for args in commands]) == theirs


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"encoding": "latin-1", "decode_responses": True}])
def test_the_same_bytes_are_written_and_read_whatever_the_client_is_set_to(
    face: Face, server: Server, protocol: int, options: dict[str, Any]
) -> None:
    server.flush()
    store = face.hand_over(lambda: face.client(server.port, protocol=protocol, **options))
    things = store.objects(Thing)
    things.put(Thing(n=1, text="naïve €"), id="é")
    with server.client() as client:
        assert client.hgetall("Thing:é") == {b"n": b"1", b"text": "naïve €".encode()}
    assert things.get("é") == Thing(n=1, text="naïve €")
    assert things.read("é", F(Thing).text) == "naïve €"
    assert things.ids() == ["é"]


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"encoding": "latin-1", "decode_responses": True}])
def test_a_client_that_is_not_driven_by_hand_is_sent_the_same_bytes(face: Face, options: dict[str, Any]) -> None:
    server = fakeredis.FakeServer()
    kind: Any = fakeredis.FakeRedis if face.loop is None else fakeredis.FakeAsyncRedis
    things = face.hand_over(lambda: kind(server=server, **options)).objects(Thing)
    things.create_many({"é": Thing(text="naïve €"), "e": Thing()})
    with fakeredis.FakeRedis(server=server) as client:
        assert client.hgetall("Thing:é") == {b"n": b"0", b"text": "naïve €".encode()}
    assert things.get("é").text == "naïve €"
    assert [thing.text for thing in things.get_many(["é", "e"])] == ["naïve €", ""]
    assert sorted(things.ids()) == ["e", "é"]


# ---- clusters

# An asyncio cluster client of redis-py does not close the nodes that it replaces when it looks at the cluster again.
cluster_client = pytest.mark.filterwarnings(
    "ignore:Unclosed ClusterNode:ResourceWarning", "ignore:unclosed Connection:ResourceWarning"
)


def _collect() -> None:
    """Let those nodes complain here, not in somebody else's test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def cluster_proxy(cluster_server: Server) -> Iterator[Proxy]:
    """A proxy under whose port the one node of a cluster makes itself known."""
    cluster_server.flush()
    with faulty(cluster_server) as made, cluster_server.client() as client:
        client.config_set("cluster-announce-port", made.port)
        yield made
        client.config_set("cluster-announce-port", 0)


@pytest.fixture
def clustered(face: Face, cluster_proxy: Proxy) -> Store:
    return face.hand_over(lambda: _cluster_client(face, cluster_proxy.port))


def _cluster_client(face: Face, port: int, **options: Any) -> Any:
    face._closing.callback(_collect)
    kind: Any = redis.RedisCluster if face.loop is None else redis.asyncio.cluster.RedisCluster
    return kind(host="127.0.0.1", port=port, **options)


@cluster_client
@pytest.mark.parametrize("size", [1, 3])
def test_a_cluster_client_sends_no_write_again_either(
    clustered: Store, cluster_proxy: Proxy, cluster_server: Server, size: int
) -> None:
    cluster_proxy.arm(Fault.LOSE_REPLY, "HINCRBY")
    writes = [Command(("HINCRBY", f"k{number}", "f", 1)) for number in range(size)]
    failure(OutcomeUnknown, cluster_proxy.port, run, clustered, *writes)
    assert cluster_proxy.fired == [Fault.LOSE_REPLY]
    with cluster_server.client() as client:
        assert [client.hget(f"k{number}", "f") for number in range(size)] == [b"1"] * size


@cluster_client
def test_a_cluster_client_runs_a_script_once(clustered: Store, cluster_proxy: Proxy, cluster_server: Server) -> None:
    cluster_proxy.arm(Fault.LOSE_REPLY, "EVAL")
    script = Command(("EVAL", "return redis.call('HINCRBY', KEYS[1], 'f', 1)", 1, "k"))
    failure(OutcomeUnknown, cluster_proxy.port, run, clustered, script)
    with cluster_server.client() as client:
        assert client.hget("k", "f") == b"1"


@cluster_client
def test_a_cluster_client_repeats_reads(clustered: Store, cluster_proxy: Proxy) -> None:
    if clustered.asynchronous and int(redis.__version__.partition(".")[0]) < 7:
        pytest.skip("asyncio clients before redis-py 7 forget a node whose connection was lost, and so their only one")
    things = clustered.objects(Thing)
    things.create_many({id: Thing(n=int(id)) for id in "123"})
    cluster_proxy.arm(Fault.LOSE_REPLY, "HGET")
    assert read(clustered, "1") == 1
    cluster_proxy.arm(Fault.LOSE_REPLY, "HMGET")
    assert [thing.n for thing in things.get_many("123")] == [1, 2, 3]


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[list[Server]]:
    """A cluster of three primaries, each with a third of the slots."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port")
        nodes = [stack.enter_context(running("valkey", *options, str(free_port()))) for _ in range(3)]
        clients = [stack.enter_context(node.client()) for node in nodes]
        bus = [client.config_get("cluster-port")["cluster-port"] for client in clients]
        shares = ((0, 5460), (5461, 10922), (10923, 16383))
        for number, (client, share) in enumerate(zip(clients, shares, strict=True)):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER ADDSLOTSRANGE", *share)
        for node, port in zip(nodes, bus, strict=True):
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, port)
        for client in clients:
            poll(lambda: _knows_all(client), seconds=20)  # noqa: B023  # called at once
        yield nodes


def _knows_all(client: redis.Redis) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return (info["cluster_state"], info["cluster_known_nodes"], info["cluster_size"]) == ("ok", "3", "3")


@pytest.fixture
def spread(face: Face, three_nodes: list[Server]) -> Store:
    for node in three_nodes:
        node.flush()
    return face.hand_over(lambda: _cluster_client(face, three_nodes[0].port))


@cluster_client
def test_the_objects_of_all_nodes_of_a_cluster_are_listed_once(spread: Store, three_nodes: list[Server]) -> None:
    things = spread.objects(Thing)
    ids = [str(number) for number in range(3000)]
    assert things.create_many({id: Thing(n=int(id)) for id in ids}) == ids
    assert sorted(things.ids()) == sorted(ids)
    assert things.count() == 3000
    assert [thing.n for thing in things.get_many(ids)] == list(range(3000))
    for node in three_nodes:
        with node.client() as client:
            assert client.dbsize() > 500


@cluster_client
def test_a_batch_of_writes_follows_a_slot_that_has_moved(spread: Store, three_nodes: list[Server]) -> None:
    things = spread.objects(Thing)
    things.create_many({str(number): Thing() for number in range(30)})
    things.delete_many(["0"])
    with ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for node in three_nodes]
        names = [client.execute_command("CLUSTER MYID") for client in clients]
        slot = clients[0].execute_command("CLUSTER KEYSLOT", "Thing:0")
        owner = slot // 5461

        def epochs(node: int) -> set[str]:
            told = [each for client in clients for each in client.execute_command("CLUSTER NODES").values()]
            return {each["epoch"] for each in told if each["node_id"].encode() == names[node]}

        def give(node: int) -> None:
            """Let a node have the slot; in an epoch that all know, or what they tell each other might take it back."""
            clients[node].execute_command("CLUSTER BUMPEPOCH")
            poll(lambda: len(epochs(node)) == 1)
            for client in clients:
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", names[node])

        give((owner + 1) % 3)
        try:
            commands = [Command(("HINCRBY", f"Thing:{number}", "n", 1)) for number in range(30)]
            assert run(spread, *commands) == [1] * 30
            assert run(spread, Command(("HINCRBY", "Thing:0", "n", 1))) == [2]
        finally:
            spread.run(spread.backend.run(ask(Command(("DEL", "Thing:0")))))
            give(owner)


@cluster_client
def test_a_slot_that_no_node_of_a_cluster_has_is_unavailable_and_no_outcome_is_unknown(face: Face) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-port", str(free_port()))
    with running("valkey", *options) as server, server.client() as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
        poll(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", seconds=20)
        store = face.hand_over(lambda: _cluster_client(face, server.port, require_full_coverage=False))
        ids = {client.execute_command("CLUSTER KEYSLOT", f"Thing:{n}") < 8192: str(n) for n in range(20)}
        put(store, 1, ids[True])
        assert read(store, ids[True]) == 1
        failure(StoreUnavailable, server.port, put, store, 1, ids[False])
        failure(StoreUnavailable, server.port, store.objects(Thing).delete_many, [ids[True], ids[False]])
        assert read(store, ids[True]) == 1
        failure(StoreUnavailable, server.port, read, store, ids[False])
        failure(StoreUnavailable, server.port, store.objects(Thing).get_many, [ids[True], ids[False]])


def test_a_node_of_a_cluster_says_that_it_is_one(face: Face, three_nodes: list[Server]) -> None:
    stores = [face.connect(node.url) for node in three_nodes]
    said = [_said(store) for store in stores]
    assert said.count("") == 1  # by the node that has the key
    for node, message in zip(three_nodes, said, strict=True):
        assert not message or f"127.0.0.1:{node.port}" in message
        assert not message or "RedisBackend(redis.RedisCluster(...)) finds it" in message


def _said(store: Store) -> str:
    try:
        store.objects(Thing).exists("1")
    except Unsupported as error:
        return str(error)
    return ""


@cluster_client
def test_a_cluster_that_cannot_be_reached_is_unavailable() -> None:
    port = free_port()

    async def try_it() -> None:
        client = redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=port)
        things = AsyncRedisBackend(client).objects(Thing)
        for work in (things.exists("1"), things.delete("1"), things.count(), things.delete_many(["1", "2"])):
            with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}"):
                await work
        await client.aclose()

    asyncio.run(try_it())


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=5), st.integers(1, 4))
def test_one_cursor_goes_through_the_pages_of_all_nodes(nodes: list[list[int]], size: int) -> None:
    """Each node's cursor is the place in its keys where the next page begins, and 0 at their end."""
    seen: list[int] = []
    cursor = -1
    while cursor:
        own, node = divided(Command(("SCAN", max(cursor, 0))), len(nodes))
        end = own + size
        reply = (end if end < len(nodes[node]) else 0, nodes[node][own:end])
        cursor, page = joined(reply, node, len(nodes))
        seen += page
    assert seen == [key for keys in nodes for key in keys]


# ---- names


def test_a_server_is_named_without_credentials() -> None:
    assert where(redis.Redis(host="h", port=7, db=2, username="u", password=SECRET)) == "redis://h:7/2"
    assert where(redis.Redis(host="h", ssl=True, password=SECRET)) == "rediss://h:6379/0"
    assert where(redis.Redis(unix_socket_path="/run/s", password=SECRET)) == "unix:///run/s"
    assert where(redis.Redis.from_url(f"redis://u:{SECRET}@h:7/2")) == "redis://h:7/2"
    assert where(redis.asyncio.Redis(host="h", password=SECRET)) == "redis://h:6379/0"
    assert where(fakeredis.FakeRedis()) == "memory"


def test_a_cluster_and_a_sentinel_are_named_by_what_the_user_knows_them_by() -> None:
    sentinel = redis.sentinel.Sentinel([("h", 1)], password=SECRET)
    assert where(sentinel.master_for("main")) == "sentinel://main"
    later = redis.asyncio.sentinel.Sentinel([("h", 1)])
    assert where(later.master_for("main")) == "sentinel://main"
    assert where(redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=7)) == "cluster://127.0.0.1:7"


@pytest.mark.parametrize("kind", [RedisBackend, AsyncRedisBackend])
@pytest.mark.parametrize("client", [None, "redis://localhost", redis])
def test_what_is_no_client_is_refused(kind: Callable[[Any], Any], client: object) -> None:
    with pytest.raises(TypeError, match="is no Redis client; connect"):
        kind(client)


def test_a_client_of_the_other_colour_is_refused() -> None:
    with pytest.raises(TypeError, match="AsyncRedisBackend takes it"):
        RedisBackend(redis.asyncio.Redis())
    with pytest.raises(TypeError, match="RedisBackend takes it"):
        AsyncRedisBackend(redis.Redis())


def _never() -> Flow[None]:
    raise AssertionError("a closed backend runs nothing")
    yield


def test_a_closed_backend_runs_nothing(face: Face, server: Server) -> None:
    store = face.connect(server.url)
    put(store)
    face.do(store.backend.close)
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}/0 is closed; connect again"):
        store.run(store.backend.run(_never()))
