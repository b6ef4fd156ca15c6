"""The near cache before real servers: what it saves, and that nothing stale comes out of it, whatever happens."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from pydantic import BaseModel, Field

from distobjects import (
    AccessDenied,
    AsyncRedisBackend,
    DistObjectsError,
    DObject,
    F,
    Near,
    NotFound,
    RedisBackend,
    Unsupported,
    connect,
    connect_async,
)
from distobjects import _near_links as near_links
from distobjects.fields import TextField
from tests.fix_faults import faulty
from tests.fix_servers import Server, poll, running
from tests.fix_stores import CONNECT_SECONDS, FACES, Store


class Student(BaseModel):
    name: str = "Harry"
    age: int = Field(default=0, ge=0)
    tags: list[str] = []


S = F(Student)


@contextmanager
def opened(server: Server, face: str, url: str, near: Near) -> Iterator[Store]:
    server.flush()
    with server.client() as raw:
        if face == "sync":
            with connect(url, connect_seconds=CONNECT_SECONDS, near=near) as db:
                yield Store(db, raw, server, None)
            return
        with asyncio.Runner() as loop:

            async def making() -> Any:
                return connect_async(url, connect_seconds=CONNECT_SECONDS, near=near)

            db_async = loop.run(making())
            try:
                yield Store(db_async, raw, server, loop)
            finally:
                loop.run(db_async.close())


@pytest.fixture(params=[f"{face}-{kind}" for face in FACES for kind in ("tcp", "unix")])
def near(request: pytest.FixtureRequest, server: Server) -> Iterator[Store]:
    """A store with a near cache: either face, on each kind of server, over each kind of socket."""
    face, kind = request.param.split("-")
    with opened(server, face, server.url if kind == "tcp" else server.unix_url, Near()) as store:
        yield store


def age(store: Store, id: str = "1") -> int:
    read: int = store.objects(Student).read(id, S.age)
    return read


def warm(store: Store, value: int = 0, id: str = "1") -> None:
    store.objects(Student).put(Student(age=value), id=id)
    assert age(store, id) == value


def test_what_has_been_read_once_takes_no_round_trip_nor_does_another_field(near: Store) -> None:
    warm(near, 7)
    with near.counted() as taken:
        for _ in range(20):
            assert near.objects(Student).read("1", S.age, S.name) == (7, "Harry")
            assert near.run(near.objects(Student)["1"].age) == 7
    assert taken == [0]


def test_fresh_asks_the_server(near: Store) -> None:
    warm(near)
    with near.counted() as taken:
        near.objects(Student).read("1", S.age, fresh=True)
    assert taken == [1]


def test_what_was_read_past_the_cache_is_not_older_in_it(near: Store) -> None:
    warm(near)
    for value in range(1, 50):
        near.raw.hset("Student:1", "age", value)
        assert near.objects(Student).read("1", S.age, fresh=True) == value
        assert age(near) == value


def test_a_model_can_be_left_out(near: Store) -> None:
    warm(near)
    always = near.objects(Student, near=False)
    with near.counted() as taken:
        assert [near.run(always["1"].age), always.read("1", S.age)] == [0, 0]
    assert taken == [2]


FOREIGN: dict[str, Callable[[Any], object]] = {
    "HSET": lambda raw: raw.hset("Student:1", "age", 5),
    "Lua": lambda raw: raw.eval("return redis.call('HSET', KEYS[1], 'age', '5')", 1, "Student:1"),
    "MULTI": lambda raw: raw.pipeline().hset("Student:1", "age", 5).execute(),
    "HINCRBY": lambda raw: raw.hincrby("Student:1", "age", 5),
    "RENAME": lambda raw: raw.pipeline().hset("other", "age", 5).rename("other", "Student:1").execute(),
}


@pytest.mark.parametrize("how", FOREIGN)
def test_what_others_write_is_seen(near: Store, how: str) -> None:
    warm(near)
    FOREIGN[how](near.raw)
    poll(lambda: age(near) == 5)


GONE: dict[str, Callable[[Any], object]] = {
    "DEL": lambda raw: raw.delete("Student:1"),
    "PEXPIRE": lambda raw: raw.pexpire("Student:1", 1),
    "FLUSHALL": lambda raw: raw.flushall(),
    "FLUSHDB": lambda raw: raw.flushdb(),
}


@pytest.mark.parametrize("how", GONE)
def test_what_others_delete_is_gone(near: Store, how: str) -> None:
    warm(near)
    GONE[how](near.raw)

    def gone() -> bool:
        try:
            age(near)
        except NotFound:
            return True
        return False

    poll(gone)


def test_an_object_that_expires_is_not_read_from_memory_afterwards(near: Store) -> None:
    warm(near)
    near.objects(Student).expire("1", seconds=0.2)
    end = time.monotonic() + 0.202  # it expires no later than this, by a clock of whole milliseconds
    asked = list[float]()

    def until_it_is_gone() -> None:
        while True:
            asked.append(time.monotonic())
            age(near)

    with pytest.raises(NotFound):
        until_it_is_gone()
    assert asked[-2] < end


WRITES: dict[str, Callable[[Any], object]] = {
    "update": lambda objects: objects.update("1", {"age": 5}),
    "put": lambda objects: objects.put(Student(age=5), id="1"),
    "put_many": lambda objects: objects.put_many({"0": Student(), "1": Student(age=5)}),  # one call of a script
    "set": lambda objects: objects.field("1", S.age).set(5),
    "increment": lambda objects: objects.field("1", S.age).increment(5),
    "compare_and_set": lambda objects: objects.field("1", S.age).compare_and_set(0, 5),
    "mutate": lambda objects: objects.mutate("1", lambda draft: setattr(draft, "age", 5)),
}


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch, near: Store) -> Store:
    """The same store, which looks for the server's messages no more than once in a lease."""
    monkeypatch.setattr("distobjects._near.LOOK_SECONDS", 1000)
    return near


@pytest.mark.parametrize("how", WRITES)
def test_an_own_write_is_seen_at_once(deaf: Store, how: str) -> None:
    near = deaf
    warm(near)
    WRITES[how](near.objects(Student))
    assert age(near) == 5


READS: dict[str, Callable[[Any], Any]] = {
    "fresh": lambda objects: objects.read("1", S.age, fresh=True),
    "get": lambda objects: objects.get("1").age,
    "get_many": lambda objects: objects.get_many(["1"])[0].age,
    "read_many": lambda objects: objects.read_many(["1"], S.age)[0],
    "several": lambda objects: objects.read_many(["1"], S.name, S.age)[0][1],
    "stream": lambda objects: dict(objects.stream())["1"].age,
}


@pytest.mark.parametrize("how", READS)
def test_what_was_read_past_the_cache_is_not_older_in_it_before_the_server_s_message_is_heard(
    deaf: Store, how: str
) -> None:
    warm(deaf)
    deaf.raw.hset("Student:1", "age", 5)
    assert READS[how](deaf.objects(Student)) == 5
    assert age(deaf) == 5


def test_an_own_delete_is_seen_at_once(deaf: Store) -> None:
    near = deaf
    warm(near)
    near.objects(Student).delete("1")
    with pytest.raises(NotFound):
        age(near)


def test_a_transaction_is_seen_at_once(deaf: Store) -> None:
    near = deaf
    warm(near)
    objects = near.backend.objects(Student)
    with near.entered(near.backend.transaction()) as tx:
        draft = near.run(tx.edit(objects, "1"))
        draft.age = 5
    assert age(near) == 5


LOST: dict[str, Callable[[Any], bool]] = {
    "that listens": lambda client: client["sub"] == "1",
    "that reads": lambda client: "t" in client["flags"],  # tracked
}


@pytest.mark.parametrize("which", LOST)
@pytest.mark.parametrize("face", FACES)
def test_the_loss_of_a_connection_is_noticed_before_any_ping(server: Server, face: str, which: str) -> None:
    with opened(server, face, server.url, Near(lease_seconds=1000)) as store:
        warm(store)
        [lost] = filter(LOST[which], store.raw.client_list())
        store.raw.client_kill_filter(_id=lost["id"])
        store.raw.hset("Student:1", "age", 5)
        poll(lambda: age(store) == 5)
        poll(lambda: not trips_of_a_read(store))


def trips_of_a_read(store: Store) -> int:
    """Return how many round trips a read takes."""
    with store.counted() as taken:
        age(store)
    return taken[0]


def test_no_connection_is_left_after_closing(near: Store) -> None:
    def connections() -> set[str]:
        return {each["id"] for each in near.raw.client_list()}

    others = connections()
    warm(near)
    assert len(connections() - others) >= 2
    near.run(near.backend.close())
    poll(lambda: connections() <= others)
    with pytest.raises(DistObjectsError, match="closed"):
        age(near)


def link_of(near: Store) -> Any:
    runner = near.backend._runner
    if near.loop is None:
        return runner.near
    [link] = runner._links.values()
    return link


def test_the_bounds_hold(server: Server) -> None:
    for face in FACES:
        with opened(server, face, server.url, Near(max_objects=20)) as store:
            objects = store.objects(Student)
            objects.put_many({str(each): Student(age=each) for each in range(200)})
            assert [objects.read(str(each), S.age) for each in range(200)] == list(range(200))
            assert len(link_of(store).cache) == 20


def test_a_store_that_tells_nobody_what_changes_is_refused(cluster_server: Server) -> None:
    cluster = redis.RedisCluster(host="127.0.0.1", port=cluster_server.port)
    attempts: list[Callable[[], object]] = [
        lambda: connect("memory://", near=Near()),
        lambda: connect_async("memory://", near=Near()),
        lambda: RedisBackend(cluster, near=Near()),
        lambda: AsyncRedisBackend(
            redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=cluster_server.port), near=Near()
        ),
    ]
    for attempt in attempts:
        with pytest.raises(Unsupported, match="near= needs a server that tells what changes"):
            attempt()
    cluster.close()


def test_a_user_who_may_not_listen_is_told(server: Server) -> None:
    server.flush()
    with server.client() as admin:
        admin.execute_command("ACL SETUSER deaf reset on >secret ~* &* +@all -subscribe")
        try:
            for face in FACES:
                url = server.url.replace("//", "//deaf:secret@")
                with opened(server, face, url, Near()) as store:
                    for _ in range(2):
                        with pytest.raises(AccessDenied, match="subscribe"):
                            age(store)
        finally:
            admin.acl_deluser("deaf")


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("options", [{"protocol": 3}, {"protocol": 3, "decode_responses": True}, {"protocol": 2}])
def test_a_client_of_any_settings_serves(server: Server, face: str, options: dict[str, Any]) -> None:
    server.flush()

    async def asynchronous() -> None:
        client = redis.asyncio.Redis(host="127.0.0.1", port=server.port, **options)
        async with AsyncRedisBackend(client, near=Near()) as db:
            objects = db.objects(Student)
            await objects.put(Student(age=3), id="1")
            trips = [(await objects.read("1", S.age), db._runner.trips)[1] for _ in range(3)]
            assert trips[0] == trips[2]
        await client.aclose()

    if face == "async":
        asyncio.run(asynchronous())
        return
    with server.client(**options) as client, RedisBackend(client, near=Near()) as db:
        live = db.objects(Student).put(Student(age=3), id="1")
        trips = [(live.age, db._runner.trips)[1] for _ in range(3)]
        assert trips[0] == trips[2]


# ---- live objects, which pass for their model


@pytest.fixture
def live(server: Server) -> Iterator[Store]:
    with opened(server, "sync", server.url, Near()) as store:
        yield store


def test_a_sum_in_place_is_atomic_though_its_base_is_from_memory(live: Store) -> None:
    warm(live)
    student: Any = live.backend.objects(Student)["1"]

    def add() -> None:
        for _ in range(100):
            student.age += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert student.age == 400


def test_a_container_is_handed_out_anew_and_writes_through(live: Store) -> None:
    warm(live)
    student: Any = live.backend.objects(Student)["1"]
    first = student.tags
    first.append("a")
    assert student.tags == ["a"]
    assert student.tags is not first
    plain = live.backend.objects(Student).read("1", S.tags)
    plain.append("mine")
    assert student.tags == ["a"]


def test_four_threads_each_see_what_they_have_written(live: Store) -> None:
    objects = live.backend.objects(Student)
    wrong: list[tuple[int, int]] = []

    def work(id: str) -> None:
        student = objects.put(Student(), id=id)
        for value in range(250):
            student.age = value
            if (found := student.age) != value:
                wrong.append((value, found))

    threads = [threading.Thread(target=work, args=[str(each)]) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


@pytest.mark.parametrize("face", FACES)
def test_no_burst_of_reads_and_writes_leaves_anything_stale(server: Server, face: str) -> None:
    with opened(server, face, server.url, Near()) as store:
        warm(store)
        for burst in range(25):
            last = burst * 10 + 9
            writer = threading.Thread(target=_write, args=[server, range(burst * 10, last + 1)])
            writer.start()
            seen = [0]
            while writer.is_alive():
                seen.append(age(store))
            writer.join()
            assert seen[1:] == sorted(seen[1:])
            poll(lambda last=last: age(store) == last)  # type: ignore[misc]  # bound now, as it must be


def _write(server: Server, values: range) -> None:
    with server.client() as raw:
        for value in values:
            raw.hset("Student:1", "age", value)


@pytest.mark.parametrize("face", FACES)
def test_when_the_network_falls_silent_nothing_is_read_that_is_older_than_the_lease(server: Server, face: str) -> None:
    lease = 0.3
    with faulty(server) as proxy:
        url = f"{proxy.url}?socket_timeout=0.5"
        with opened(server, face, url, Near(lease_seconds=lease)) as store:
            warm(store)
            thaw, frozen = threading.Event(), threading.Event()
            proxy._loop.call_soon_threadsafe(lambda: (frozen.set(), thaw.wait()))
            frozen.wait()
            try:
                store.raw.hset("Student:1", "age", 1)
                written, late = time.monotonic(), list[float]()
                with suppress(DistObjectsError):
                    while (asked := time.monotonic()) < written + 3 and age(store) == 0:
                        late.append(asked - written)
            finally:
                thaw.set()
            assert max(late, default=0) < lease  # none at all where the machine was busy for so long
            poll(lambda: _or_none(store) == 1)


def _or_none(store: Store) -> int | None:
    with suppress(DistObjectsError):
        return age(store)
    return None


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_nothing_stale_is_read_after_the_server_was_killed_and_started_again(face: str, kind: str) -> None:
    with running(kind) as first, faulty(first) as proxy, opened(first, face, proxy.url, Near()) as store:
        warm(store, 1)
        with running(kind) as second, second.client() as raw:
            raw.hset("Student:1", mapping={"name": "Ron", "age": 2, "tags": "[]"})
            first.process.kill()
            first.process.wait()
            _redirect(proxy, first, second)
            poll(lambda: _or_none(store) == 2)
            assert all(age(store) == 2 for _ in range(100))


def _redirect(proxy: Any, first: Server, second: Server) -> None:
    object.__setattr__(first, "port", second.port)  # the proxy asks where to connect for each connection


def test_a_connection_whose_answer_has_long_been_here_is_not_judged_silent(server: Server) -> None:
    with opened(server, "sync", server.url, Near(lease_seconds=0.05)) as store:
        warm(store)
        link = link_of(store)
        first, pulse = link._listener, link._reader_pulse
        poll(lambda: (age(store), pulse._sent is not None)[1])
        assert select.select([link._reader], [], [], 10)[0]  # the answer is here, and nobody reads for a long time
        pulse._sent, pulse.next = pulse._sent - 1000, pulse.next - 1000
        age(store)
        assert link._listener is first
        assert not link._lost


def test_a_child_after_a_fork_has_a_cache_of_its_own(live: Store) -> None:
    warm(live, 3)
    student: Any = live.backend.objects(Student)["1"]
    if not (child := os.fork()):
        try:
            live.backend.objects(Student).update("1", {"age": 4})
            os._exit(0 if [student.age for _ in range(100)] == [4] * 100 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    poll(lambda: student.age == 4)


def test_a_child_that_is_forked_right_after_a_look_uses_no_connection_of_its_parent(
    live: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distobjects._near.LOOK_SECONDS", 1000)
    objects = live.backend.objects(Student)
    objects.put(Student(age=5), id="2")
    warm(live, 3)
    link = link_of(live)
    theirs = link._listener, link._reader
    with link._changing, link._reading:  # as if another thread were at it
        if not (child := os.fork()):
            try:
                threading.Timer(20, os._exit, [3]).start()  # a lock that nobody opens is a failure
                read = [objects.read("2", S.age), objects.read("1", S.age)]
                own = link._listener not in (None, *theirs) and link._reader not in (None, *theirs)
                os._exit(0 if read == [5, 3] and own else 1)
            finally:
                os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert age(live, "2") == 5


@pytest.mark.parametrize("face", FACES)
def test_the_next_attempt_to_connect_is_counted_from_the_end_of_the_last(server: Server, face: str) -> None:
    """An attempt may take longer than the pause after it: without one, every read would wait for the next."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cut = list[float]()

        def cut_off() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    connection, _ = silent.accept()
                    connection.settimeout(5)
                    connection.recv(1000)
                    cut.append(time.monotonic())
                    connection.close()

        thread = threading.Thread(target=cut_off)
        thread.start()
        try:
            with opened(server, face, f"redis://127.0.0.1:{silent.getsockname()[1]}", Near()) as store:
                with pytest.raises(DistObjectsError):
                    age(store)
                assert link_of(store)._next_open >= cut[0] + near_links._BACK_OFF_SECONDS
        finally:
            silent.shutdown(socket.SHUT_RDWR)
            thread.join()


# ---- the class form


@pytest.fixture
def declared(server: Server) -> Iterator[tuple[type[Any], type[Any]]]:
    """A class with a near cache, and one that inherits its field and backend."""
    server.flush()
    with connect(server.url, near=Near()) as db:

        class Pupil(DObject):
            class Meta:
                backend = db

            first_name = TextField()
            age: int = 0

        class Prefect(Pupil):
            badge: str = "P"

            @property
            def shout(self) -> str:
                return f"{self.first_name}!"

        yield Pupil, Prefect


def _trips(cls: type[Any]) -> int:
    trips: int = cls._binding.backend._runner.trips
    return trips


def test_the_class_form_reads_from_memory_too(declared: tuple[type[Any], type[Any]], server: Server) -> None:
    pupil = declared[0]("1")
    pupil.first_name = "Harry"
    assert (pupil.first_name, pupil.age) == ("Harry", 0)
    before = _trips(declared[0])
    assert [(pupil.first_name, pupil.age) for _ in range(20)] == [("Harry", 0)] * 20
    assert _trips(declared[0]) == before
    pupil.age += 1
    assert pupil.age == 1
    with server.client() as raw:
        raw.hset("Pupil:1", "age", 5)
    poll(lambda: pupil.age == 5)


def test_a_subclass_keeps_its_own_objects_near(declared: tuple[type[Any], type[Any]]) -> None:
    pupil, prefect = (cls("1") for cls in declared)
    pupil.first_name, prefect.first_name = "Harry", "Percy"
    assert (pupil.first_name, prefect.first_name, prefect.badge, prefect.shout) == ("Harry", "Percy", "P", "Percy!")
    before = _trips(declared[0])
    assert (pupil.first_name, prefect.first_name, prefect.badge, prefect.shout) == ("Harry", "Percy", "P", "Percy!")
    assert _trips(declared[0]) == before


def test_an_absent_object_of_the_class_form_still_reads_as_its_defaults(
    declared: tuple[type[Any], type[Any]],
) -> None:
    pupil = declared[0]("absent")
    assert (pupil.first_name, pupil.age) == (None, 0)
    with pytest.raises(AttributeError):
        pupil.aeg = 1
