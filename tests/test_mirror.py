"""Mirrors before real servers: reads ask nobody, what others change is seen, and nothing is left afterwards."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pydantic import BaseModel, Field

from distobjects import AccessDenied, CorruptData, DistObjectsError, NotFound, StoreUnavailable
from tests.fix_faults import Fault, faulty
from tests.fix_servers import Server, poll, recorder, running
from tests.fix_stores import FACES, Store, handed_over
from tests.test_watch import CHANGED, GONE, connections, cut, opened, place

__all__ = ["place"]  # a fixture


class Home(BaseModel):
    city: str = "Bath"


class Student(BaseModel):
    name: str = "Harry"
    age: int = Field(default=0, ge=0)
    tags: list[str] = []
    home: Home = Home()

    @property
    def shout(self) -> str:
        return self.name.upper()


def put(store: Store, id: str = "1", **values: Any) -> None:
    store.objects(Student).put(Student(**values), id=id)


def mirror(store: Store, *ids: str, **options: Any) -> Any:
    """Open a mirror of one object, or of several."""
    objects = store.backend.objects(Student)
    return store.entered(objects.mirror_many(ids, **options) if len(ids) != 1 else objects.mirror(*ids, **options))


@contextmanager
def interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the main thread once, as Ctrl-C does, when something is so."""

    def interrupt() -> None:
        poll(when)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def seen(store: Store, condition: Callable[[], bool]) -> None:
    """Wait until a mirror shows it; with asyncio, a task has to learn of it."""

    def shown() -> bool:
        if store.loop is not None:
            store.loop.run(asyncio.sleep(0.001))
        return condition()

    poll(shown)


def test_reading_asks_nobody_once_it_is_there(place: Store) -> None:
    put(place, age=7, tags=["a"])
    assert place.server is not None
    with mirror(place, "1") as local, place.counted() as taken, recorder(place.server) as sent:
        for _ in range(50):
            assert (local.age, local.name, local.tags, local.home.city) == (7, "Harry", ["a"], "Bath")
            assert local.shout == "HARRY"
            assert local.model_dump() == Student(age=7, tags=["a"]).model_dump()
            assert isinstance(local, Student)
    assert taken == [0]
    assert set(sent.commands) <= {"PING", "CLIENT", "SUBSCRIBE"}


@pytest.mark.parametrize("how", CHANGED)
def test_what_others_change_is_seen(place: Store, how: str) -> None:
    put(place)
    with mirror(place, "1") as local:
        assert local.age == 0
        CHANGED[how](place.raw)
        seen(place, lambda: local.age == 5)


@pytest.mark.parametrize("how", GONE)
def test_what_others_delete_is_gone_and_comes_again(place: Store, how: str) -> None:
    put(place)
    with mirror(place, "1") as local:
        GONE[how](place.raw)

        def gone() -> bool:
            try:
                return bool(local.age) and False
            except NotFound:
                return True

        seen(place, gone)
        put(place, age=7)
        seen(place, lambda: not gone())
        assert local.age == 7


def test_an_object_that_is_not_there_yet_is_waited_for(place: Store) -> None:
    with mirror(place, "1") as local:
        with pytest.raises(NotFound):
            local.age
        put(place, age=3)
        seen(place, lambda: _or_none(lambda: local.age) == 3)


def _or_none(read: Callable[[], Any]) -> Any:
    with suppress(DistObjectsError):
        return read()
    return None


def test_many_objects_take_one_connection(place: Store) -> None:
    for id in range(250):
        put(place, str(id), age=id)
    with mirror(place, *map(str, range(250))) as local:
        assert [local[str(id)].age for id in range(250)] == list(range(250))
        assert len(connections(place.raw)) == 1
        place.raw.hset("Student:249", "age", 1)
        seen(place, lambda: local["249"].age == 1)
        assert list(local) == [str(id) for id in range(250)]
    with mirror(place) as nothing:
        assert nothing == {}


def test_after_a_lost_connection_it_is_read_again(place: Store) -> None:
    put(place)
    with mirror(place, "1") as local:
        for value in range(1, 4):
            assert local.age == value - 1
            cut(place)
            place.raw.hset("Student:1", "age", value)
            seen(place, lambda value=value: local.age == value)  # type: ignore[misc]  # bound now, as it must be


def test_no_connection_is_left_after_closing_and_nothing_can_be_read(place: Store) -> None:
    put(place)
    threads = threading.active_count()
    with mirror(place, "1") as local:
        assert len(connections(place.raw)) == 1
    poll(lambda: not connections(place.raw))
    with pytest.raises(StoreUnavailable, match="closed"):
        local.age
    assert threading.active_count() <= threads
    if place.loop is not None:
        assert place.loop.run(_tasks()) == 1


async def _tasks() -> int:
    return len(asyncio.all_tasks())


def test_closing_the_backend_closes_it(place: Store) -> None:
    put(place)
    with mirror(place, "1") as local:
        place.run(place.backend.close())
        poll(lambda: not connections(place.raw))
        if place.loop is not None:
            place.loop.run(asyncio.sleep(0.001))
        with pytest.raises(StoreUnavailable, match="closed"):
            local.age


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_nothing_stale_is_read_after_the_server_was_killed_and_started_again(face: str, kind: str) -> None:
    with running(kind) as first, faulty(first) as proxy, opened(first, face, proxy.url) as store:
        put(store, age=1)
        with mirror(store, "1") as local, running(kind) as second, second.client() as raw:
            assert local.age == 1
            raw.hset("Student:1", mapping={"name": "Ron", "age": 2, "tags": "[]"})
            first.process.kill()
            first.process.wait()
            object.__setattr__(first, "port", second.port)  # the proxy asks where to connect for each connection
            seen(store, lambda: _or_none(lambda: local.age) == 2)
            assert all(local.age == 2 for _ in range(100))


@pytest.mark.parametrize("face", FACES)
def test_when_the_network_falls_silent_nothing_is_read_that_is_older_than_the_lease(server: Server, face: str) -> None:
    lease = 0.3
    with faulty(server) as proxy, opened(server, face, f"{proxy.url}?socket_timeout=0.5") as store:
        put(store)
        with mirror(store, "1", lease_seconds=lease) as local:
            thaw, frozen = threading.Event(), threading.Event()
            proxy._loop.call_soon_threadsafe(lambda: (frozen.set(), thaw.wait()))
            frozen.wait()
            store.raw.hset("Student:1", "age", 1)
            written, late = time.monotonic(), list[float]()
            with suppress(StoreUnavailable):
                while (asked := time.monotonic()) < written + 5:
                    if store.loop is not None:
                        store.loop.run(asyncio.sleep(0.001))
                    assert local.age == 0
                    late.append(asked - written)
            thaw.set()
            assert max(late) < lease + 0.1
            assert len(late) > 10
            seen(store, lambda: _or_none(lambda: local.age) == 1)


# ---- writing


@pytest.fixture
def live(server: Server) -> Any:
    with opened(server, "sync", server.url) as store:
        put(store)
        yield store


WRITES: dict[str, Callable[[Any], object]] = {
    "assign": lambda local: setattr(local, "age", 5),
    "sum": lambda local: setattr(local, "age", local.age + 5),
    "append": lambda local: local.tags.append("a"),
    "nested": lambda local: setattr(local.home, "city", "York"),
}


@pytest.mark.parametrize("how", WRITES)
def test_what_is_written_through_it_is_stored_and_seen_at_once(
    live: Store, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distobjects._mirrors.LOOK_SECONDS", 1000)  # deaf to what the server tells
    with mirror(live, "1", lease_seconds=1000) as local:
        before = local.model_dump()
        WRITES[how](local)
        assert local.model_dump() != before
        assert local.model_dump() == live.objects(Student).get("1").model_dump()


def test_a_sum_in_place_is_atomic_though_its_base_is_from_memory(live: Store) -> None:
    with mirror(live, "1") as local:

        def add() -> None:
            for _ in range(100):
                local.age += 1

        threads = [threading.Thread(target=add) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert local.age == 400


def test_it_is_taken_where_an_id_is_and_pickles_as_what_it_stands_for(live: Store) -> None:
    objects = live.objects(Student)
    with mirror(live, "1") as local:
        objects.update(local, {"age": 3})
        assert objects.id_of(local) == "1"
        assert copy.copy(local) is local
        assert pickle.loads(pickle.dumps(local)) == objects["1"]


def test_with_asyncio_it_is_read_only(server: Server) -> None:
    with opened(server, "async", server.url) as store:
        put(store)
        with mirror(store, "1") as local:
            for write in WRITES.values():
                with pytest.raises(AttributeError, match=r"edit\(id\)"):
                    write(local)
            assert store.objects(Student).get("1") == Student()
            store.objects(Student).update(local, {"age": 3})
            seen(store, lambda: local.age == 3)


# ---- where it is refused, and where it polls


@pytest.mark.parametrize("face", FACES)
def test_a_server_that_cannot_be_reached_at_the_beginning_is_an_error(face: str) -> None:
    with running("valkey") as server, opened(server, face, server.url) as store:
        server.process.kill()
        server.process.wait()
        with pytest.raises(StoreUnavailable), mirror(store, "1"):
            pass


@pytest.mark.parametrize("face", FACES)
def test_a_user_who_may_not_listen_is_told(server: Server, face: str) -> None:
    server.flush()
    with server.client() as admin:
        admin.execute_command("ACL SETUSER deaf reset on >secret ~* &* +@all -client|tracking")
        try:
            url = server.url.replace("//", "//deaf:secret@")
            with opened(server, face, url) as store, pytest.raises(AccessDenied), mirror(store, "1"):
                pass
        finally:
            admin.acl_deluser("deaf")


@pytest.mark.parametrize("face", FACES)
def test_what_cannot_be_read_is_said(server: Server, face: str) -> None:
    with opened(server, face, server.url) as store:
        put(store)
        with mirror(store, "1") as local:
            store.raw.hset("Student:1", "age", "x")

            def corrupt() -> bool:
                try:
                    return bool(local.age) and False
                except CorruptData:
                    return True

            seen(store, corrupt)
            assert local.name == "Harry"
            store.raw.pipeline().delete("Student:1").set("Student:1", "x").execute()
            with pytest.raises(CorruptData):
                seen(store, lambda: not local.name)
            with pytest.raises(CorruptData):
                local.name


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("topology", ["fakeredis", "memory", "cluster"])
def test_where_nothing_tells_it_looks_now_and_then(topology: str, face: str, request: pytest.FixtureRequest) -> None:
    with handed_over(topology, face, request) as store:
        put(store)
        with mirror(store, "1", poll_seconds=0.01) as local:
            assert local.age == 0
            store.raw.hset("Student:1", "age", 5)
            seen(store, lambda: local.age == 5)


def test_after_the_second_attempt_has_failed_too_nothing_is_taken_for_read(server: Server) -> None:
    with faulty(server) as proxy, opened(server, "sync", f"{proxy.url}?socket_timeout=0.2") as store:
        put(store, age=1)
        with mirror(store, "1", lease_seconds=0.001) as local:
            proxy.arm(Fault.HOLD_REPLY, "HMGET", times=2)
            store.raw.hset("Student:1", "age", 2)
            with pytest.raises(StoreUnavailable):
                seen(store, lambda: local.age == 2)
            proxy.release()
            assert local.age == 2


def test_an_interruption_between_the_question_and_the_reply_leaves_neither_behind(server: Server) -> None:
    with faulty(server) as proxy, opened(server, "sync", proxy.url) as store:
        put(store, "1", name="Harry", age=1)
        put(store, "2", name="Ron", age=1)
        with mirror(store, "1", "2") as local:
            proxy.arm(Fault.HOLD_REPLY, "HMGET")
            store.raw.hset("Student:1", "age", 2)
            with pytest.raises(KeyboardInterrupt), interrupted(lambda: Fault.HOLD_REPLY in proxy.fired):
                seen(store, lambda: local["1"].age == 2)
            store.raw.hset("Student:2", "age", 3)
            proxy.release()
            seen(store, lambda: local["2"].age == 3)
            assert (local["1"].name, local["1"].age) == ("Harry", 2)
            assert local["2"].name == "Ron"


def test_a_child_after_a_fork_waits_for_no_thread_of_its_parent(server: Server) -> None:
    with faulty(server) as proxy, opened(server, "sync", proxy.url) as store:
        put(store, age=1)
        with mirror(store, "1") as local:
            proxy.arm(Fault.HOLD_REPLY, "HMGET")
            store.raw.hset("Student:1", "age", 2)
            reader = threading.Thread(target=lambda: seen(store, lambda: local.age == 2))
            reader.start()
            poll(lambda: proxy.fired)  # now it holds the lock
            if not (child := os.fork()):
                signal.alarm(10)
                try:
                    os._exit(0 if local.age == 2 else 1)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            proxy.release()
            reader.join()
            assert local.age == 2
