"""Watching real servers: what others do is told, the last state is never missed, and nothing is left afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel, Field

from distobjects import AccessDenied, Change, CorruptData, F, StoreUnavailable, connect, connect_async
from distobjects._pushes import Changed
from tests.fix_faults import Fault, faulty
from tests.fix_servers import Server, poll, running
from tests.fix_stores import FACES, Store, handed_over


class Student(BaseModel):
    name: str = "Harry"
    age: int = Field(default=0, ge=0)
    tags: list[str] = []


S = F(Student)


class Watch:
    """A watch of either colour: `next` waits for what it tells next."""

    def __init__(self, store: Store, *args: Any, **options: Any) -> None:
        self._loop = store.loop
        self._changes = store.backend.objects(Student).watch(*args, **options)

    def next(self) -> Change[Student]:
        change: Change[Student] = self._loop.run(anext(self._changes)) if self._loop else next(self._changes)
        return change

    def rest(self) -> list[Change[Student]]:
        """Return all that comes until it ends."""
        if self._loop is None:
            return list(self._changes)

        async def collected() -> list[Change[Student]]:
            return [each async for each in self._changes]

        return self._loop.run(collected())

    def until(self, condition: Callable[[Change[Student]], bool]) -> Change[Student]:
        while not condition(change := self.next()):
            pass
        return change

    def close(self) -> None:
        if self._loop:
            self._loop.run(self._changes.aclose())
        else:
            self._changes.close()


@contextmanager
def watching(store: Store, *args: Any, **options: Any) -> Iterator[Watch]:
    watch = Watch(store, *args, **options)
    try:
        yield watch
    finally:
        watch.close()


@contextmanager
def opened(server: Server, face: str, url: str) -> Iterator[Store]:
    server.flush()
    with server.client() as raw:
        if face == "sync":
            with connect(url) as db:
                yield Store(db, raw, server, None)
            return
        with asyncio.Runner() as loop:
            db_async = connect_async(url)
            try:
                yield Store(db_async, raw, server, loop)
            finally:
                loop.run(db_async.close())


@pytest.fixture(params=[f"{face}-{kind}" for face in FACES for kind in ("tcp", "unix")])
def place(request: pytest.FixtureRequest, server: Server) -> Iterator[Store]:
    """A store of either face, on each kind of server, over each kind of socket."""
    face, kind = request.param.split("-")
    with opened(server, face, server.url if kind == "tcp" else server.unix_url) as store:
        yield store


def put(store: Store, id: str = "1", **values: Any) -> None:
    store.objects(Student).put(Student(**values), id=id)


CHANGED: dict[str, Callable[[Any], object]] = {
    "HSET": lambda raw: raw.hset("Student:1", "age", 5),
    "Lua": lambda raw: raw.eval("return redis.call('HSET', KEYS[1], 'age', '5')", 1, "Student:1"),
    "MULTI": lambda raw: raw.pipeline().hset("Student:1", "age", 5).execute(),
    "HINCRBY": lambda raw: raw.hincrby("Student:1", "age", 5),
}
GONE: dict[str, Callable[[Any], object]] = {
    "DEL": lambda raw: raw.delete("Student:1"),
    "PEXPIRE": lambda raw: raw.pexpire("Student:1", 30),
    "RENAME": lambda raw: raw.rename("Student:1", "elsewhere"),
    "FLUSHALL": lambda raw: raw.flushall(),
    "FLUSHDB": lambda raw: raw.flushdb(),
}


@pytest.mark.parametrize("how", CHANGED)
def test_what_others_change_is_told(place: Store, how: str) -> None:
    put(place)
    with watching(place, "1", initial=True) as one, watching(place, initial=True) as all_:
        assert one.next() == ("1", {"name", "age", "tags"}, None, Student())
        assert all_.next() == ("1", {"name", "age", "tags"}, None, Student())
        CHANGED[how](place.raw)
        assert one.next() == ("1", {"age"}, Student(), Student(age=5))
        assert all_.next() == ("1", {"age"}, None, Student(age=5))


@pytest.mark.parametrize("how", GONE)
def test_what_others_delete_is_told_and_what_comes_again(place: Store, how: str) -> None:
    put(place)
    with watching(place, "1", initial=True) as one, watching(place, initial=True) as all_:
        one.next(), all_.next()
        GONE[how](place.raw)
        assert one.next() == ("1", {"name", "age", "tags"}, Student(), None)
        assert all_.next() == ("1", {"name", "age", "tags"}, None, None)
        put(place, age=7)
        assert one.next() == ("1", {"name", "age", "tags"}, None, Student(age=7))
        assert all_.next() == ("1", {"name", "age", "tags"}, None, Student(age=7))


def test_the_beginning_is_told_only_where_it_is_asked_for(place: Store) -> None:
    put(place, "1"), put(place, "2")
    told = threading.Event()

    def change() -> None:
        while not told.wait(0.001):  # the first ones may be part of what is there when it begins
            place.raw.hincrby("Student:2", "age", 1)

    with watching(place, "3", initial=True) as absent, watching(place, "2") as one, watching(place) as all_:
        assert absent.next() == ("3", frozenset(), None, None)
        thread = threading.Thread(target=change)
        thread.start()
        try:
            first = one.next()
            assert first.before is not None
            assert (all_.next().id, first.fields) == ("2", {"age"})
        finally:
            told.set()
            thread.join()


def test_only_changes_of_the_fields_that_were_asked_for_are_told_and_coming_and_going(place: Store) -> None:
    with watching(place, "1", fields=[S.age], initial=True) as watch:
        watch.next()
        put(place)
        assert watch.next() == ("1", {"age"}, None, Student())
        place.raw.hset("Student:1", "name", "Ron")
        place.raw.hset("Student:1", "age", 1)
        assert watch.until(lambda change: True).after == Student(name="Ron", age=1)
        place.raw.hdel("Student:1", "age")
        assert watch.next().fields == {"age"}
        place.raw.delete("Student:1")
        assert watch.next() == ("1", frozenset(), Student(name="Ron"), None)


def test_what_you_write_yourself_is_told_too(place: Store) -> None:
    put(place)
    objects = place.objects(Student)
    with watching(place, objects["1"], initial=True) as watch:
        watch.next()
        objects.update("1", {"age": 3, "tags": ["a"]})
        assert watch.next() == ("1", {"age", "tags"}, Student(), Student(age=3, tags=["a"]))


def test_a_line_hears_of_what_begins_with_its_prefix_and_of_nothing_else(place: Store) -> None:
    runner = place.backend._runner
    line = place.run((runner.line if place.loop is None else runner._line)(b"Student:", 1.0))
    assert place.run(line.hear(0)) == Changed([])
    place.raw.set("Other:1", "x")
    put(place)
    assert place.run(line.hear(30)) == Changed([b"Student:1"])


def connections(raw: Any) -> list[dict[str, str]]:
    """Return the connections that watch."""
    return [each for each in raw.client_list() if "t" in each["flags"]]  # tracking


def cut(store: Store) -> None:
    """Cut the connections that watch."""
    for each in connections(store.raw):
        store.raw.client_kill_filter(_id=each["id"])


def test_after_a_lost_connection_it_goes_on_with_what_has_changed_meanwhile(place: Store) -> None:
    for id in "123":
        put(place, id)
    with watching(place, "1", initial=True) as one, watching(place, initial=True) as all_:
        one.next()
        assert {all_.next().id for _ in range(3)} == set("123")
        for round in range(1, 4):
            cut(place)
            place.raw.hset("Student:1", "age", round)
            assert one.next().after == Student(age=round)
            assert all_.next().after == Student(age=round)
        cut(place)
        place.raw.delete("Student:1", "Student:2")
        put(place, "4")
        assert one.next().after is None
        assert {(each.id, each.after) for each in [_hashed(all_.next()) for _ in range(3)]} == {
            ("1", "None"),
            ("2", "None"),
            ("4", repr(Student())),
        }


def _hashed(change: Change[Student]) -> Any:
    return change._replace(after=repr(change.after))  # type: ignore[arg-type]  # a model is not hashable


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_it_goes_on_when_the_server_was_killed_and_started_again(face: str, kind: str) -> None:
    with running(kind) as first, faulty(first) as proxy, opened(first, face, proxy.url) as store:
        put(store, "1", age=1), put(store, "2")
        with (
            watching(store, "1", initial=True) as one,
            watching(store, initial=True) as all_,
            running(kind) as second,
            second.client() as raw,
        ):
            one.next(), all_.next(), all_.next()
            raw.hset("Student:1", mapping={"name": "Ron", "age": 2, "tags": "[]"})
            first.process.kill()
            first.process.wait()
            object.__setattr__(first, "port", second.port)  # the proxy asks where to connect for each connection
            assert one.next().after == Student(name="Ron", age=2)
            assert {(change.id, change.after is None) for change in (all_.next(), all_.next())} == {
                ("1", False),
                ("2", True),
            }


@pytest.mark.parametrize("face", FACES)
def test_a_connection_that_falls_silent_is_given_up(server: Server, face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_lines", "_async_lines"):
        monkeypatch.setattr(f"distobjects.{module}.SILENT_SECONDS", 0.1)
    for module in ("_lookouts", "_async"):
        monkeypatch.setattr(f"distobjects.{module}.IDLE_SECONDS", 0.05)
    with faulty(server) as proxy, opened(server, face, proxy.url) as store:
        put(store)
        with watching(store, "1", initial=True) as watch:
            watch.next()
            before = proxy.connections
            proxy.arm(Fault.HOLD_REPLY, "PING")  # and all that comes behind it

            def change() -> None:
                poll(lambda: proxy.fired)
                store.raw.hset("Student:1", "age", 1)

            thread = threading.Thread(target=change)
            thread.start()
            assert watch.next().after == Student(age=1)
            assert proxy.connections > before
            thread.join()


def test_a_consumer_that_is_too_slow_is_told_the_last_state_once(place: Store) -> None:
    with watching(place, initial=True) as watch:
        put(place, "begun")
        watch.next()
        pipe = place.raw.pipeline(transaction=False)
        for value in range(20_000):
            pipe.hset(f"Student:{value % 20}", "age", value)
        pipe.execute()
        put(place, "end")
        seen: dict[str, Any] = {}
        told = 0
        while len(seen) < 21 or seen["end"] is None or max(each.age for each in seen.values()) < 19_999:
            change = watch.next()
            seen[change.id] = change.after
            told += 1
        assert {id: each.age for id, each in seen.items() if id != "end"} == {
            str(value % 20): value for value in range(19_980, 20_000)
        }
        assert told < 2_000


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_consumer_that_does_not_ask_is_cut_off_by_the_server_and_goes_on_all_the_same(kind: str) -> None:
    """With asyncio, the event loop asks for it."""
    with running(kind) as server, opened(server, "sync", server.url) as store, watching(store, initial=True) as watch:
        store.raw.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        put(store, "begun")
        watch.next()
        ids, round = [f"{'long' * 100}{number}" for number in range(2_000)], 0

        def cut_off() -> bool:
            nonlocal round
            round += 1
            pipe = store.raw.pipeline(transaction=False)
            for id in ids:
                pipe.hset(f"Student:{id}", "age", round)
            pipe.execute()
            return not connections(store.raw)

        poll(cut_off)
        waited_for = set(ids)
        while waited_for:
            change = watch.next()
            assert change.after is not None
            if change.after.age == round:
                waited_for.remove(change.id)


@pytest.mark.parametrize("face", FACES)
def test_objects_that_are_more_than_the_server_holds_for_a_subscriber_are_read_in_parts(face: str) -> None:
    with running("redis") as server, opened(server, face, server.url) as store:
        store.raw.config_set("client-output-buffer-limit", "pubsub 200kb 0 0")
        for id in range(100):
            store.raw.hset(f"Student:{id}", mapping={"name": "x" * 50_000, "age": id})
        with watching(store, initial=True) as watch:
            assert {watch.next().id for _ in range(100)} == {str(id) for id in range(100)}


# ---- its end


def test_closing_it_leaves_no_connection(place: Store) -> None:
    with watching(place, "1", initial=True) as watch:
        watch.next()
        assert len(connections(place.raw)) == 1
        held = list(place.backend._runner._lines)  # none is closed because it is collected
    poll(lambda: not connections(place.raw))
    assert watch.rest() == []
    assert len(held) == 1


def test_a_break_leaves_no_connection(place: Store) -> None:
    objects = place.backend.objects(Student)
    if place.loop is None:
        for _ in objects.watch("1", initial=True):
            break
    else:

        async def broken() -> None:
            async for _ in objects.watch("1", initial=True):
                break
            await asyncio.to_thread(poll, lambda: not connections(place.raw))

        place.loop.run(broken())
    poll(lambda: not connections(place.raw))


@contextmanager
def between_any_two_lines(interfere: Callable[[], object]) -> Iterator[None]:
    """Do what another thread may do there."""

    def trace(*_: object) -> Any:
        interfere()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_the_backend_can_be_closed_while_other_threads_begin_to_watch() -> None:
    backend, lines = connect("memory://crowd"), list[Any]()

    def begin() -> None:
        lines.append(backend._runner.line(b"", 1.0))

    begin()
    with between_any_two_lines(begin):
        backend.close()
    assert len(lines) > 10


def test_an_asyncio_backend_can_be_closed_while_other_threads_begin_to_watch() -> None:
    async def close() -> None:
        backend, lines = connect_async("memory://crowd"), list[Any]()

        def begin() -> None:
            with pytest.raises(StopIteration) as ended:  # there is nothing in it to wait for
                backend._runner._line(b"", 1.0).send(None)
            lines.append(ended.value.value)

        begin()
        with between_any_two_lines(begin):
            await backend.close()
        assert len(lines) > 10

    asyncio.run(close())


def test_closing_the_backend_ends_one_that_waits_and_one_that_does_not(place: Store) -> None:
    suspended = Watch(place, "1", initial=True)
    suspended.next()
    if place.loop is None:
        waiting = Watch(place, "2", initial=True)
        waiting.next()
        found: list[Any] = ["nothing yet"]

        def wait() -> None:
            found[:] = waiting.rest()

        thread = threading.Thread(target=wait)
        thread.start()
        place.backend.close()
        thread.join()
        assert found == []
    else:

        async def closed_meanwhile() -> list[Any]:
            changes = place.backend.objects(Student).watch("2", initial=True)
            await anext(changes)
            task = asyncio.ensure_future(anext(changes, "the end"))
            await asyncio.sleep(0)
            await place.backend.close()
            return [await task, *[each async for each in changes]]

        assert place.loop.run(closed_meanwhile()) == ["the end"]
    poll(lambda: not connections(place.raw))
    assert suspended.rest() == []


@pytest.mark.parametrize("cancelled", [True, False])
def test_cancelling_leaves_no_connection_and_no_task(server: Server, cancelled: bool) -> None:
    with opened(server, "async", server.url) as store:
        assert store.loop is not None

        async def watch() -> None:
            async for _ in store.backend.objects(Student).watch("1", initial=True):
                pass

        async def run() -> None:
            task = asyncio.create_task(watch())
            await asyncio.to_thread(poll, lambda: connections(store.raw))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}

        store.loop.run(run())
        poll(lambda: not connections(store.raw))


def test_an_interrupt_leaves_no_connection_and_no_thread(server: Server) -> None:
    with opened(server, "sync", server.url) as store:
        threads = threading.active_count()

        def interrupt() -> None:
            poll(lambda: connections(store.raw))
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            list(store.backend.objects(Student).watch("1"))
        thread.join()
        poll(lambda: not connections(store.raw))
        assert threading.active_count() == threads


def test_a_child_after_a_fork_watches_over_a_connection_of_its_own(server: Server) -> None:
    with opened(server, "sync", server.url) as store:
        put(store)
        watch = store.backend.objects(Student).watch("1", initial=True)
        next(watch)
        if not (child := os.fork()):
            try:
                store.backend.objects(Student).update("1", {"age": 4})
                os._exit(0 if next(watch).after == Student(age=4) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert next(watch).after == Student(age=4)
        put(store, age=5)
        assert next(watch).after == Student(age=5)
        watch.close()


# ---- where it is refused, and where it polls


@pytest.mark.parametrize("face", FACES)
def test_a_server_that_cannot_be_reached_at_the_beginning_is_an_error(face: str) -> None:
    with running("valkey") as server, opened(server, face, server.url) as store:
        server.process.kill()
        server.process.wait()
        with watching(store, "1") as watch, pytest.raises(StoreUnavailable):
            watch.next()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("missing", ["subscribe", "client|tracking"])
def test_a_user_who_may_not_listen_is_told(server: Server, face: str, missing: str) -> None:
    server.flush()
    with server.client() as admin:
        admin.execute_command(f"ACL SETUSER deaf reset on >secret ~* &* +@all -{missing}")
        try:
            with opened(server, face, server.url.replace("//", "//deaf:secret@")) as store:
                with watching(store) as watch, pytest.raises(AccessDenied, match=missing.split("|")[0]):
                    watch.next()
                poll(lambda: not connections(store.raw))
        finally:
            admin.acl_deluser("deaf")


@pytest.mark.parametrize("face", FACES)
def test_what_cannot_be_read_is_said(server: Server, face: str) -> None:
    with opened(server, face, server.url) as store:
        put(store)
        for spoil in (
            lambda: store.raw.hset("Student:1", "age", "x"),
            lambda: store.raw.pipeline().delete("Student:1").set("Student:1", "x").execute(),
        ):
            put(store)
            with watching(store, "1", initial=True) as watch:
                watch.next()
                spoil()
                with pytest.raises(CorruptData):
                    watch.next()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("topology", ["resp2", "resp3", "text", "text3", "blocking", "valkey-py", "sentinel"])
def test_a_client_of_any_settings_serves(topology: str, face: str, request: pytest.FixtureRequest) -> None:
    with handed_over(topology, face, request) as store, watching(store, initial=True) as watch:
        put(store)
        assert watch.next().after == Student()
        assert len(connections(store.raw)) >= 1
        store.raw.hset("Student:1", "age", 5)
        assert watch.next().after == Student(age=5)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("topology", ["fakeredis", "memory", "cluster"])
def test_where_nothing_tells_it_looks_now_and_then(topology: str, face: str, request: pytest.FixtureRequest) -> None:
    with (
        handed_over(topology, face, request) as store,
        watching(store, "1", initial=True, poll_seconds=0.01) as one,
        watching(store, initial=True, poll_seconds=0.01) as all_,
    ):
        put(store)
        assert all_.next().after == Student()
        assert one.next().after == Student()
        store.raw.hset("Student:1", "age", 5)
        assert one.next() == ("1", {"age"}, Student(), Student(age=5))
        assert all_.next().after == Student(age=5)
        store.raw.delete("Student:1")
        assert one.next().after is all_.next().after is None


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("topology", ["memory", "cluster"])
def test_closing_the_backend_ends_one_that_looks_now_and_then(
    topology: str, face: str, request: pytest.FixtureRequest
) -> None:
    with handed_over(topology, face, request) as store, watching(store, "1", initial=True, poll_seconds=0.01) as watch:
        watch.next()
        store.run(store.backend.close())
        assert watch.rest() == []


def test_what_is_watched_is_refused_at_once(place: Store) -> None:
    objects = place.backend.objects(Student)
    with pytest.raises(TypeError):
        objects.watch(1.5)
    with pytest.raises(TypeError):
        objects.watch("1", fields=["age"])
