"""Chunks that are on their way while others are worked on: what is lost, cut off, given up, and never mixed up."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from distobjects import F, OutcomeUnknown, RedisBackend, StoreUnavailable, _bulk, connect, connect_async, progress
from distobjects._flow import Ask, Command, Series, reading
from distobjects._links import Flight, PoolLink, Waiting
from distobjects._redis import lease_arguments
from distobjects._wire import packed
from tests.fix_faults import Fault, Proxy, faulty
from tests.fix_models import Thirty
from tests.fix_servers import Server, free_port
from tests.fix_stores import CONNECT_SECONDS, FACES, Store, connected

SIZE = 10


class Item(BaseModel):
    id: int
    n: int = 0
    text: str | None = None


class Wide(Thirty):
    """Read by HGETALL."""

    a: int = 0
    k: str | None = None


I = F(Item)  # noqa: E741  # short, as users write it


def items(count: int) -> list[Item]:
    return [Item(id=n, n=n * n) for n in range(count)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bulk, "CHUNK", SIZE)


@pytest.fixture(params=FACES)
def cut(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[Store, Proxy]]:
    """A store of either face behind a proxy that loses what it is told to."""
    with faulty(server) as proxy, connected(server, request.param) as direct:
        backend: Any = (connect if direct.loop is None else connect_async)(proxy.url, connect_seconds=CONNECT_SECONDS)
        yield Store(backend, direct.raw, server, direct.loop), proxy
        closed = backend.close()
        if direct.loop is not None:
            direct.loop.run(closed)


# ---- one piece of bytes


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


numbers = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(lambda some: [f"{n:02}" for n in some])
keys = st.lists(names, min_size=1, max_size=4) | numbers | numbers.map(lambda some: [each + "é" for each in some])


@given(keys=keys, fields=st.lists(names, max_size=3), data=st.data())
def test_a_series_is_packed_as_its_commands_are(keys: list[str], fields: list[str], data: st.DataObject) -> None:
    row = st.lists(st.binary(max_size=8) | st.just(b"long" * 256), min_size=len(fields), max_size=len(fields))
    rows = data.draw(st.none() | st.lists(row, min_size=len(keys), max_size=len(keys))) if fields else None
    series = Series(("EVAL", b"return '%d%%'", 1), keys, tuple(fields), rows=rows)
    assert packed(series) == packed(list(series)) == packed(series[:]) == b"".join(map(spelled, series))


@pytest.mark.parametrize("keys", [["k" * 1023, "l" * 1023], ["k" * 1024] * 2, ["k" * 2000], ["kk", "é"], ["é", "kk"]])
def test_keys_are_packed_whatever_their_length(keys: list[str]) -> None:
    series = Series(("HGET",), keys, ("größe",), repeatable=True)
    assert packed(series) == b"".join(map(spelled, series))
    series = Series(("HGET",), keys, ("n",), repeatable=True)
    assert packed(series) == b"".join(map(spelled, series))


@given(st.lists(st.binary(max_size=8) | names | st.integers() | st.just(b"long" * 256), min_size=1, max_size=40))
def test_a_command_is_packed_whatever_its_arguments_are(arguments: list[bytes | str | int]) -> None:
    command = Command(("EVALSHA", *arguments))
    assert packed([command, command]) == spelled(command) * 2


def spelled(command: Command) -> bytes:
    """Return a command as the protocol has it."""
    raws = [each if isinstance(each, bytes) else str(each).encode() for each in command.args]
    return b"*%d\r\n" % len(raws) + b"".join(b"$%d\r\n%b\r\n" % (len(raw), raw) for raw in raws)


# ---- ahead


def test_the_next_chunk_to_read_is_asked_for_before_the_first_is_done(store: Store) -> None:
    objects = store.objects(Item)
    objects.put_many(items(3 * SIZE))
    for call in (objects.get_many, objects.stream, lambda ids, **options: objects.read_many(ids, I.n, **options)):
        before, asked = store.trips, list[int]()
        call(range(3 * SIZE), on_progress=lambda *_, before=before, asked=asked: asked.append(store.trips - before))
        assert asked == [2, 3, 3]


def test_a_chunk_to_write_has_ended_before_the_next_one_leaves(store: Store) -> None:
    objects = store.objects(Item)
    objects.put_many(items(1))
    objects.create(Item(id=-1))  # the server knows the scripts
    for call, given_ in (
        (objects.put_many, items(3 * SIZE)),
        (objects.delete_many, range(3 * SIZE)),
        (objects.create_many, items(3 * SIZE)),
    ):
        before, asked = store.trips, list[int]()
        call(given_, on_progress=lambda *_, before=before, asked=asked: asked.append(store.trips - before))
        assert asked == [1, 2, 3]


def test_every_kind_of_client_gives_the_same(anywhere: Store) -> None:
    objects, many = anywhere.objects(Item), items(3 * SIZE + 1)
    ids = [str(each.id) for each in many]
    assert objects.create_many(iter(many)) == ids
    assert objects.get_many(iter(ids)) == many
    assert objects.read_many(ids, I.n) == [each.n for each in many]
    assert objects.read_many([*ids, "-"], I.n, I.text) == [*((each.n, None) for each in many), None]
    assert objects.stream([*ids, "-"]) == list(zip(ids, many, strict=True))
    assert dict(objects.stream()) == dict(zip(ids, many, strict=True))
    assert objects.put_many({each.id: each for each in many}) == ids
    assert objects.delete_many([*ids, "-"]) == len(ids)
    assert objects.get_many(ids) == [None] * len(ids)


def test_wide_models_come_whole(anywhere: Store) -> None:
    objects = anywhere.objects(Wide)
    objects.put_many({n: Wide(a=n) for n in range(SIZE + 3)})
    anywhere.raw.hset("Wide:x", "other", "1")
    anywhere.raw.hset("Wide:1", "other", "1")
    assert objects.get_many([1, "-", SIZE + 2]) == [Wide(a=1), None, Wide(a=SIZE + 2)]
    assert objects.get_many(["x"]) == [Wide()]


def test_streams_may_be_nested_even_where_there_are_few_connections(server: Server) -> None:
    server.flush()
    pool = redis.BlockingConnectionPool.from_url(server.url, max_connections=1, timeout=1)
    with RedisBackend(redis.Redis.from_pool(pool)) as backend:
        objects = backend.objects(Item)
        objects.put_many(items(2 * SIZE))
        pairs = [(a, b) for a, _ in objects.stream(range(2 * SIZE)) for b, _ in objects.stream(range(2 * SIZE))]
    assert len(pairs) == (2 * SIZE) ** 2
    pool.disconnect()


# ---- faults


READS: dict[str, Callable[[Any], Any]] = {
    "HMGET": lambda objects: objects.get_many(range(5 * SIZE)),
    "HGET": lambda objects: objects.read_many(range(5 * SIZE), I.n),
}


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.HALF_REPLY])
@pytest.mark.parametrize("command", READS)
def test_a_chunk_whose_reply_was_cut_off_is_read_again(cut: tuple[Store, Proxy], fault: Fault, command: str) -> None:
    store, proxy = cut
    objects = store.objects(Item)
    objects.put_many(items(5 * SIZE))
    whole = READS[command](objects)
    assert len(whole) == 5 * SIZE
    for times in (1, 3):
        proxy.arm(fault, command, times=times)
        assert READS[command](objects) == whole
    assert proxy.fired == [fault] * 4


def fail_after(proxy: Proxy, fault: Fault, command: str, chunks: int) -> Callable[[int, int | None], None]:
    def on_progress(done: int, _: int | None) -> None:
        if done == chunks * SIZE:
            proxy.arm(fault, command)

    return on_progress


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.HALF_REPLY])
@pytest.mark.parametrize("name", ["create_many", "put_many"])
def test_a_lost_chunk_of_writes_is_told_by_its_ids_and_ends_all(
    cut: tuple[Store, Proxy], fault: Fault, name: str
) -> None:
    store, proxy = cut
    call = getattr(store.objects(Item), name)
    with pytest.raises(OutcomeUnknown, match="EVALSHA") as caught:
        call(iter(items(5 * SIZE)), on_progress=fail_after(proxy, fault, "EVALSHA", 2))
    assert caught.value.ids == tuple(str(n) for n in range(2 * SIZE, 3 * SIZE))
    assert f"done: {2 * SIZE} before" in caught.value.__notes__[0]
    stored = set(store.objects(Item).ids())
    assert {str(n) for n in range(2 * SIZE)} <= stored <= {str(n) for n in range(3 * SIZE)}


def test_a_lost_chunk_of_deletions_is_told_by_its_ids(cut: tuple[Store, Proxy]) -> None:
    store, proxy = cut
    store.objects(Item).put_many(items(3 * SIZE))
    on_progress = fail_after(proxy, Fault.HALF_REPLY, "DEL", 1)
    with pytest.raises(OutcomeUnknown) as caught:
        store.objects(Item).delete_many(range(3 * SIZE), on_progress=on_progress)
    assert caught.value.ids == tuple(str(n) for n in range(SIZE, 2 * SIZE))
    assert set(store.objects(Item).ids()) >= {str(n) for n in range(2 * SIZE, 3 * SIZE)}


@pytest.mark.parametrize("face", FACES)
def test_without_a_server_nothing_is_done_and_the_first_chunk_is_named(face: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}"

    def put() -> None:
        if face == "sync":
            connect(url).objects(Item).put_many(items(3 * SIZE))
        else:
            asyncio.run(connect_async(url).objects(Item).put_many(items(3 * SIZE)))

    with pytest.raises(StoreUnavailable) as caught:
        put()
    assert caught.value.ids == tuple(str(n) for n in range(SIZE))


def test_what_fails_to_give_values_leaves_whole_chunks_behind(store: Store) -> None:
    def broken() -> Iterator[Item]:
        yield from items(2 * SIZE + 3)
        raise RuntimeError("the file has ended")

    for call in (store.objects(Item).create_many, store.objects(Item).put_many):
        with pytest.raises(RuntimeError, match="the file has ended"):
            call(broken())
        assert sorted(map(int, store.objects(Item).ids())) == list(range(2 * SIZE))
        store.objects(Item).delete_many(range(2 * SIZE))


def test_what_fails_to_give_ids_lets_all_before_be_read(store: Store) -> None:
    def broken() -> Iterator[int]:
        yield from range(2 * SIZE)
        raise RuntimeError("no more ids")

    store.objects(Item).put_many(items(3 * SIZE))
    seen: list[str] = []

    def read() -> None:
        for id, _ in store.backend.objects(Item).stream(broken()):
            seen.append(id)

    async def read_asynchronously() -> None:
        async for id, _ in store.backend.objects(Item).stream(broken()):
            seen.append(id)

    with pytest.raises(RuntimeError, match="no more ids"):
        read() if store.loop is None else store.loop.run(read_asynchronously())
    assert seen == [str(n) for n in range(2 * SIZE)]


# ---- given up


def test_streams_that_are_left_early_leave_nothing_behind(server: Server) -> None:
    server.flush()
    # So few connections that each must come back.
    client = redis.Redis(port=server.port, max_connections=8)
    with RedisBackend(client) as backend:
        objects = backend.objects(Item)
        objects.put_many(items(5 * SIZE))
        for n in range(30):
            stream = objects.stream(range(n, 5 * SIZE))
            assert next(stream)[0] == str(n)
            if n % 2:
                stream.close()
            else:
                del stream
                gc.collect()
            assert objects.read(n, I.n) == n * n
        for _ in range(30):
            with pytest.raises(ZeroDivisionError):
                sum(1 // item.n for _, item in objects.stream(range(5 * SIZE)))
        assert objects.get_many(range(5 * SIZE)) == items(5 * SIZE)
        assert objects.count() == 5 * SIZE
    pool: Any = client.connection_pool
    for connection in [pool.get_connection(*lease_arguments(pool)) for _ in range(8)]:  # one more would be too many
        pool.release(connection)
    client.close()


@pytest.mark.filterwarnings("error")
def test_asynchronous_streams_that_are_left_early_leave_nothing_behind(server: Server) -> None:
    async def leave() -> None:
        async with connect_async(f"{server.url}?max_connections=4") as backend:
            objects = backend.objects(Item)
            await objects.put_many(items(5 * SIZE))
            for n in range(20):
                stream = objects.stream(range(n, 5 * SIZE))
                async for id, _ in stream:
                    assert id == str(n)
                    break
                if n % 2:
                    await stream.aclose()
                    assert not [task for task in asyncio.all_tasks() if "_post" in repr(task.get_coro())]
                del stream
                assert await objects.read(n, I.n) == n * n
            for turns in range(20):
                reading = asyncio.ensure_future(objects.get_many(range(5 * SIZE)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait((reading,))
                assert await objects.read(turns, I.n) == turns**2
            assert await objects.get_many(range(5 * SIZE)) == items(5 * SIZE)

    server.flush()
    asyncio.run(leave())


def in_child(check: Callable[[], bool]) -> bool:
    """Say whether it is so in a child after a fork."""
    if (child := os.fork()) == 0:
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("chunks", [2, 5])  # with two, the child lands its parent's before its own pool has lent any
def test_a_stream_goes_on_or_is_left_in_both_processes_after_a_fork(server: Server, chunks: int) -> None:
    server.flush()
    with connect(server.url) as backend:
        objects = backend.objects(Item)
        objects.put_many(items(chunks * SIZE))
        stream: Any = objects.stream(range(chunks * SIZE))
        next(stream)
        rest = items(chunks * SIZE)[1:]
        assert in_child(lambda: [item for _, item in stream] == rest)
        assert in_child(lambda: (stream.close(), objects.read(1, I.n) == 1)[1])
        assert [item for _, item in stream] == rest


def test_a_child_after_a_fork_may_have_as_much_in_flight_as_its_parent(server: Server) -> None:
    client = redis.Redis(port=server.port, max_connections=4)  # one of which may be in flight
    link, ping = PoolLink(client), Ask([reading("PING")])
    ahead = link.launch(ping)
    assert isinstance(link.launch(ping), Waiting)

    def check() -> bool:
        first = link.launch(ping)
        ahead.drop()
        second = link.launch(ping)
        return isinstance(first, Flight) and isinstance(second, Waiting) and first.land() == [b"PONG"]

    assert in_child(check)
    assert ahead.land() == [b"PONG"]
    client.close()


# ---- without end


def peak(call: Callable[[], object]) -> int:
    """Return the most bytes that were held while it ran, beyond what it returns."""
    gc.collect()
    tracemalloc.start()
    try:
        returned = call()
        highest = tracemalloc.get_traced_memory()[1]
        before = tracemalloc.get_traced_memory()[0]
        del returned
        return highest - (before - tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["put_many", "stream", "delete_many"])
def test_ten_times_as_many_objects_take_no_more_memory(server: Server, name: str) -> None:
    server.flush()
    with connect(server.url) as backend:
        objects = backend.objects(Item)
        calls: dict[str, Callable[[int], object]] = {
            "put_many": lambda count: objects.put_many(Item(id=n) for n in range(count)),
            "stream": lambda count: sum(item.n for _, item in objects.stream(n % SIZE for n in range(count))),
            "delete_many": lambda count: objects.delete_many(iter(range(count))),
        }
        objects.put_many(items(SIZE))
        few, many = (peak(lambda count=count: calls[name](count)) for count in (500, 5_000))
    assert many < 2 * few + 50_000


@pytest.mark.parametrize("count", [0, 1, SIZE, 2 * SIZE + 1])
def test_asynchronous_iterables_are_taken_too(awaited: Store, count: int) -> None:
    async def later(values: list[Any]) -> AsyncIterator[Any]:
        for value in values:
            await asyncio.sleep(0)
            yield value

    objects, many = awaited.objects(Item), items(count)
    ids = [each.id for each in many]
    assert objects.create_many(later(many)) == list(map(str, ids))
    assert objects.get_many(later(ids)) == many
    assert objects.read_many(later(ids), I.n) == [each.n for each in many]
    assert [item for _, item in objects.stream(later(ids))] == many
    assert objects.audit(later(ids)) == []
    assert objects.put_many(later(many)) == list(map(str, ids))
    assert objects.delete_many(later(ids)) == count


# ---- the line on the terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_on_a_terminal_is_written_anew_and_ended() -> None:
    terminal = Terminal()
    tell = progress("items", file=terminal)
    tell(10, 20)
    tell(15, 20)  # too soon after the last
    tell(20, 20)
    assert terminal.getvalue() == "\ritems: 10 of 20 (50%)\ritems: 20 of 20 (100%)\n"


def test_while_nobody_knows_how_many_there_are_only_what_is_done_is_told() -> None:
    terminal = Terminal()
    progress(file=terminal)(1000, None)
    assert terminal.getvalue() == "\r1,000"


def test_what_is_no_terminal_gets_the_last_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    tell = progress()
    for done in (10, 20):
        tell(done, 20)
    assert capsys.readouterr().err == "20 of 20 (100%)\n"
