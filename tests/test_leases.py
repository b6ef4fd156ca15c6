"""Leased connections: kept for speed, never at the price of a wrong reply, a lost pool or a write on a dead socket."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

import pytest
import redis
from pydantic import BaseModel

from distobjects import Objects, RedisBackend, StoreUnavailable, _leases
from distobjects._flow import Command, ask, reading
from distobjects._redis import lease_arguments

from .fix_servers import Server, poll


class Counter(BaseModel):
    n: int = 0
    name: str = ""


class CountingPool(redis.ConnectionPool):
    """A real pool that counts what is taken from it and given back."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.taken = self.given = 0

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        self.taken += 1
        return super().get_connection(*lease_arguments(super()))

    def release(self, connection: Any) -> None:
        self.given += 1
        super().release(connection)


class InterruptedConnection(redis.Connection):
    """Is interrupted once, between a command and its reply."""

    interrupt = False

    def read_response(self, *args: Any, **options: Any) -> Any:
        if type(self).interrupt:
            type(self).interrupt = False
            raise KeyboardInterrupt
        return super().read_response(*args, **options)


@pytest.fixture
def pool(server: Server, url: str) -> CountingPool:
    return CountingPool(port=server.port, max_connections=64)


@pytest.fixture
def backend(pool: CountingPool) -> RedisBackend:
    return RedisBackend(redis.Redis(connection_pool=pool))


@pytest.fixture
def counters(backend: RedisBackend) -> Objects[Counter]:
    return backend.objects(Counter)


def kill_others(server: Server) -> None:
    server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_many_round_trips_take_one_connection_from_the_pool(counters: Objects[Counter], pool: CountingPool) -> None:
    counter = counters.create(Counter())
    for n in range(20):
        counter.n = n
        assert counter.n == n
    assert pool.taken <= 3  # half a second may end in between


def test_an_idle_connection_goes_back_to_the_pool_by_itself(counters: Objects[Counter], pool: CountingPool) -> None:
    counters.create(Counter())
    assert pool.taken > pool.given
    assert poll(lambda: pool.taken == pool.given)


def test_the_thread_that_gives_back_ends_when_nothing_is_leased(
    counters: Objects[Counter], backend: RedisBackend
) -> None:
    counters.create(Counter())
    link: Any = backend._runner._link
    thread = link._leases._keeper
    assert poll(lambda: not thread.is_alive())


def test_a_small_pool_is_left_to_its_user(server: Server, url: str) -> None:
    client = redis.Redis(connection_pool=redis.ConnectionPool(port=server.port, max_connections=1))
    counter = RedisBackend(client).objects(Counter).create(Counter())
    assert counter.n == 0
    assert client.ping()


def test_closing_gives_every_lease_back(counters: Objects[Counter], backend: RedisBackend, pool: CountingPool) -> None:
    counters.create(Counter())
    backend.close()
    assert pool.taken == pool.given
    assert backend.client.ping()


def test_a_write_notices_that_its_idle_connection_has_died(
    counters: Objects[Counter], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = counters.create(Counter())
    monkeypatch.setattr(_leases, "_IDLE_SECONDS", 0.0)
    for n in range(20):
        kill_others(server)
        counter.n = n
        assert counter.n == n


def test_a_read_on_a_dead_connection_is_repeated(counters: Objects[Counter], server: Server) -> None:
    counter = counters.create(Counter(n=7))
    for _ in range(20):
        kill_others(server)
        assert counter.n == 7


def test_an_interrupt_before_the_reply_leaves_it_for_nobody(server: Server, url: str) -> None:
    pool = redis.ConnectionPool(connection_class=InterruptedConnection, port=server.port, max_connections=64)
    backend = RedisBackend(redis.Redis(connection_pool=pool))
    counter = backend.objects(Counter).create(Counter(n=1, name="one"))
    assert counter.n == 1
    InterruptedConnection.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        _ = counter.n
    assert counter.name == "one"


def echo(backend: RedisBackend, text: str) -> bytes:
    def flow() -> Any:
        [reply] = yield from ask(reading("ECHO", text))
        return reply

    return bytes(backend.run(flow()))


def test_threads_under_kills_never_get_each_other_s_replies(backend: RedisBackend, server: Server) -> None:
    wrong: list[str] = []
    done = threading.Event()

    def read(name: int) -> None:
        for n in range(300):
            text = f"{name}-{n}"
            with suppress(StoreUnavailable):  # killed again and again: an error is no wrong reply
                if echo(backend, text) != text.encode():
                    wrong.append(text)

    def kill() -> None:
        while not done.wait(0.01):
            kill_others(server)

    killer = threading.Thread(target=kill)
    readers = [threading.Thread(target=read, args=(name,)) for name in range(8)]
    killer.start()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    done.set()
    killer.join()
    assert wrong == []


def test_a_forked_child_uses_connections_of_its_own(backend: RedisBackend) -> None:
    assert echo(backend, "before") == b"before"
    child = os.fork()
    if child == 0:  # no assert here: the child must not run the rest of the suite
        right = all(echo(backend, f"child {n}") == f"child {n}".encode() for n in range(300))
        os._exit(0 if right else 1)
    right = all(echo(backend, f"parent {n}") == f"parent {n}".encode() for n in range(300))
    _, status = os.waitpid(child, 0)
    assert right
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_command_that_only_writes_is_checked_and_one_that_only_reads_is_not() -> None:
    assert not Command(("SET", "a", "b")).repeatable
    assert reading("GET", "a").repeatable
