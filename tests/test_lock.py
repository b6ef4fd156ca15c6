"""A lock beside an object: one holder at a time, for as long as its block runs and not much longer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from redis.crc import key_slot

from distobjects import AsyncRedisBackend, Conflict, DistObjectsError, RedisBackend, StoreUnavailable
from tests.fix_servers import Server, poll, running
from tests.fix_stores import Store, connected

# Extended each third of it: a busy machine may be late by a second.
LEASE = 1.5

HOLDER = """
import sys
from pydantic import BaseModel
from distobjects import connect

class Student(BaseModel):
    name: str = ""

with connect(sys.argv[1]).objects(Student).lock("1"):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""


class Student(BaseModel):
    name: str = ""


@pytest.fixture
def students(store: Store) -> Any:
    """Objects of which one is stored."""
    objects = store.objects(Student)
    objects.create(Student(), id="1")
    return objects


def holding(store: Store, objects: Any, within: Callable[[], object], **options: float) -> None:
    """Call a function while the lock is held. In asyncio's case it runs beside the event loop, which goes on."""
    if not store.asynchronous:
        with objects.face.lock("1", **options):
            within()
        return

    async def hold() -> None:
        async with objects.face.lock("1", **options):
            await asyncio.to_thread(within)

    store.run(hold())


def refused(store: Store, objects: Any) -> None:
    with pytest.raises(Conflict, match="another holder kept the lock for 0 s"):
        holding(store, objects, lambda: pytest.fail("held twice"), wait_seconds=0)


def test_a_lock_has_one_holder_and_is_free_afterwards(store: Store, students: Any) -> None:
    assert store.server is not None
    held = []

    def within() -> None:
        assert store.server is not None
        for face in ("sync", "async"):  # both faces mean the same lock
            with beside(store.server, face) as other:
                refused(other, other.objects(Student))
        held.append(store.raw.keys())

    holding(store, students, within)
    assert sorted(held[0]) == [b"Student:1", b"{Student:1}~lock"]
    assert store.raw.keys() == [b"Student:1"]
    holding(store, students, lambda: None, wait_seconds=0)


def beside(server: Server, face: str) -> Any:
    """Another store on the same server, which is not emptied for it."""
    return connected(Kept(server.kind, server.port, server.socket, server.process), face)


class Kept(Server):
    def flush(self) -> None:
        """Leave everything as it is."""


def test_a_lock_is_exclusive_across_processes(store: Store, students: Any) -> None:
    assert store.server is not None
    command = [sys.executable, "-c", HOLDER, store.server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        started = time.monotonic()
        refused(store, students)
        assert time.monotonic() - started < 3  # it did not wait as long as by default
        process.stdin.write("\n")
        process.stdin.flush()
        holding(store, students, lambda: None, wait_seconds=5)
        assert process.stdout.readline() == "released\n"


def test_a_lock_is_waited_for(store: Store, students: Any) -> None:
    assert store.server is not None
    taken, enough = threading.Event(), threading.Event()

    def first() -> None:
        assert store.server is not None
        with beside(store.server, "sync") as other, other.objects(Student).face.lock("1"):
            taken.set()
            enough.wait(5)

    thread = threading.Thread(target=first)
    thread.start()
    assert taken.wait(5)
    order: list[str] = []
    timer = threading.Timer(0.05, lambda: (order.append("released"), enough.set()))
    timer.start()
    holding(store, students, lambda: order.append("held"), wait_seconds=5)
    thread.join()
    assert order == ["released", "held"]


def test_a_lock_outlives_its_lease_while_it_is_held(store: Store, students: Any) -> None:
    started = time.monotonic()

    def within() -> None:
        poll(lambda: time.monotonic() - started > 1.2 * LEASE)
        [key] = [key for key in store.raw.keys() if b"lock" in key]  # noqa: SIM118  # a client, no dict
        assert 0 < store.raw.pttl(key) <= LEASE * 1000

    holding(store, students, within, lease_seconds=LEASE)
    assert store.raw.keys() == [b"Student:1"]


def test_a_lease_ends_by_itself_when_its_holder_is_gone(store: Store, students: Any) -> None:
    store.raw.set("{Student:1}~lock", "of a holder that was killed", px=100)
    holding(store, students, lambda: None, wait_seconds=5)


def test_a_lost_lease_is_reported(store: Store, students: Any) -> None:
    done = []

    def within() -> None:
        store.raw.delete("{Student:1}~lock")
        done.append(True)

    with pytest.raises(Conflict, match="lease was lost") as failure:
        holding(store, students, within)
    assert done == [True]
    assert (failure.value.id, failure.value.fields) == ("1", ())


def test_the_lock_of_another_is_not_given_back(store: Store, students: Any) -> None:
    with pytest.raises(Conflict, match="lease was lost"):
        holding(store, students, lambda: store.raw.set("{Student:1}~lock", "another's"))
    assert store.raw.get("{Student:1}~lock") == b"another's"


def test_a_lease_that_was_lost_is_not_extended(store: Store, students: Any) -> None:
    def within() -> None:
        store.raw.set("{Student:1}~lock", "another's", px=5000)
        started = time.monotonic()
        poll(lambda: time.monotonic() - started > LEASE / 2)
        assert store.raw.pttl("{Student:1}~lock") > LEASE * 1000

    with pytest.raises(Conflict, match="lease was lost"):
        holding(store, students, within, lease_seconds=LEASE)


def test_a_lock_is_released_when_its_block_raises(store: Store, students: Any) -> None:
    def within() -> None:
        raise ZeroDivisionError

    def losing() -> None:
        store.raw.delete("{Student:1}~lock")
        raise ZeroDivisionError

    for failing in (within, losing):
        with pytest.raises(ZeroDivisionError):
            holding(store, students, failing)
        assert store.raw.keys() == [b"Student:1"]


def test_no_thread_and_no_task_is_left(store: Store, students: Any) -> None:
    holding(store, students, lambda: None)
    assert [thread for thread in threading.enumerate() if thread.name == "distobjects-lock"] == []
    if store.loop is not None:
        tasks = asyncio.all_tasks(store.loop.get_loop())
        assert [task for task in tasks if task.get_name() == "distobjects-lock"] == []


def test_a_lock_lives_in_the_object_s_slot_and_is_no_object(store: Store, students: Any) -> None:
    def within() -> None:
        [key] = set(store.raw.keys()) - {b"Student:1"}
        assert key_slot(key) == key_slot(b"Student:1")
        names.append(key)

    names: list[bytes] = []
    holding(store, students, within)
    assert names == [b"{Student:1}~lock"]
    store.raw.set(names[0], "held")
    assert (list(students.ids()), students.count()) == (["1"], 1)


def test_it_does_so_under_a_tagged_prefix(live: Store) -> None:
    backend = RedisBackend(live.backend.client, prefix="{app}:")
    objects = backend.objects(Student)
    objects.create(Student(), id="1")
    with objects.lock("1"):
        assert set(live.raw.keys()) == {b"{app}:Student:1", b"{app}:~lock:Student:1"}
        assert (list(objects), list(live.objects(Student).ids())) == (["1"], [])


def test_a_lock_needs_no_object_and_each_id_has_its_own(store: Store, students: Any) -> None:
    def within() -> None:
        assert store.server is not None
        with beside(store.server, "sync") as other, other.objects(Student).face.lock("absent", wait_seconds=0):
            pass

    holding(store, students, within)


def test_a_lock_hinders_nobody_who_does_not_ask_for_it(store: Store, students: Any) -> None:
    holding(store, students, lambda: store.raw.hset("Student:1", "name", "Ron"))
    assert students.get("1").name == "Ron"


def test_a_lock_comes_about_through_every_kind_of_client(anywhere: Store) -> None:
    objects = anywhere.objects(Student)
    holding(anywhere, objects, lambda: None, wait_seconds=0)
    with pytest.raises(Conflict, match="lease was lost"):
        holding(anywhere, objects, lambda: anywhere.raw.delete("{Student:1}~lock"))
    anywhere.raw.set("{Student:1}~lock", "another's")
    refused(anywhere, objects)


@pytest.mark.parametrize("kind", [RedisBackend, AsyncRedisBackend])
def test_no_error_of_redis_py_leaks(kind: Any) -> None:
    with running("valkey") as server, beside(server, "sync" if kind is RedisBackend else "async") as store:
        objects = store.objects(Student)
        with pytest.raises(DistObjectsError) as failure:
            holding(store, objects, lambda: (server.process.kill(), server.process.wait()))
        assert isinstance(failure.value, StoreUnavailable)
        with pytest.raises(StoreUnavailable):
            holding(store, objects, lambda: None)
