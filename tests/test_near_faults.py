"""The near cache when something goes wrong: what it cannot keep it reads past, and what is lost it forgets."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel, Field, create_model

from distobjects import CorruptData, F, Near, Unsupported
from distobjects import _near_links as near_links
from tests.fix_faults import Fault, Proxy, faulty
from tests.fix_servers import Server, poll, running
from tests.fix_stores import FACES, Store
from tests.test_near_cache import S, Student, age, link_of, opened, trips_of_a_read, warm


@contextmanager
def _behind(server: Server, face: str, near: Near | None = None) -> Iterator[tuple[Store, Proxy]]:
    """Open a store behind a proxy, with an object that has been read."""
    with faulty(server) as proxy, opened(server, face, proxy.url, near or Near()) as store:
        warm(store)
        yield store, proxy


@pytest.fixture(params=FACES)
def near(request: pytest.FixtureRequest, server: Server) -> Iterator[Store]:
    with opened(server, request.param, server.url, Near()) as store:
        warm(store)
        yield store


@pytest.fixture
def live(server: Server) -> Iterator[Store]:
    with opened(server, "sync", server.url, Near()) as store:
        warm(store)
        yield store


@pytest.fixture
def awaited(server: Server) -> Iterator[Store]:
    with opened(server, "async", server.url, Near()) as store:
        warm(store)
        yield store


def _another(store: Store, value: int) -> None:
    """Put an object that nobody has read."""
    store.raw.hset("Student:2", mapping={"name": "Ron", "age": value, "tags": "[]"})


def _is_tracked_again(store: Store) -> None:
    """A connection that redis-py opens anew by itself reads without being tracked: what it reads stays stale."""
    for value in range(8, 12):
        age(store, "2")
        store.raw.hset("Student:2", "age", value)
        poll(lambda value=value: age(store, "2") == value, seconds=5)  # type: ignore[misc]  # bound now
    poll(lambda: not trips_of_a_read(store))


# ---- replies that are lost, cut or wrong


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.CUT_REPLY])
@pytest.mark.parametrize("face", FACES)
def test_what_could_not_be_read_into_the_cache_is_read_past_it(server: Server, face: str, fault: Fault) -> None:
    with _behind(server, face) as (store, proxy):
        _another(store, 7)
        proxy.arm(fault, "PTTL")
        assert store.run(store.objects(Student)["2"].age) == 7
        assert proxy.fired == [fault]
        _is_tracked_again(store)


@pytest.mark.parametrize("face", FACES)
def test_lost_answers_to_pings_end_the_connections_and_others_are_opened(server: Server, face: str) -> None:
    with _behind(server, face, Near(lease_seconds=0.05)) as (store, proxy):
        first = link_of(store)._listener
        proxy.arm(Fault.LOSE_REPLY, "PING", times=2)
        poll(lambda: (age(store), len(proxy.fired) == 2)[1])
        store.raw.hset("Student:1", "age", 5)
        poll(lambda: age(store) == 5)
        poll(lambda: not trips_of_a_read(store))
        assert link_of(store)._listener is not first


def test_a_key_that_is_no_hash_is_told_and_leaves_the_others_in_the_cache(near: Store) -> None:
    near.raw.set("Student:2", "x")
    for _ in range(2):
        with pytest.raises(CorruptData, match="holds no hash"):
            age(near, "2")
    assert trips_of_a_read(near) == 0


@pytest.mark.parametrize("which", ["_pulse", "_reader_pulse"])
def test_a_connection_that_does_not_answer_is_given_up(live: Store, which: str) -> None:
    link = link_of(live)
    first = link._listener
    getattr(link, which).sent(-1000.0)
    link.cache.distrust()
    assert age(live) == 0
    assert link._lost
    poll(lambda: (age(live), link._listener is not first and not link._lost)[1])
    assert trips_of_a_read(live) == 0


def test_a_listener_that_does_not_answer_is_given_up_by_asyncio_too(awaited: Store) -> None:
    link = link_of(awaited)
    first = link._listener
    link._pulse.sent(-1000.0)
    link.cache.distrust()
    assert age(awaited) == 0
    assert link._lost
    poll(lambda: (age(awaited), link._listener is not first and not link._lost)[1])
    assert trips_of_a_read(awaited) == 0


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_server_that_cannot_track_is_refused(face: str, kind: str) -> None:
    with running(kind, "--rename-command", "CLIENT", "") as server, opened(server, face, server.url, Near()) as store:
        store.objects(Student).put(Student(), id="1")
        for _ in range(2):
            with pytest.raises(Unsupported, match="near= needs a server that tells what changes"):
                age(store)


def test_an_answer_that_another_thread_kept_from_being_heard_is_heard_before_judging(live: Store) -> None:
    link = link_of(live)
    link._reader_pulse.sent(time.monotonic())
    link._reader.ping()
    assert select.select([link._reader], [], [], 10)[0]
    link._ask_for_life(time.monotonic() + 1000)
    assert not link._reader_pulse.silent(time.monotonic())


def test_a_live_object_of_asyncio_is_read_past_a_cache_that_is_lost(awaited: Store) -> None:
    student = awaited.backend.objects(Student)["1"]
    link_of(awaited)._lose()
    assert awaited.run(_age_of(student)) == 0


async def _age_of(student: Any) -> int:
    value: int = await student.age
    return value


# ---- several at once


def _waiting(thread: threading.Thread, name: str) -> Callable[[], bool]:
    """Say whether a thread has come to a halt in a function of this name."""

    def halted() -> bool:
        frame = sys._current_frames().get(thread.ident or 0)
        return frame is not None and frame.f_code.co_name == name

    return halted


@pytest.mark.parametrize("lost", [False, True])
def test_a_thread_that_waited_for_another_reads_what_that_has_brought(live: Store, lost: bool) -> None:
    _another(live, 7)
    link, read = link_of(live), list[int]()
    thread = threading.Thread(target=lambda: read.append(age(live, "2")))
    objects = live.backend.objects(Student)
    with link._reading:
        thread.start()
        poll(_waiting(thread, "entry"))
        if lost:
            link._lose()
        else:
            link._fetch(objects._near.table, objects._space, "2")
    thread.join()
    assert read == [7]
    poll(lambda: not trips_of_a_read(live))


def test_of_tasks_that_ask_at_once_one_reads_for_all(awaited: Store) -> None:
    _another(awaited, 7)
    objects, link = awaited.backend.objects(Student), link_of(awaited)

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(objects.read("2", S.age) for _ in range(3)))

    link._reader.post, posted = _counting(link._reader.post)
    assert awaited.run(all_at_once()) == [7, 7, 7]
    assert len(posted) == 1


def _counting(post: Any) -> tuple[Any, list[Any]]:
    posted = list[Any]()

    def counting(step: Any) -> Any:
        posted.append(step)
        return post(step)

    return counting, posted


def test_tasks_that_ask_at_once_open_the_connections_once(server: Server) -> None:
    with opened(server, "async", server.url, Near()) as store:
        objects = store.backend.objects(Student)
        store.run(objects.put(Student(age=3), id="1"))

        async def all_at_once() -> list[int]:
            return await asyncio.gather(*(objects.read("1", S.age) for _ in range(3)))

        assert store.run(all_at_once()) == [3, 3, 3]
        assert sum(client["sub"] == "1" for client in store.raw.client_list()) == 1


def test_tasks_that_waited_for_a_connection_that_is_lost_read_past_the_cache(server: Server) -> None:
    with _behind(server, "async") as (store, proxy):
        _another(store, 7)
        proxy.arm(Fault.LOSE_REPLY, "PTTL")
        objects = store.backend.objects(Student)

        async def all_at_once() -> list[int]:
            return await asyncio.gather(*(objects.read("2", S.age) for _ in range(3)))

        assert store.run(all_at_once()) == [7, 7, 7]


# ---- asyncio: what is still to be taken in


def _arrived(store: Store) -> Any:
    """Change an object, so that a message waits before the event loop, and return the link."""
    link = link_of(store)
    store.raw.hset("Student:1", "age", 5)
    assert select.select([link._listener], [], [], 10)[0]
    link.cache.distrust()
    return link


def test_a_read_takes_in_what_has_arrived_before_it(awaited: Store) -> None:
    _arrived(awaited)
    assert age(awaited) == 5
    assert trips_of_a_read(awaited) == 0


def test_what_cannot_be_taken_in_at_once_is_read_past(awaited: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distobjects._async_near_links._TURNS", 0)
    link_of(awaited).cache.distrust()
    assert trips_of_a_read(awaited) == 1


def test_a_connection_that_is_lost_while_a_task_takes_in_what_there_is(awaited: Store) -> None:
    async def read_and_lose() -> int:
        link, objects = _arrived(awaited), awaited.backend.objects(Student)
        read = asyncio.create_task(objects.read("1", S.age))
        lose = asyncio.create_task(asyncio.to_thread(lambda: None))
        asyncio.get_running_loop().call_soon(link._lose)
        await lose
        return await read

    assert awaited.run(read_and_lose()) == 5
    poll(lambda: not trips_of_a_read(awaited))


def test_a_ping_that_comes_too_late_is_not_sent(awaited: Store) -> None:
    link = link_of(awaited)

    async def ping_late() -> None:
        async with link._reading:
            link._pinging = asyncio.create_task(link._ping())
            await asyncio.sleep(0)
            link._lose()
        await link._pinging

    awaited.run(ping_late())
    assert link._pinging is None
    assert age(awaited) == 0


# ---- interruptions


def test_an_interrupted_read_leaves_no_reply_to_anybody_else(server: Server) -> None:
    with _behind(server, "sync") as (store, proxy):
        _another(store, 7)
        proxy.arm(Fault.HOLD_REPLY, "PTTL")

        def interrupt() -> None:
            poll(lambda: proxy.fired)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            age(store, "2")
        thread.join()
        proxy.release()
        assert (age(store), age(store, "2")) == (0, 7)
        _is_tracked_again(store)


def test_a_cancelled_read_leaves_no_reply_to_anybody_else(server: Server) -> None:
    with _behind(server, "async") as (store, proxy):
        _another(store, 7)
        proxy.arm(Fault.HOLD_REPLY, "PTTL")
        objects = store.backend.objects(Student)

        async def cancel() -> None:
            task = asyncio.create_task(objects.read("2", S.age))
            while not proxy.fired:  # noqa: ASYNC110  # it happens in another thread
                await asyncio.sleep(0)
            for _ in range(10):  # before Python 3.12, wait_for() swallows a cancellation when it is about to return
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        store.run(cancel())
        proxy.release()
        assert (age(store), age(store, "2")) == (0, 7)
        _is_tracked_again(store)


def test_a_ping_on_its_way_does_not_hold_up_the_end(server: Server) -> None:
    with _behind(server, "async", Near(lease_seconds=0.05)) as (store, proxy):
        proxy.arm(Fault.HOLD_REPLY, "PING", times=2)
        poll(lambda: (age(store), len(proxy.fired) == 2)[1])
        store.run(store.backend.close())
        assert not store.backend._runner._links
        proxy.release()


def test_whoever_begins_anew_uses_connections_of_its_own(live: Store) -> None:
    link = link_of(live)
    first = link._listener, link._reader
    near_links._begin_anew()  # what a child after a fork does
    assert age(live) == 0
    assert link._listener not in (None, first[0])
    assert link._reader not in (None, first[1])
    for each in first:
        each.close()


# ---- what is stored, and what is not


# More fields than are asked for by name.
Wide: Any = create_model("Wide", **{f"f{number}": (int, number) for number in range(70)})  # type: ignore[call-overload]


class Dependent(BaseModel):
    """A field whose default is made from another."""

    first: int = 1
    second: int = Field(default_factory=lambda values: values["first"] + 1)


def test_a_wide_object_is_read_whole(near: Store) -> None:
    objects = near.objects(Wide)
    objects.put(Wide(f3=33), id="1")
    near.raw.hset("Wide:1", "stranger", "x")
    assert objects.read("1", F(Wide).f3) == 33
    with near.counted() as taken:
        assert objects.read("1", F(Wide).f69) == 69
    assert taken == [0]


def test_an_absent_field_reads_as_its_default_from_the_others(near: Store) -> None:
    objects = near.objects(Dependent)
    near.raw.hset("Dependent:1", "first", "5")
    assert objects.read("1", F(Dependent).second) == 6
    with near.counted() as taken:
        assert objects.read("1", F(Dependent).second, F(Dependent).first) == (6, 5)
    assert taken == [0]
