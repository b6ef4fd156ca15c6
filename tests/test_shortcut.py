"""The short way to one field, or to a whole object, asks, answers and fails as its flow does; only the time differs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, cast

import pytest
from pydantic import AfterValidator, Base64Bytes, BaseModel, Field, Json, SecretStr, ValidationError, model_validator

from distobjects import (
    AlreadyExists,
    AsyncDObject,
    CorruptData,
    DistObjectsError,
    DObject,
    F,
    FieldUnset,
    NotFound,
    OutcomeUnknown,
    RedisBackend,
    StoreUnavailable,
    _leases,
    _objects,
    _writes,
    connect,
    connect_async,
)
from distobjects._binding import Binding
from distobjects._codecs import Original
from distobjects._flow import Ask, Flow, advance
from distobjects._prepared import PreparedWhole
from distobjects._shortcut import Shortcut, Whole
from distobjects._wire import packed, stencil
from distobjects.fields import IntegerField, TextField
from tests.fix_models import Thirty

from .fix_faults import Fault, Proxy, faulty
from .fix_servers import Server, recorder


class Thing(BaseModel):
    n: int = Field(default=0, ge=0)
    text: str
    price: Decimal = Decimal("1.5")
    seen: datetime | None = None
    tags: list[str] = []
    secret: SecretStr = SecretStr("s")


class Range(BaseModel):
    lo: int = 0
    hi: int = 9

    @model_validator(mode="after")
    def ordered(self) -> Range:
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


class Loud(BaseModel):
    text: Annotated[str, AfterValidator(str.upper)] = ""


class Still(BaseModel):
    text: str = Field(default="a", frozen=True)


class City(BaseModel):
    name: str = Field(default="?", alias="Name")


class Home(BaseModel):
    city: City = City()
    code: Base64Bytes = b""
    limits: Json[list[int]] = []


@pytest.fixture
def db(server: Server, url: str) -> Iterator[RedisBackend]:
    with connect(url) as made:
        yield made


@pytest.fixture
def proxy(server: Server, url: str) -> Iterator[Proxy]:
    with faulty(server) as made:
        yield made


def outcome(work: Any) -> Any:
    """Return what work returns, or how it fails."""
    try:
        return work()
    except (DistObjectsError, ValidationError, AttributeError) as error:
        return type(error), str(error)


def both(db: RedisBackend, model: type[BaseModel], name: str) -> tuple[Shortcut, Binding]:
    binding = Binding(db, db.objects(model)._space)
    return Shortcut(binding, name), binding


VALUES: list[tuple[str, Any]] = [
    ("n", 3),
    ("n", -1),
    ("n", "5"),
    ("n", None),
    ("n", "no number"),
    ("text", "wörd %d %b\r\n"),
    ("text", ""),
    ("text", "\ud800"),
    ("text", 3),
    ("price", Decimal("2.50")),
    ("seen", None),
    ("seen", datetime(2026, 1, 2, tzinfo=UTC)),
    ("tags", ["a", "b"]),
    ("tags", [1]),
    ("secret", "hush"),
]


@pytest.mark.parametrize("id", ["1", "ä", "%{x}\n", "0192-a"])
@pytest.mark.parametrize(("name", "value"), VALUES)
def test_both_ways_write_and_read_the_same(db: RedisBackend, name: str, value: Any, id: str) -> None:
    shortcut, (_, space, _) = both(db, Thing, name)
    db.objects(Thing).put(Thing(text="t"), id=id)
    short = outcome(lambda: shortcut.write(id, value)), outcome(lambda: shortcut.read(id))
    stored = db.client.hgetall(space.key(id))
    db.objects(Thing).put(Thing(text="t"), id=id)
    long = (
        outcome(lambda: db.run(_writes.write(space, id, {name: value}))),
        outcome(lambda: db.run(_objects.fetch(space, id, name))),
    )
    assert short == long
    assert stored == db.client.hgetall(space.key(id))


@pytest.mark.parametrize("raw", [b"-1", b"x", b"", b"\xff"])
def test_bytes_that_do_not_decode_are_told_of_alike(db: RedisBackend, raw: bytes) -> None:
    for name in ("n", "price", "seen", "secret"):
        shortcut, (_, space, _) = both(db, Thing, name)
        db.client.hset("Thing:1", name, raw)
        short, long = (
            outcome(lambda s=shortcut: s.read("1")),
            outcome(lambda s=space, n=name: db.run(_objects.fetch(s, "1", n))),
        )
        assert short == long or name == "secret"


def test_no_trace_of_a_secret_s_bytes_is_in_an_error(db: RedisBackend) -> None:
    db.client.hset("Thing:1", "secret", b"\xffhush")
    with pytest.raises(CorruptData) as caught:
        _ = db.objects(Thing)["1"].secret
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_an_absent_object_and_an_absent_field_take_two_round_trips_as_ever(db: RedisBackend) -> None:
    things = db.objects(Thing)
    before = db._runner.trips
    with pytest.raises(NotFound):
        _ = things["1"].n
    assert db._runner.trips == before + 2
    db.client.hset("Thing:1", "tags", "[]")
    assert things["1"].n == 0
    with pytest.raises(FieldUnset):
        _ = things["1"].text
    assert db._runner.trips == before + 6


def test_a_write_to_what_is_not_there_brings_nothing_into_being(db: RedisBackend) -> None:
    with pytest.raises(NotFound):
        db.objects(Thing)["1"].n = 3
    db.objects(Thing).put(Thing(text="t"), id="1")
    db.client.hdel("Thing:1", "n")
    db.objects(Thing)["1"].n = 4
    assert db.client.hget("Thing:1", "n") == b"4"


def test_a_key_that_holds_no_hash_is_corrupt_data(db: RedisBackend) -> None:
    db.client.set("Thing:1", "x")
    thing = db.objects(Thing)["1"]
    with pytest.raises(CorruptData, match="holds no hash"):
        _ = thing.n
    with pytest.raises(CorruptData, match="holds no hash"):
        thing.n = 1


def test_a_model_with_a_say_of_its_own_is_asked(db: RedisBackend) -> None:
    bounds, loud = db.objects(Range).put(Range(), id="1"), db.objects(Loud).put(Loud(), id="1")
    with pytest.raises(ValidationError, match="lo is above hi"):
        bounds.lo = 10
    loud.text = "a"
    assert [bounds.lo, loud.text] == [0, "A"]
    with pytest.raises(ValidationError, match="frozen"):
        setattr(db.objects(Still).put(Still(), id="1"), "text", "b")  # noqa: B010  # a type checker knows it is frozen


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("city", {"Name": "Rome"}),
        ("city", {"name": "Rome"}),
        ("city", City(Name="Rome")),
        ("code", b"aGk="),
        ("limits", "[1, 2]"),
    ],
)
def test_what_is_assigned_is_taken_as_the_model_takes_it(db: RedisBackend, name: str, value: Any) -> None:
    homes = db.objects(Home)
    setattr(homes.put(Home(), id="1"), name, value)
    assert homes.get("1") == Home.model_validate({name: value})


def test_a_warm_attribute_is_one_command(db: RedisBackend, server: Server) -> None:
    thing = db.objects(Thing).put(Thing(text="t"), id="1")
    thing.n = 1
    with recorder(server) as seen:
        thing.n = 2
        assert thing.n == 2
        assert thing.text == "t"
    assert seen.commands == ["HSETEX" if server.kind == "valkey" else "EVALSHA", "HGET", "HGET"]


def test_a_script_that_the_server_has_forgotten_is_sent_again(db: RedisBackend) -> None:
    thing = db.objects(Thing).put(Thing(text="t"), id="1")
    db.objects(Thing)._space.dialect.hsetex = False
    for n in range(3):
        db.client.script_flush()
        thing.n = n
        assert thing.n == n


def test_classes_that_share_a_field_have_ways_of_their_own(server: Server, url: str) -> None:
    with connect(url) as db:

        class Parent(DObject):
            class Meta:
                backend = db

            text = TextField()
            n = IntegerField()

        class Child(Parent):
            pass

        for _ in range(2):
            Parent("1").text, Child("1").text = "parent", "child"
            assert [Parent("1").text, Child("1").text] == ["parent", "child"]
        Parent("1").n = 1
        Parent("1").text = Parent("1").n = None
        assert [Parent("1").text, Child("1").text, db.client.hgetall("Parent:1")] == [None, "child", {}]


# ---- whole objects


def whole(db: RedisBackend, model: type[BaseModel]) -> Whole:
    return Whole(db, db.objects(model)._space)


class Sparse(BaseModel):
    n: int
    text: str = "t"


class Many(Thirty):  # read by HGETALL
    k: str = "k"


class Old(BaseModel):
    text: Annotated[str | None, Original()] = None
    n: int = 0


STORED: list[dict[str, bytes]] = [
    {},
    {"n": b"3", "text": b"t"},
    {"n": b"3"},
    {"text": b"t"},
    {"n": b"x", "text": b"t"},
    {"other": b"1"},
    dict.fromkeys("acegik", b"1"),  # its reply is as long as the model is
]


@pytest.mark.parametrize("id", ["1", "ä", "%{x}\n", "0192-a"])
@pytest.mark.parametrize("stored", STORED, ids=repr)
def test_both_ways_read_the_same_object(db: RedisBackend, stored: dict[str, bytes], id: str) -> None:
    for model in (Sparse, Many, Range, Loud, Old):
        space = db.objects(model)._space
        if stored:
            db.client.hset(space.key(id), mapping=stored)
        before = db._runner.trips
        short = outcome(lambda s=space, m=model: whole(db, m).get(id))
        between = db._runner.trips
        long = outcome(lambda s=space: db.run(_objects.get(s, id)))
        assert short == long
        assert between - before == db._runner.trips - between


INSTANCES: list[BaseModel] = [
    Thing(text="wörd %d %b\r\n"),
    Thing.model_construct(n=-1, text="t"),
    Thing.model_construct(n=1),
    Range.model_construct(lo=10, hi=9),
    Loud(text="a"),
    Many(k="8"),
    Old(n=1),
    Home(code=b"aGk="),
]


@pytest.mark.parametrize("way", ["create", "put", "get_or_create"])
@pytest.mark.parametrize("value", INSTANCES, ids=repr)
def test_both_ways_store_the_same_object(db: RedisBackend, way: str, value: BaseModel) -> None:
    space = db.objects(type(value))._space
    outcomes: list[Any] = []
    for run in (
        getattr(whole(db, type(value)), way),
        lambda id, value: db.run(getattr(_objects, way)(space, id, value)),
    ):
        for _ in range(2):  # where nothing is, and where something is
            ended = outcome(lambda run=run: run("1", value))
            outcomes.append((ended if isinstance(ended, tuple) else None, db.client.hgetall(space.key("1"))))
        db.client.delete(space.key("1"))
    assert outcomes[:2] == outcomes[2:]


def test_a_whole_object_is_one_command(db: RedisBackend, server: Server) -> None:
    things = db.objects(Thing)
    for way in (things.put, things.create):  # the server learns the scripts
        way(Thing(text="t"))
    with recorder(server) as seen:
        things.create(Thing(text="t"), id="1")
        things.get_or_create(Thing(text="u"), id="1")
        assert things.get("1") == things.get("1", None) == Thing(text="t")
        things.put(Thing(text="v"), id="1")
        assert things.read("1", F(Thing).text) == things.field("1", F(Thing).text).get() == "v"
    assert seen.commands == ["EVALSHA"] * 2 + ["HMGET"] * 2 + ["EVALSHA"] + ["HGET"] * 2


def test_what_is_there_is_left_as_it_is(db: RedisBackend) -> None:
    things = db.objects(Thing)
    db.client.set("Thing:1", "no hash")
    with pytest.raises(AlreadyExists):
        things.create(Thing(text="t"), id="1")
    things.get_or_create(Thing(text="t"), id="1")
    assert db.client.get("Thing:1") == b"no hash"
    for read in (lambda: things.get("1"), lambda: things.get("1", None)):
        with pytest.raises(CorruptData, match="holds no hash"):
            read()
    things.put(Thing(text="t"), id="1")
    assert things.get("1") == Thing(text="t")
    assert things.get("2", None) is None
    with pytest.raises(NotFound):
        things.get("2")


def test_a_whole_object_s_script_that_the_server_has_forgotten_is_sent_again(db: RedisBackend) -> None:
    things = db.objects(Thing)
    for n, way in enumerate((things.create, things.put, things.get_or_create)):
        db.client.script_flush()
        way(Thing(text="t", n=n), id=str(n))
        assert things.get(str(n)).n == n


def test_an_instance_that_has_been_changed_is_checked_again(db: RedisBackend) -> None:
    things, thing = db.objects(Thing), Thing(text="t")
    thing.n = -1
    before = db._runner.trips
    for way in (things.create, things.put, things.get_or_create):
        with pytest.raises(ValidationError):
            way(thing, id="1")
    assert db._runner.trips == before


def test_a_whole_object_s_command_is_that_of_the_flow(db: RedisBackend) -> None:
    space, value = db.objects(Thing)._space, Thing(text="100 %b %")
    things = PreparedWhole(space)
    assert things.getting
    row = cast(list[bytes], space.schema.encode_instance(value))
    for id in ("1", "ä", "%d"):
        assert things.getting.command(id) == _first(_objects.get(space, id))
        assert things.inserting.command(id, *row) == _first(_objects.create(space, id, value))
        assert things.replacing.command(id, *row) == _first(_objects.put(space, id, value))


# ---- whole objects, with asyncio


async def async_outcome(made: Awaitable[object]) -> object:
    """Return what comes of an operation as `outcome` does, of a live object that it is one."""
    ended: Any
    try:
        ended = await made
    except Exception as error:  # noqa: BLE001  # compared
        ended = error
    return outcome(lambda: _raised_or(ended))


def _raised_or(ended: object) -> object:
    if isinstance(ended, Exception):
        raise ended
    return "live" if isinstance(ended, (DObject, AsyncDObject)) else ended


@pytest.mark.parametrize("value", INSTANCES, ids=repr)
def test_both_colours_store_and_read_the_same_object(db: RedisBackend, url: str, value: BaseModel) -> None:
    key, objects = db.objects(type(value))._space.key("1"), db.objects(type(value))
    operations: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        *((way, (value,), {"id": "1"}) for way in ("create", "put", "get_or_create") for _ in range(2)),
        ("get", ("1",), {}),
        ("get", ("2",), {}),
        ("get", ("2", None), {}),
    ]

    async def asynchronously() -> list[Any]:
        ended: list[Any] = []
        async with connect_async(url) as other:
            for way, args, named in operations:
                ended.append(await async_outcome(getattr(other.objects(type(value)), way)(*args, **named)))
                ended.append((db.client.hgetall(key), other._runner.trips))
        return ended

    ended: list[Any] = []
    db.client.script_flush()
    before = db._runner.trips
    for way, args, named in operations:
        ended.append(outcome(lambda w=way, a=args, n=named: _raised_or(getattr(objects, w)(*a, **n))))
        ended.append((db.client.hgetall(key), db._runner.trips - before))
    db.client.flushdb()
    db.client.script_flush()
    assert asyncio.run(asynchronously()) == ended


def test_with_asyncio_a_whole_object_is_one_command(url: str, server: Server) -> None:
    async def commands() -> list[str]:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            for way in (things.put, things.create):
                await way(Thing(text="t"))
            with recorder(server) as seen:
                await things.create(Thing(text="t"), id="1")
                await things.get_or_create(Thing(text="u"), id="1")
                assert await things.get("1") == await things.get("1", None) == Thing(text="t")
                await things.put(Thing(text="v"), id="1")
        return seen.commands

    assert asyncio.run(commands()) == ["EVALSHA"] * 2 + ["HMGET"] * 2 + ["EVALSHA"]


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.LOSE_REQUEST])
def test_with_asyncio_what_is_lost_on_its_way_is_sent_once_and_a_snapshot_again(proxy: Proxy, fault: Fault) -> None:
    async def block() -> None:
        async with connect_async(proxy.url) as db:
            things = db.objects(Thing)
            for way in (things.put, things.create):
                await way(Thing(text="t"))
            for n, way in enumerate((things.create, things.put, things.get_or_create), 1):
                proxy.arm(fault, "EVALSHA")
                with pytest.raises(OutcomeUnknown):
                    await way(Thing(text="t"), id=str(n))
                assert await things.exists(str(n)) == (fault is not Fault.LOSE_REQUEST)
                assert len(proxy.fired) == n
            await things.put(Thing(n=7, text="t"), id="1")
            proxy.arm(fault, "HMGET", times=3)
            before = db._runner.trips
            assert (await things.get("1")).n == 7
            assert db._runner.trips == before + 4

    asyncio.run(block())


def test_with_asyncio_a_script_that_the_server_has_forgotten_is_sent_again(url: str) -> None:
    async def block() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            for n, way in enumerate((things.create, things.put, things.get_or_create)):
                await db.client.script_flush()
                await way(Thing(text="t", n=n), id=str(n))
                assert (await things.get(str(n))).n == n

    asyncio.run(block())


@pytest.mark.parametrize("turns", range(6))
def test_with_asyncio_a_cancelled_whole_object_disturbs_nobody(url: str, turns: int) -> None:
    async def block() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            await things.put_many({n: Thing(text="t", n=n) for n in range(5)})
            value = Thing(text="u", n=9)
            for made in (things.get("0"), things.put(value, id="0"), things.create(value), things.get_or_create(value)):
                cancelled = asyncio.ensure_future(made)
                others = [asyncio.ensure_future(things.get(str(n))) for n in range(1, 5)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                cancelled.cancel()
                await asyncio.gather(cancelled, return_exceptions=True)
                assert [each.n for each in await asyncio.gather(*others)] == [*range(1, 5)]
            assert await things.get("0") in (Thing(text="t"), value)

    asyncio.run(block())


def test_with_asyncio_what_becomes_of_a_value_meanwhile_does_not_matter(url: str) -> None:
    async def block() -> None:
        async with connect_async(url) as db:
            things, value = db.objects(Thing), Thing(text="t")
            await things.put(value, id="1")
            await db.client.script_flush()
            for id in ("1", "2"):
                storing = asyncio.ensure_future(things.create(value, id=id))
                await asyncio.sleep(0)
                value.n = -1
                if id == "1":
                    with pytest.raises(AlreadyExists):
                        await storing
                else:
                    await storing
                value.n = 0
            assert await things.get("2") == Thing(text="t")

    asyncio.run(block())


# ---- failures


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.LOSE_REQUEST])
def test_a_whole_object_that_is_lost_on_its_way_is_sent_once(proxy: Proxy, fault: Fault) -> None:
    with connect(proxy.url) as db:
        things = db.objects(Thing)
        for way in (things.put, things.create):
            way(Thing(text="t"))
        for n, way in enumerate((things.create, things.put, things.get_or_create), 1):
            proxy.arm(fault, "EVALSHA")
            with pytest.raises(OutcomeUnknown):
                way(Thing(text="t"), id=str(n))
            assert things.exists(str(n)) == (fault is not Fault.LOSE_REQUEST)
            assert len(proxy.fired) == n


def test_a_connection_that_has_died_idle_is_found_before_an_object_is_stored(
    db: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_leases, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(_leases, "_LEASE_SECONDS", 3600.0)
    things = db.objects(Thing)
    for n, way in enumerate((things.create, things.put, things.get_or_create)):
        assert not things.exists(str(n))
        db.client.client_kill_filter(_type="normal", skipme=True)
        way(Thing(text="t"), id=str(n))


def test_a_snapshot_that_is_lost_is_asked_for_again(proxy: Proxy) -> None:
    with connect(proxy.url) as db:
        things = db.objects(Thing)
        things.put(Thing(n=7, text="t"), id="1")
        proxy.arm(Fault.LOSE_REPLY, "HMGET", times=3)
        before = db._runner.trips
        assert things.get("1").n == 7
        assert db._runner.trips == before + 4


def test_a_read_that_is_lost_is_asked_for_three_more_times(proxy: Proxy) -> None:
    with connect(proxy.url) as db:
        thing = db.objects(Thing).put(Thing(n=7, text="t"), id="1")
        proxy.arm(Fault.LOSE_REPLY, "HGET", times=3)
        before = db._runner.trips
        assert thing.n == 7
        assert db._runner.trips == before + 4
        proxy.arm(Fault.LOSE_REPLY, "HGET", times=5)
        with pytest.raises(StoreUnavailable):
            _ = thing.n
        assert len(proxy.fired) == 7


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.LOSE_REQUEST])
def test_a_write_that_is_lost_is_sent_once(proxy: Proxy, server: Server, fault: Fault) -> None:
    with connect(proxy.url) as db:
        thing = db.objects(Thing).put(Thing(text="t"), id="1")
        thing.n = 1
        proxy.arm(fault, "HSETEX" if server.kind == "valkey" else "EVALSHA")
        with pytest.raises(OutcomeUnknown):
            thing.n = 2
        assert thing.n == (1 if fault is Fault.LOSE_REQUEST else 2)
        assert len(proxy.fired) == 1


def test_a_closed_backend_takes_no_short_way(server: Server, url: str) -> None:
    with connect(url) as db:
        thing = db.objects(Thing).put(Thing(text="t"), id="1")
        assert thing.n == 0
    with pytest.raises(StoreUnavailable, match="closed"):
        _ = thing.n
    with pytest.raises(StoreUnavailable, match="closed"):
        thing.n = 1


def test_a_running_event_loop_is_warned_of(db: RedisBackend) -> None:
    thing = db.objects(Thing).put(Thing(text="t"), id="1")

    async def block() -> None:
        with pytest.warns(RuntimeWarning, match="blocking call") as caught:
            assert thing.n == 0
        assert caught[0].filename == __file__
        with pytest.warns(RuntimeWarning, match="blocking call"):
            thing.n = 1

    asyncio.run(block())


# ---- its commands


def test_a_command_is_that_of_the_flow(db: RedisBackend) -> None:
    for name in Thing.model_fields:
        shortcut, (_, space, creating) = both(db, Thing, name)
        assert shortcut._reading.command("1") == _first(_objects.fetch(space, "1", name))
        for native in (False, True):
            flow = _writes.write_raw(space, "1", name, b"r", creating=creating, native=native)
            assert shortcut._writing[native].command("1", b"r") == _first(flow)


def _first(flow: Flow[Any]) -> bytes:
    step = advance(flow)
    assert isinstance(step, Ask)
    return packed(step.commands)


def test_a_percent_sign_in_a_command_is_no_gap(db: RedisBackend) -> None:
    step = advance(_objects.fetch(db.objects(Thing)._space, "%d", "100 %b %"))
    assert isinstance(step, Ask)
    [command] = step.commands
    name, key, field = command.args
    assert stencil((name, None, field))(str(key).encode()) == packed([command])
    assert stencil(command.args)() == packed([command])
