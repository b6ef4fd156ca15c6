"""Whatever stands in Redis: reading it gives a value or a typed error, which says where and tells no secret.

`DISTOBJECTS_FULL=1` reads 100,000 corrupted hashes instead of 5,000.
"""

from __future__ import annotations

import enum
import os
import pickle
import random
import traceback
import uuid
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, HttpUrl, SecretBytes, SecretStr, ValidationError, model_validator

from distobjects import CorruptData, DistObjectsError, F, FieldUnset, Objects, RedisBackend, connect
from tests.fix_models import Thirty

OBJECTS = 100_000 if os.environ.get("DISTOBJECTS_FULL") else 5_000
PAGE = 1000
SECRET = b"hunter2"


class Colour(enum.Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


class Home(BaseModel):
    """Its validators raise whatever careless ones do."""

    street: str = ""
    photo: bytes = b""
    height: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def careless(cls, data: Any) -> Any:
        data["street"].upper()
        return data


class Tree(BaseModel):
    branches: list[Tree] = []


class Everything(BaseModel):
    text: str = "text"
    text_or_none: str | None = "null"
    blob: bytes = b"blob"
    count: int = Field(default=1, ge=0, le=10**20)
    ratio: float = 0.5
    flag: bool | None = True
    moment: datetime | None = datetime(2026, 1, 1)
    day: date = date(2026, 1, 1)
    took: timedelta = timedelta(seconds=1)
    key: uuid.UUID = uuid.UUID(int=1)
    price: Annotated[Decimal, Field(multiple_of=Decimal("0.01"))] = Decimal("1.10")
    colour: Colour = Colour.RED
    pin: Annotated[SecretStr, Field(min_length=4, max_length=12)] = SecretStr("hunter2")
    token: Annotated[SecretBytes, Field(max_length=12)] | None = SecretBytes(b"hunter2")
    home: Home | None = Home(street="x")
    tags: list[str] = ["a"]
    seen: set[int] = {1}
    meta: dict[int, float] = {1: 0.5}
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    tree: Tree = Tree(branches=[Tree()])
    path: PurePosixPath = PurePosixPath("/a")
    url: HttpUrl = HttpUrl("https://example.com")
    address: IPv4Address = IPv4Address("127.0.0.1")
    either: int | list[int] | None = 1
    anything: Any = None


class Spiteful:
    """A source of bytes that are wrong in every way that it knows."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._ways: list[Callable[[bytes], bytes]] = [
            lambda was: b"",
            lambda was: self._random.randbytes(self._random.randrange(40)),
            lambda was: was[: self._random.randrange(len(was) + 1)],
            lambda was: was + self._random.randbytes(1),
            lambda was: was + b"\xff",
            self._flipped,
            lambda was: b'"' + was + b'"',
            lambda was: b"[" + was + b"]",
            lambda was: b"\\" + was,
            lambda was: b"9" * self._random.choice([20, 400, 4301, 20_000]),
            lambda was: b"-1e" + b"9" * self._random.randrange(1, 9),
            lambda was: b"[" * self._random.choice([100, 250, 20_000]),
            lambda was: b'{"branches":[' * 300 + b"{}" + b"]}" * 300,
            lambda was: b"[" * 300 + b"]" * 300,
            lambda was: self._random.choice(WELL_KNOWN),
        ]

    def __call__(self, was: bytes) -> bytes:
        return self._random.choice(self._ways)(was)

    def names(self, names: list[str]) -> list[str]:
        return self._random.sample(names, self._random.randrange(1, 4))

    def _flipped(self, was: bytes) -> bytes:
        at = self._random.randrange(len(was) or 1)
        return was[:at] + bytes([self._random.randrange(256)]) + was[at + 1 :]


WELL_KNOWN = (
    b"null NULL None nan NaN inf -Infinity true 0 -1 -0 1.5 1e5 0x10 1_000 \\ \\null {} [] [null] {\"a\":{}} [[1]] "
    b"{\"street\":1} {\"1\":null} {\"kind\":\"dog\"} {\"kind\":[]} P1Y 24:00 9999-12-31T23:59:59Z 0000-00-00 sNaN "
    b"1E+999999999 -Infinity \xff\xfe \xed\xa0\x80 \"\\ud800\" [\"\\ud800\"] \x00 http:// //// 1.2.3.4.5 ../.."
).split()  # fmt: skip


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, its causes and its contexts, suppressed ones too."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def shown(error: BaseException) -> str:
    """Everything that an error, its causes and a report of it say."""
    parts = [f"{each!s}{each!r}{each.args!r}{vars(each)!r}" for each in chain(error)]
    parts += [repr(each.errors()) for each in chain(error) if isinstance(each, ValidationError)]
    return "".join([*parts, *traceback.format_exception(error), pickle.dumps(error).decode("latin-1")])


@pytest.fixture
def db(url: str) -> Iterator[RedisBackend]:
    with connect(url) as backend:
        yield backend


@pytest.fixture
def objects(db: RedisBackend) -> Objects[Everything]:
    return db.objects(Everything)


def outcome(read: Callable[[], Any]) -> CorruptData | None:
    """Read; return what is wrong. Any error but ours fails the test."""
    try:
        read()
    except CorruptData as error:
        return error
    return None


def check(error: CorruptData, id: str, stored: dict[str, bytes]) -> None:
    """Check that an error says what is wrong, and where."""
    assert (error.model, error.id) == ("Everything", id)
    assert error.field in stored
    assert error.length == len(stored[error.field])
    assert error.kind
    for word in ("Everything", repr(id), repr(error.field), f"{error.length} bytes", error.kind):
        assert word in str(error)
    assert isinstance(error, ValueError)
    if error.field in ("pin", "token"):
        assert list(chain(error)) == [error]
        for secret in (stored[error.field], SECRET):
            assert not secret or len(secret) < 4 or secret.decode("latin-1") not in shown(error)


def test_a_corrupted_hash_gives_a_value_or_a_typed_error(db: RedisBackend, objects: Objects[Everything]) -> None:
    objects.create(Everything(), id="whole")
    whole = {name.decode(): raw for name, raw in db.client.hgetall("Everything:whole").items()}
    objects.delete("whole")
    spiteful, kinds = Spiteful(OBJECTS), set[str]()
    for start in range(0, OBJECTS, PAGE):
        page = {str(number): dict(whole) for number in range(start, start + PAGE)}
        touched: dict[str, list[str]] = {}
        pipeline = db.client.pipeline(transaction=False)
        for id, stored in page.items():
            touched[id] = spiteful.names(list(whole))
            stored.update({name: spiteful(whole[name]) for name in touched[id]})
            pipeline.hset(f"Everything:{id}", mapping=stored)  # type: ignore[arg-type]  # a dict of str is invariant
        pipeline.execute()
        wrong: dict[str, CorruptData] = {}
        for id, stored in page.items():
            found = outcome(partial(objects.get, id))
            if found is not None:
                check(found, id, stored)
                assert found.field in touched[id]
                wrong[id] = found
                kinds.add(found.kind)
            single = outcome(partial(getattr, objects[id], touched[id][0]))
            if single is not None:
                check(single, id, stored)
                assert single.field == touched[id][0]
                assert found is not None
        faults = {fault.id: fault.error for fault in objects.audit()}
        assert wrong.keys() <= faults.keys()
        for id, error in faults.items():
            assert str(error) == str(wrong[id])
        db.client.flushdb()
    assert len(kinds) > 20  # the spite is not all of one kind


def test_a_corrupted_secret_is_named_and_not_shown(db: RedisBackend, objects: Objects[Everything]) -> None:
    for name, stored, kind in [
        ("pin", b"hunter2\xff", "not UTF-8"),
        ("pin", b"hunter2-is-too-long", "too_long"),
        ("pin", b"", "too_short"),
        ("token", b"hunter2-is-too-long", "too_long"),
    ]:
        db.client.hset("Everything:1", name, stored)
        reads: list[Callable[[], object]] = [
            lambda: objects.get("1"),
            partial(getattr, objects["1"], name),
            partial(objects.read, "1", getattr(F(Everything), name)),
            lambda: objects.get_many(["1"]),
            lambda: list(objects.stream()),
        ]
        for read in reads:
            with pytest.raises(CorruptData) as caught:
                read()
            error = caught.value
            assert (error.field, error.length) == (name, len(stored))
            assert error.kind.endswith(kind)
            assert "hunter2" not in shown(error)
            assert list(chain(error)) == [error]
        [fault] = objects.audit()
        assert "hunter2" not in shown(fault.error)
        db.client.delete("Everything:1")


def test_an_error_about_another_field_tells_no_secret(db: RedisBackend, objects: Objects[Everything]) -> None:
    objects.create(Everything(), id="1")
    db.client.hset("Everything:1", "count", "many")
    with pytest.raises(CorruptData) as caught:
        objects.get("1")
    assert "hunter2" not in shown(caught.value)
    assert isinstance(caught.value.__cause__, ValidationError)


def test_a_secret_that_cannot_be_stored_is_not_shown(db: RedisBackend, objects: Objects[Everything]) -> None:
    objects.create(Everything(), id="1")
    with pytest.raises(ValidationError, match="surrogate") as caught:
        objects["1"].pin = SecretStr("hunter2\ud800")
    assert "hunter2" not in "".join(f"{each!s}{each!r}{vars(each)}" for each in chain(caught.value))


def test_audit_lists_what_only_the_whole_model_refuses(db: RedisBackend) -> None:
    class Span(BaseModel):
        low: int = 0
        high: int = 10

        @model_validator(mode="after")
        def ordered(self) -> Span:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    spans = db.objects(Span)
    spans.create_many({str(number): Span() for number in range(5)})
    db.client.hset("Span:1", "low", "11")
    db.client.hset("Span:2", "low", "x")
    db.client.hdel("Span:3", "low")
    db.client.delete("Span:4")
    db.client.set("Span:4", "no hash")
    assert spans.get("1").low == 11  # reads trust what writes have validated
    faults = {fault.id: fault.error for fault in spans.audit()}
    assert faults.keys() == {"1", "2", "4"}
    assert isinstance(faults["1"], ValidationError)
    assert isinstance(faults["2"], CorruptData)
    assert isinstance(faults["4"], CorruptData)
    assert {fault.id for fault in spans.audit(["0", "2"])} == {"2"}


def test_audit_lists_fields_that_are_gone(db: RedisBackend) -> None:
    class Required(BaseModel):
        name: str
        age: int = 0

    db.client.hset("Required:1", "age", "1")
    [fault] = db.objects(Required).audit()
    assert fault.id == "1"
    assert isinstance(fault.error, FieldUnset)


# ---- no hash at the key


class Simple(BaseModel):
    count: int = 0
    tags: list[str] = []


class Crossed(BaseModel):
    count: int = 0
    tags: list[str] = []

    @model_validator(mode="after")
    def fine(self) -> Crossed:
        return self


class Wide(Thirty):
    """Read by HGETALL."""

    count: int = 0
    tags: list[str] = []


def edit(objects: Objects[Any]) -> None:
    with objects.edit("1") as draft:
        draft.count = 5


def add(objects: Objects[Any]) -> None:
    objects["1"].count += 1


def transact(objects: Objects[Any]) -> None:
    with objects._backend.transaction() as tx:  # type: ignore[attr-defined]  # the store behind the face
        tx.get(objects, "1")


TOUCHING: dict[str, Callable[[Objects[Any]], object]] = {
    "get": lambda objects: objects.get("1"),
    "get with a default": lambda objects: objects.get("1", None),
    "read": lambda objects: objects.read("1", F(objects._space.schema.model).count),  # type: ignore[attr-defined]  # made here
    "read several": lambda objects: objects.read(
        "1",
        F(objects._space.schema.model).count,
        F(objects._space.schema.model).tags,  # type: ignore[attr-defined]  # made here
    ),
    "get_many": lambda objects: objects.get_many(["1"]),
    "read_many": lambda objects: objects.read_many(["1"], F(objects._space.schema.model).count),  # type: ignore[attr-defined]  # made here
    "stream": lambda objects: list(objects.stream()),
    "attribute read": lambda objects: objects["1"].count,
    "attribute write": lambda objects: setattr(objects["1"], "count", 5),
    "sum": add,
    "append": lambda objects: objects["1"].tags.append("x"),
    "update": lambda objects: objects.update("1", {"count": 5, "tags": []}),
    "edit": edit,
    "mutate": lambda objects: objects.mutate("1", lambda draft: setattr(draft, "count", 5)),
    "handle get": lambda objects: handle(objects).get(),
    "handle set": lambda objects: handle(objects).set(5),
    "handle increment": lambda objects: handle(objects).increment(),
    "handle compare_and_set": lambda objects: handle(objects).compare_and_set(0, 1),
    "handle update": lambda objects: handle(objects).update(lambda count: count + 1),
    "transaction": transact,
    "model_dump": lambda objects: objects["1"].model_dump(),
}


def handle(objects: Objects[Any]) -> Any:
    return objects.field("1", F(objects._space.schema.model).count)  # type: ignore[attr-defined]  # made here


@pytest.mark.parametrize("model", [Simple, Crossed, Wide])
@pytest.mark.parametrize("name", TOUCHING)
def test_another_type_at_the_key_is_told_by_the_objects_name(
    db: RedisBackend, name: str, model: type[BaseModel]
) -> None:
    db.client.rpush(f"{model.__name__}:1", "a", "b")
    with pytest.raises(CorruptData, match="the key holds no hash") as caught:
        TOUCHING[name](db.objects(model))
    assert (caught.value.model, caught.value.id) == (model.__name__, "1")
    assert (caught.value.field, caught.value.length) == (None, None)
    assert db.client.lrange(f"{model.__name__}:1", 0, -1) == [b"a", b"b"]


def test_what_does_not_look_into_the_key_works_on_any_type(db: RedisBackend) -> None:
    simple = db.objects(Simple)
    db.client.rpush("Simple:1", "a")
    assert simple.exists("1")
    assert list(simple.ids()) == ["1"]
    assert simple.expire("1", seconds=100)
    assert simple.persist("1")
    with pytest.raises(DistObjectsError, match="already exists"):
        simple.create(Simple(), id="1")
    assert [fault.id for fault in simple.audit()] == ["1"]
    simple.put(Simple(count=5), id="1")
    assert simple.get("1") == Simple(count=5)
    db.client.delete("Simple:1")
    db.client.set("Simple:1", "a")
    assert simple.delete("1")
