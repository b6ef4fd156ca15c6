"""Backends of either colour: whose client it is, what they close, and where their spaces are."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import fakeredis
import pytest
import redis
import redis.asyncio
from pydantic import BaseModel

import distobjects
from distobjects import AsyncRedisBackend, InvalidModel, RedisBackend, StoreUnavailable, connect, connect_async
from distobjects._flow import Flow, Pause
from tests.fix_servers import Server

ROOT = Path(distobjects.__file__).parents[1]
T = TypeVar("T")


class Thing(BaseModel):
    n: int = 0


class Box(BaseModel, Generic[T]):
    content: T


def memory(**options: Any) -> RedisBackend:
    return RedisBackend(fakeredis.FakeRedis(), **options)


def async_memory(**options: Any) -> AsyncRedisBackend:
    return AsyncRedisBackend(fakeredis.FakeAsyncRedis(), **options)


COLOURS: list[Callable[..., Any]] = [memory, async_memory]


# ---- closing


def test_a_client_that_was_handed_over_stays_open(server: Server) -> None:
    with server.client() as client:
        with RedisBackend(client=client) as backend:
            backend.objects(Thing).put(Thing(n=1), id="1")
        assert any(each._sock for each in client.connection_pool._available_connections)  # not even they are closed
        assert client.ping()
        with pytest.raises(StoreUnavailable, match="is closed; connect again"):
            backend.objects(Thing).exists("1")


def test_an_asyncio_client_that_was_handed_over_stays_open(server: Server) -> None:
    async def use() -> None:
        async with redis.asyncio.Redis(port=server.port) as client:
            async with AsyncRedisBackend(client=client) as backend:
                assert backend.client is client
                await backend.objects(Thing).put(Thing(n=1), id="1")
            assert not client.connection_pool._in_use_connections  # the shared one is back
            assert await client.ping()
            with pytest.raises(StoreUnavailable, match="is closed; connect again"):
                await backend.objects(Thing).exists("1")

    asyncio.run(use())


def test_closing_twice_is_closing_once(server: Server) -> None:
    with connect(server.url) as db:
        live = db.objects(Thing).put(Thing(n=1), id="1")
        db.close()
        db.close()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}/0 is closed"):
        live.n
    with pytest.raises(StoreUnavailable):
        live.n = 2

    async def twice() -> None:
        async with connect_async(server.url) as later:
            await later.objects(Thing).exists("1")
            await later.close()
            await later.close()

    asyncio.run(twice())


def test_a_backend_is_closed_when_its_block_fails(server: Server) -> None:
    with pytest.raises(ZeroDivisionError), connect(server.url) as db:
        1 / 0
    with pytest.raises(StoreUnavailable):
        db.objects(Thing).exists("1")


@pytest.mark.parametrize("make", COLOURS)
def test_a_backend_is_shown_by_its_server(make: Callable[..., Any]) -> None:
    assert repr(make()) == f"<{make().__class__.__name__} memory>"
    assert repr(RedisBackend(redis.Redis(host="h", password="secret"))) == "<RedisBackend redis://h:6379/0>"


# ---- processes and event loops


FORKING = """
import os, sys
from distobjects import connect
from tests.test_backend import Thing
db = connect(sys.argv[1])
things = db.objects(Thing)
thing = things.put(Thing(n=1), id="1")
children = []
for number in range(4):
    child = os.fork()
    if not child:
        mine = things.put(Thing(n=number), id=f"child {number}")
        wrong = sum(mine.n != number for _ in range(200))
        thing.n += 1
        db.close()
        os._exit(wrong)
    children.append(child)
wrong = sum(things.get("1").n not in range(1, 6) for _ in range(200))
wrong += sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
assert thing.n == 5, thing.n
db.close()
sys.exit(wrong)
"""


def test_a_backend_survives_a_fork_on_both_sides(url: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", FORKING, url], cwd=ROOT, check=True, timeout=60)


FORKING_ASYNC = """
import asyncio, os, sys
from distobjects import connect_async
from tests.test_backend import Thing
db = connect_async(sys.argv[1])
things = db.objects(Thing)
async def use(number):
    mine = await things.put(Thing(n=number), id=str(number))
    return sum([await mine.n != number for _ in range(200)])
wrong = asyncio.run(use(0))
child = os.fork()
if not child:
    os._exit(asyncio.run(use(1)))
wrong += asyncio.run(use(2))
sys.exit(wrong + os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_an_asyncio_backend_survives_a_fork_on_both_sides(url: str) -> None:
    subprocess.run([sys.executable, "-c", FORKING_ASYNC, url], cwd=ROOT, check=True, timeout=60)


def test_each_event_loop_has_a_client_of_its_own_that_goes_with_it(server: Server) -> None:
    db, ended = connect_async(server.url), list[Any]()

    async def use(n: int) -> int:
        ended.append(weakref.ref(asyncio.get_running_loop()))
        thing = await db.objects(Thing).put(Thing(n=n), id="1")
        await db.client.connection_pool.disconnect()
        read: int = await thing.n
        await db.client.connection_pool.disconnect()
        return read

    assert [asyncio.run(use(n)) for n in range(4)] == [0, 1, 2, 3]
    gc.collect()
    assert [loop() is None for loop in ended] == [True, True, True, False]  # the last one is not known to have ended
    asyncio.run(db.close())


def test_two_event_loops_at_once_do_not_share_a_client(server: Server) -> None:
    async def client(db: AsyncRedisBackend) -> Any:
        return db.client

    with asyncio.Runner() as one, asyncio.Runner() as two:
        db = connect_async(server.url)
        first = one.run(client(db))
        assert two.run(client(db)) is not first
        assert one.run(client(db)) is first


# ---- running flows


def waiting() -> Flow[float]:
    [elapsed] = yield Pause(0.02)
    again: list[float] = yield Pause(0.01)
    return again[0] - elapsed


def test_a_pause_is_waited_for_and_answered_with_the_time_since_the_flow_began() -> None:
    assert 0.01 <= memory().run(waiting()) < 5

    async def later() -> float:
        return await async_memory().run(waiting())

    assert 0.01 <= asyncio.run(later()) < 5


def test_a_blocking_call_in_a_running_event_loop_warns_once_for_each_line_of_the_caller() -> None:
    things = memory().objects(Thing)
    live = things.put(Thing(n=1), id="1")

    async def block() -> None:
        for _ in range(3):
            live.n
        things.exists("1")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        asyncio.run(block())
        live.n  # no loop runs here
    assert [(each.category, Path(each.filename).name) for each in caught] == [(RuntimeWarning, "test_backend.py")] * 2
    assert "connect_async" in str(caught[0].message)


# ---- spaces


@pytest.mark.parametrize("make", COLOURS)
@pytest.mark.parametrize("prefix", ["{a}{b}", "{", "}", "{}", "{a", "a}", "{{a}}"])
def test_a_prefix_with_more_than_one_tag_is_refused(make: Callable[..., Any], prefix: str) -> None:
    with pytest.raises(ValueError, match="may hold one"):
        make(prefix=prefix)


@pytest.mark.parametrize("prefix", ["", "app:", "{app}:", "app:{shop}:x:"])
def test_every_key_begins_with_the_prefix(prefix: str) -> None:
    backend = memory(prefix=prefix)
    backend.objects(Thing).put(Thing(n=1), id="1")
    assert backend.prefix == prefix == async_memory(prefix=prefix).prefix
    assert backend.client.keys() == [f"{prefix}Thing:1".encode()]
    assert list(backend.objects(Thing)) == ["1"]


def other_thing(name: str = "Thing") -> type[BaseModel]:
    """Make a model that is another one, but has the same name."""
    return type(name, (BaseModel,), {"__module__": "elsewhere", "__annotations__": {"text": str}, "text": ""})


@pytest.mark.parametrize("make", COLOURS)
def test_two_models_under_one_name_are_refused(make: Callable[..., Any]) -> None:
    backend = make()
    backend.objects(Thing)
    with pytest.raises(InvalidModel, match=r"tests.test_backend.Thing is stored as 'Thing' here already; pass name="):
        backend.objects(other_thing())
    assert "Others" in repr(backend.objects(other_thing(), name="Others"))
    with pytest.raises(InvalidModel, match="stored as 'Thing' here already"):
        backend.objects(other_thing("Unlike"), name="Thing")
    make(prefix="x:").objects(other_thing())  # another backend is another place


@pytest.mark.parametrize("make", COLOURS)
def test_a_class_that_is_defined_again_at_the_same_place_takes_over(make: Callable[..., Any]) -> None:
    def define(text: bool) -> type[BaseModel]:
        class Cell(BaseModel):
            n: int = 0

        class WithText(Cell):
            text: str = ""

        WithText.__qualname__ = Cell.__qualname__
        WithText.__name__ = Cell.__name__
        return WithText if text else Cell

    backend = make()
    before, after = (backend.objects(define(text)) for text in (False, True))
    assert before is not after


def test_the_objects_of_a_model_are_made_once() -> None:
    backend = memory()
    assert backend.objects(Thing) is backend.objects(Thing)
    assert backend.objects(Thing) is not backend.objects(Thing, name="Others")


@pytest.mark.parametrize("make", COLOURS)
def test_a_generic_model_needs_a_name(make: Callable[..., Any]) -> None:
    backend = make()
    with pytest.raises(InvalidModel, match="name="):
        backend.objects(Box[int])
    assert "Boxes" in repr(backend.objects(Box[int], name="Boxes"))


@pytest.mark.parametrize("make", COLOURS)
@pytest.mark.parametrize("name", ["", "a:b", "a{b", "a}b", "a*", "a?", "[a]", "a\\", "a\n"])
def test_a_name_that_keys_cannot_carry_is_refused(make: Callable[..., Any], name: str) -> None:
    with pytest.raises(InvalidModel, match="is no name for a space"):
        make().objects(Thing, name=name)


def test_a_client_may_be_given_by_position_or_name() -> None:
    client = fakeredis.FakeRedis()
    assert RedisBackend(client).client is RedisBackend(client=client).client is client


def test_a_client_without_a_pool_of_its_own_stays_open_too() -> None:
    with memory() as backend:
        backend.objects(Thing).put(Thing(n=1), id="1")
    assert backend.client.exists("Thing:1")
    with pytest.raises(StoreUnavailable, match="the backend of memory is closed"):
        backend.objects(Thing).exists("1")
