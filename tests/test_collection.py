"""`Objects` and `AsyncObjects`: the vocabulary, on both faces and over every kind of client."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from distobjects import (
    AlreadyExists,
    AsyncObjects,
    AsyncRedisBackend,
    CorruptData,
    F,
    FieldUnset,
    InvalidModel,
    NotFound,
    Objects,
    RedisBackend,
    UnknownField,
    connect,
)
from tests.fix_stores import Store

T = TypeVar("T")


class Address(BaseModel):
    city: str = "London"


class Student(BaseModel):
    name: str
    age: int = Field(default=0, ge=0)
    tags: list[str] = []
    home: Address | None = None
    seen: datetime | None = None


class Range(BaseModel):
    lo: int = 0
    hi: int = 10
    note: str = ""

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


class Account(BaseModel):
    id: int
    balance: Decimal = Decimal(0)


class Item(BaseModel):
    id: str
    n: int = 0


class Guided(BaseModel):
    id: UUID
    n: int = 0


S, R = F(Student), F(Range)
HARRY = Student(
    name="Harry", age=17, tags=["seeker"], home=Address(city="Hogwarts"), seen=datetime(2026, 1, 1, tzinfo=UTC)
)


# ---- every kind of client, on both faces


def test_an_object_s_whole_life(anywhere: Store) -> None:
    students = anywhere.objects(Student)
    live = students.create(HARRY, id="1")
    assert anywhere.run(live.age) == 17
    assert students.get("1") == HARRY
    assert students.read("1", S.name, S.home.city) == ("Harry", "Hogwarts")
    students.field("1", S.age).set(18)
    assert students.field("1", S.age).get() == 18
    students.update("1", {"name": "Ron", "tags": ["keeper"]})
    assert anywhere.raw.hgetall("Student:1") in (
        {b"name": b"Ron", b"age": b"18", b"tags": b'["keeper"]'} | _rest(anywhere),
    )
    assert students.exists(live)
    assert students.expire("1", seconds=100)
    assert 99 < students.ttl("1") <= 100
    assert students.persist("1")
    students.put(Student(name="Tom"), id="1")
    assert students.get_or_create(HARRY, id="1") == live
    assert students.read("1", S.name) == "Tom"
    assert students.ids() == ["1"]
    assert students.count() == 1
    assert students.delete("1")
    assert not students.delete("1")


def _rest(store: Store) -> dict[bytes, bytes]:
    return {b"home": b'{"city":"Hogwarts"}', b"seen": store.raw.hget("Student:1", "seen")}


def test_what_is_absent_or_wrong_is_told_alike_by_every_client(anywhere: Store) -> None:
    students = anywhere.objects(Student)
    for call in (
        lambda: students.get("-"),
        lambda: students.read("-", S.age),
        lambda: students.update("-", {"age": 3}),
        lambda: students.field("-", S.age).set(3),
        lambda: students.ttl("-"),
    ):
        with pytest.raises(NotFound):
            call()
    students.create(HARRY, id="1")
    with pytest.raises(AlreadyExists):
        students.create(HARRY, id="1")
    with pytest.raises(ValidationError):
        students.update("1", {"age": -1})
    anywhere.raw.hset("Student:1", "age", b"\xff\x00?")
    with pytest.raises(CorruptData):
        students.get("1")
    anywhere.raw.set("Student:2", "text")
    with pytest.raises(CorruptData, match="no hash"):
        students.get("2")
    with pytest.raises(CorruptData, match="no hash"):
        students.update("2", {"age": 3})
    assert anywhere.raw.exists("Student:-") == 0


def test_many_objects_are_handled_alike_by_every_client(anywhere: Store) -> None:
    students = anywhere.objects(Student)
    ids = [str(n) for n in range(30)]
    assert students.create_many({id: Student(name=id) for id in ids}) == ids
    with pytest.raises(AlreadyExists) as caught:
        students.create_many({"0": HARRY, "new": HARRY})
    assert caught.value.ids == ("0",)
    assert [each.name for each in students.get_many(ids)] == ids
    assert students.get_many(["0", "-", "1"])[1] is None
    assert students.read_many(["1", "-"], S.name, S.age) == [("1", 0), None]
    assert sorted(students.ids()) == sorted([*ids, "new"])
    assert dict(students.stream())["7"] == Student(name="7")
    assert students.audit() == []
    assert students.put_many({"0": HARRY}) == ["0"]
    assert students.delete_many([*ids, "-"]) == 30
    assert students.count() == 1


def test_a_cross_field_write_is_whole_by_every_client(anywhere: Store) -> None:
    ranges = anywhere.objects(Range)
    ranges.create(Range(lo=1, hi=5, note="longer than a hash " * 9), id="1")
    ranges.update("1", {"lo": 4})
    with pytest.raises(ValidationError, match="lo is above hi"):
        ranges.field("1", R.hi).set(3)
    assert ranges.get("1") == Range(lo=4, hi=5, note="longer than a hash " * 9)


def test_bytes_and_ids_of_any_kind_survive_every_client(anywhere: Store) -> None:
    class Blob(BaseModel):
        raw: bytes
        text: str | None

    blobs = anywhere.objects(Blob)
    for id in ("é𝄞", "{a}b%", "line\nbreak", "a:b~c", "*?[x]", " "):
        blobs.create(Blob(raw=bytes(range(256)), text="null"), id=id)
        assert blobs.get(id) == Blob(raw=bytes(range(256)), text="null")
        assert blobs.ids() == [id]
        assert blobs.delete(id)


def test_a_server_that_forgot_the_scripts_gets_them_again(anywhere: Store) -> None:
    students = anywhere.objects(Student)
    students.create(HARRY, id="1")
    anywhere.raw.script_flush()
    students.put(HARRY, id="1")
    assert students.create_many({"2": HARRY, "3": HARRY}) == ["2", "3"]


# ---- ids


@pytest.mark.parametrize("id", [1, "1"], ids=repr)
def test_the_canonical_form_of_an_id_is_text(store: Store, id: Any) -> None:
    students = store.objects(Student)
    students.create(HARRY, id=id)
    assert store.raw.keys("*") == [b"Student:1"]
    assert students.ids() == ["1"]
    assert students.get(1) == students.get("1") == HARRY
    assert students.id_of(id) == "1"


def test_a_uuid_is_an_id(store: Store) -> None:
    guid = UUID("0190f3a2-7c1e-7abc-8def-0123456789ab")
    store.objects(Student).create(HARRY, id=guid)
    assert store.objects(Student).ids() == [str(guid)]


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        (True, TypeError),
        (None, TypeError),
        (1.0, TypeError),
        (b"1", TypeError),
        ("", ValueError),
        ("\ud800", ValueError),
    ],
)
def test_what_is_no_id_is_refused_before_anything_is_sent(store: Store, id: Any, kind: type[Exception]) -> None:
    students = store.objects(Student)
    with store.counted() as trips:
        for call in (students.get, students.delete, students.exists, students.id_of, lambda id: students[id]):
            with pytest.raises(kind):
                call(id)
        with pytest.raises(kind):
            students.get_many([id])
    assert trips == [0]


def test_a_missing_id_is_made_and_sorts_by_time(store: Store) -> None:
    students = store.objects(Student)
    made = [students.id_of(students.create(HARRY)) for _ in range(3)]
    assert {UUID(id).version for id in made} == {7}
    assert [UUID(id).variant for id in made] == ["specified in RFC 4122"] * 3
    assert [id[:13] for id in sorted(made)] == [id[:13] for id in made]
    assert sorted(students.ids()) == sorted(made)


def test_a_value_that_carries_its_id_is_stored_under_it(store: Store) -> None:
    accounts = store.objects(Account)
    live = accounts.create(Account(id=7, balance=Decimal("1.50")))
    assert store.raw.hgetall("Account:7") == {b"balance": b"1.50"}
    assert accounts.id_of(live) == "7"
    assert accounts.get(7) == Account(id=7, balance=Decimal("1.50"))
    assert accounts.read(7, F(Account).id, F(Account).balance) == (7, Decimal("1.50"))
    accounts.put(Account(id=8), id="8")
    assert sorted(accounts.ids()) == ["7", "8"]


def test_an_id_beside_the_value_s_own_must_be_the_same(store: Store) -> None:
    with pytest.raises(ValueError, match=r"'8'.*'7'"):
        store.objects(Account).create(Account(id=7), id=8)
    assert store.raw.keys("*") == []


def test_reading_only_the_identity_asks_for_nothing(store: Store) -> None:
    with store.counted() as trips:
        assert store.objects(Account).read(7, F(Account).id) == 7
    assert trips == [0]


def test_a_missing_id_is_made_where_the_field_admits_one(store: Store) -> None:
    class Optional(BaseModel):
        id: UUID | None = None
        n: int = 0

    class Strict(BaseModel):
        id: int | None = None
        n: int = 0

    optionals = store.objects(Optional)
    id = optionals.id_of(optionals.create(Optional(n=3)))
    assert optionals.get(id) == Optional(id=UUID(id), n=3)
    with pytest.raises(ValueError, match="pass id="):
        store.objects(Strict).create(Strict())


def test_keys_keep_ids_apart_and_escape_what_would_move_them(store: Store) -> None:
    store.objects(Item).create_many([Item(id=id) for id in ("{a}", "%", "%7Ba%7D", "\x01")])
    assert sorted(store.raw.keys("*")) == [b"Item:%01", b"Item:%25", b"Item:%257Ba%257D", b"Item:%7Ba%7D"]
    assert sorted(store.objects(Item).ids()) == sorted(["{a}", "%", "%7Ba%7D", "\x01"])


# ---- create, put, get_or_create


def test_create_leaves_what_is_there_as_it_is(store: Store) -> None:
    students = store.objects(Student)
    students.create(Student(name="Ron"), id="1")
    students.expire("1", seconds=100)
    with pytest.raises(AlreadyExists, match="Student '1' already exists") as caught:
        students.create(HARRY, id="1")
    assert caught.value.ids == ("1",)
    assert students.read("1", S.name) == "Ron"
    assert students.ttl("1") is not None


def test_create_refuses_a_key_of_another_type_too(store: Store) -> None:
    store.raw.set("Student:1", "text")
    with pytest.raises(AlreadyExists):
        store.objects(Student).create(HARRY, id="1")


def test_create_stores_every_field_with_its_default(store: Store) -> None:
    store.objects(Student).create(Student(name="Ron"), id="1")
    assert store.raw.hgetall("Student:1") == {
        b"name": b"Ron",
        b"age": b"0",
        b"tags": b"[]",
        b"home": b"null",
        b"seen": b"null",
    }


def test_create_checks_a_value_that_was_changed_since_it_was_made(store: Store) -> None:
    student = HARRY.model_copy(update={"age": -1})
    with store.counted() as trips:
        for call in (store.objects(Student).create, store.objects(Student).put):
            with pytest.raises(ValidationError):
                call(student, id="1")
    assert trips == [0]


def test_create_takes_an_instance_of_the_model_only(store: Store) -> None:
    class Pupil(Student):
        house: str = ""

    class Same(Student):
        pass

    students = store.objects(Student)
    for wrong in (Pupil(name="x"), Address(), {"name": "x"}):
        with pytest.raises(TypeError):
            students.create(wrong, id="1")
    students.create(Same(name="x"), id="1")
    assert type(students.get("1")) is Student


def test_a_live_object_is_no_value_to_store(store: Store) -> None:
    students = store.objects(Student)
    live = students.create(HARRY, id="1")
    for call in (students.create, students.put, students.get_or_create):
        with pytest.raises(TypeError, match="snapshot"):
            call(live, id="2")
    students.create(students.get(live), id="2")
    assert students.get("2") == HARRY


def test_put_replaces_the_object_whole(store: Store) -> None:
    students = store.objects(Student)
    store.raw.hset("Student:1", mapping={"name": "old", "unknown": "x"})
    store.raw.expire("Student:1", 100)
    assert students.id_of(students.put(HARRY, id="1")) == "1"
    assert students.get("1") == HARRY
    assert b"unknown" not in store.raw.hgetall("Student:1")
    assert students.ttl("1") is None


def test_put_replaces_a_key_of_another_type(store: Store) -> None:
    store.raw.set("Student:1", "text")
    store.objects(Student).put(HARRY, id="1")
    assert store.objects(Student).get("1") == HARRY


def test_get_or_create_stores_only_where_there_is_nothing(store: Store) -> None:
    students = store.objects(Student)
    first = students.get_or_create(HARRY, id="1")
    again = students.get_or_create(Student(name="Ron"), id="1")
    assert first == again
    assert students.get("1") == HARRY


# ---- get, read, field


def test_a_snapshot_is_a_plain_instance_with_all_fields_set(store: Store) -> None:
    store.objects(Student).create(Student(name="Ron"), id="1")
    snapshot = store.objects(Student).get("1")
    assert type(snapshot) is Student
    assert snapshot.model_fields_set == set(Student.model_fields)


def test_get_has_a_default_of_any_kind(store: Store) -> None:
    students = store.objects(Student)
    assert students.get("-", None) is None
    assert students.get("-", 7) == 7
    students.create(HARRY, id="1")
    assert students.get("1", None) == HARRY


def test_a_snapshot_of_a_torso_tells_which_field_is_missing(store: Store) -> None:
    store.raw.hset("Student:1", "age", "3")
    with pytest.raises(FieldUnset, match="'name'"):
        store.objects(Student).get("1")


def test_fields_that_the_model_does_not_know_are_left_alone(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    store.raw.hset("Student:1", "unknown", "x")
    assert students.get("1") == HARRY
    students.update("1", {"age": 3})
    assert store.raw.hget("Student:1", "unknown") == b"x"


def test_read_gives_one_value_or_a_tuple(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    assert students.read("1", S.age) == 17
    assert students.read("1", S.name, S.age) == ("Harry", 17)
    assert students.read("1", S.age, S.age, S.name, S.tags, S.seen) == (17, 17, "Harry", ["seeker"], HARRY.seen)


def test_a_path_selects_from_its_field(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    students.create(Student(name="Ron"), id="2")
    with store.counted() as trips:
        assert students.read("1", S.home.city) == "Hogwarts"  # type: ignore[union-attr]  # of an optional home
    assert trips == [1]
    assert students.read("1", S.home.city, S.home) == ("Hogwarts", Address(city="Hogwarts"))  # type: ignore[union-attr]
    assert students.read("2", S.home.city) is None  # type: ignore[union-attr]


def test_a_wrong_reference_is_refused_with_no_command(store: Store) -> None:
    students = store.objects(Student)
    with store.counted() as trips:
        for wrong in (R.lo, "age", 3, None, S):
            for call in (students.read, students.field):
                with pytest.raises(TypeError):
                    call("1", wrong)
        with pytest.raises(TypeError, match="at least one"):
            students.read("1")
        with pytest.raises(TypeError, match=r"home\.city.*part of field 'home'"):
            students.field("1", S.home.city)  # type: ignore[union-attr]
        with pytest.raises(AttributeError, match="identity"):
            store.objects(Account).field("1", F(Account).id)
    assert trips == [0]


def test_a_reference_to_nothing_has_a_hint() -> None:
    with pytest.raises(UnknownField, match="did you mean 'age'"):
        S.agee  # type: ignore[attr-defined]
    with pytest.raises(UnknownField, match=r"Student\.home has no field 'town'"):
        S.home.town  # type: ignore[union-attr]
    with pytest.raises(UnknownField):
        S.name.upper
    assert repr(S.home.city) == "F(Student).home.city"  # type: ignore[union-attr]


def test_a_reference_has_no_truth() -> None:
    for use in (lambda: bool(S.age), lambda: S.age and S.name, lambda: not S.age):
        with pytest.raises(TypeError, match="no truth"):
            use()


def test_a_handle_reads_and_writes_one_field(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    with store.counted() as trips:
        age = students.field("1", S.age)
    assert trips == [0]
    age.set(5)
    assert age.get() == 5
    with pytest.raises(ValidationError):
        age.set(-1)
    assert students.read("1", S.age) == 5


# ---- update


def test_update_writes_all_or_nothing(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    with store.counted() as trips:
        with pytest.raises(ValidationError) as caught:
            students.update("1", {"name": "Ron", "age": -1, "tags": 3})
        with pytest.raises(UnknownField, match="did you mean 'name'"):
            students.update("1", {"age": 3, "nmae": "Ron"})
    assert trips == [0]
    assert {error["loc"] for error in caught.value.errors()} == {("age",), ("tags",)}
    assert students.get("1") == HARRY
    students.update("1", {"name": "Ron", "age": 3})
    assert students.get("1") == HARRY.model_copy(update={"name": "Ron", "age": 3})


def test_update_takes_what_is_set_of_any_model(store: Store) -> None:
    class Patch(BaseModel):
        name: str | None = None
        age: int | None = None

    students = store.objects(Student)
    students.create(HARRY, id="1")
    students.update("1", Patch(age=3))
    students.update("1", Student(name="Ron"))
    assert students.get("1") == HARRY.model_copy(update={"name": "Ron", "age": 3})


def test_update_of_an_absent_object_creates_nothing(store: Store) -> None:
    with pytest.raises(NotFound):
        store.objects(Student).update("1", {"name": "Ron"})
    assert store.raw.keys("*") == []


def test_update_of_a_cross_field_model_is_judged_as_a_whole(store: Store) -> None:
    ranges = store.objects(Range)
    ranges.create(Range(lo=1, hi=5), id="1")
    ranges.update("1", {"lo": 8, "hi": 9})
    with pytest.raises(ValidationError, match="lo is above hi"):
        ranges.update("1", {"lo": 20})
    assert ranges.get("1") == Range(lo=8, hi=9)


# ---- delete, exists, time to live


def test_delete_and_exists_say_whether_it_was_there(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    assert students.exists("1") is True
    assert students.delete("1") is True
    assert students.delete("1") is False
    assert students.exists("1") is False


def test_the_time_to_live_is_in_seconds_and_may_be_a_fraction(store: Store) -> None:
    students = store.objects(Student)
    students.create(HARRY, id="1")
    assert students.ttl("1") is None
    assert students.persist("1") is False
    assert students.expire("1", seconds=99.5) is True
    assert 98 < students.ttl("1") <= 99.5
    assert students.persist("1") is True
    assert students.ttl("1") is None
    assert students.expire("-", seconds=1) is False
    assert students.persist("-") is False
    with pytest.raises(NotFound):
        students.ttl("-")
    with pytest.raises(ValueError, match=r"delete\(\)"):
        students.expire("1", seconds=0)


def test_writing_leaves_the_time_to_live_alone(store: Store) -> None:
    students, ranges = store.objects(Student), store.objects(Range)
    students.create(HARRY, id="1")
    ranges.create(Range(), id="1")
    for each in (students, ranges):
        each.expire("1", seconds=100)
    students.update("1", {"age": 3})
    students.field("1", S.name).set("Ron")
    ranges.update("1", {"lo": 3})
    assert students.ttl("1") > 90
    assert ranges.ttl("1") > 90


# ---- spaces


def test_the_objects_of_a_model_are_the_same_each_time(store: Store) -> None:
    assert store.backend.objects(Student) is store.backend.objects(Student)
    assert store.backend.objects(Student) is not store.backend.objects(Student, name="other")
    kind = AsyncObjects if store.asynchronous else Objects
    assert type(store.backend.objects(Student)) is kind
    assert repr(store.backend.objects(Student)) == f"<{kind.__name__}[Student] 'Student:'>"


def test_a_name_makes_a_space_of_its_own(store: Store) -> None:
    store.objects(Student, name="pupils").create(HARRY, id="1")
    assert store.raw.keys("*") == [b"pupils:1"]
    assert store.objects(Student).count() == 0


def test_a_prefix_begins_every_key_and_may_hold_a_tag(store: Store) -> None:
    for prefix in ("app:", "{app}:", "a*b:"):
        tenant = _prefixed(store, prefix).objects(Student)
        tenant.create(HARRY, id="1")
        assert store.raw.keys("*") == [f"{prefix}Student:1".encode()]
        assert tenant.ids() == ["1"]
        assert store.objects(Student).ids() == []
        tenant.delete("1")


def _prefixed(store: Store, prefix: str) -> Store:
    if not store.asynchronous:
        return Store(RedisBackend(client=store.backend.client, prefix=prefix), store.raw, store.server, None)

    async def make() -> AsyncRedisBackend:
        return AsyncRedisBackend(client=store.backend.client, prefix=prefix)

    assert store.loop is not None
    return Store(store.loop.run(make()), store.raw, store.server, store.loop)


@pytest.mark.parametrize("prefix", ["{", "}", "{a}{b}", "{}", "a{b"])
def test_a_prefix_with_other_braces_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        connect("memory://braces", prefix=prefix)


def test_two_models_under_one_name_are_refused(store: Store) -> None:
    class Other(BaseModel):
        n: int = 0

    store.objects(Student)
    with pytest.raises(InvalidModel, match="Student"):
        store.objects(Other, name="Student")
    store.objects(Other, name="others")


@pytest.mark.parametrize("name", ["a:b", "a{b", "a*", "", "a?", "[a]", "a\n", "a\\b", "a^"])
def test_what_is_no_name_for_a_space_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidModel, match="no name for a space"):
        store.objects(Student, name=name)


class Box(BaseModel, Generic[T]):
    item: T


class OnlyId(BaseModel):
    id: int


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int = 0


class Names(RootModel[list[str]]):
    pass


class FloatId(BaseModel):
    id: float
    n: int = 0


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Names, "RootModel"),
        (OnlyId, "identity"),
        (Extra, "extra"),
        (FloatId, "identity is text"),
        (Box[int], "name="),
    ],
)
def test_a_model_that_cannot_be_stored_is_refused_with_the_reason(
    store: Store, model: type[BaseModel], reason: str
) -> None:
    with pytest.raises(InvalidModel, match=reason) as caught:
        store.objects(model)
    assert model.__name__ in str(caught.value)


def test_a_generic_is_stored_under_a_name(store: Store) -> None:
    store.objects(Box[int], name="boxes").create(Box[int](item=3), id="1")
    assert store.objects(Box[int], name="boxes").get("1") == Box[int](item=3)


@pytest.mark.parametrize("wrong", [int, BaseModel, Student(name="x"), "Student", None])
def test_what_is_no_model_is_refused(store: Store, wrong: Any) -> None:
    with pytest.raises(TypeError, match="pydantic model"):
        store.objects(wrong)


# ---- what only one face has


def test_iterating_yields_ids_as_a_dict_does(live: Store) -> None:
    students = live.backend.objects(Student)
    students.create(HARRY, id="1")
    students.create(HARRY, id="2")
    assert sorted(students) == ["1", "2"]
    assert "1" in students
    assert students["2"] in students
    assert 3 not in students
    assert isinstance(iter(students), Iterator)
    with pytest.raises(TypeError):
        len(students)


@pytest.fixture
def people(awaited: Store) -> Any:
    return awaited.objects(Student)


def test_an_attribute_is_awaited(awaited: Store, people: Any) -> None:
    harry = people.create(HARRY, id="1")
    assert awaited.run(harry.age) == 17
    assert awaited.run(harry.home) == Address(city="Hogwarts")
    awaited.raw.hdel("Student:1", "age", "name")
    assert awaited.run(harry.age) == 0
    with pytest.raises(FieldUnset):
        awaited.run(harry.name)
    with pytest.raises(NotFound):
        awaited.run(people["-"].age)


def test_an_identity_is_awaited_like_any_field_and_asks_for_nothing(awaited: Store, people: Any) -> None:
    with awaited.counted() as trips:
        assert awaited.run(awaited.objects(Account)[7].id) == 7
    assert trips == [0]


def test_assignment_cannot_be_awaited_and_names_the_way(people: Any) -> None:
    harry = people.create(HARRY, id="1")
    with pytest.raises(AttributeError, match=r"await objects\.update.*F\(Student\)\.age\)\.set"):
        harry.age = 3
    with pytest.raises(UnknownField, match="did you mean 'age'"):
        harry.agee = 3
    assert people.read("1", S.age) == 17


def test_an_awaited_object_does_not_pass_for_the_model(awaited: Store, people: Any) -> None:
    harry = people.create(HARRY, id="1")
    assert not isinstance(harry, Student)
    with awaited.counted() as trips:
        with pytest.raises(UnknownField, match="did you mean 'age'"):
            harry.agee
        assert not hasattr(harry, "_repr_html_")
        assert not hasattr(harry, "model_dump")
        assert repr(harry) == "<live Student 'Student:1'>"
        assert {"name", "age"} <= set(dir(harry))
        assert harry == people["1"] == copy.copy(harry) == copy.deepcopy(harry)
        assert len({harry, people["1"], people["2"]}) == 2
        assert harry != HARRY
    assert trips == [0]


def test_each_face_refuses_the_other_s_client(live: Store) -> None:
    import redis.asyncio

    with pytest.raises(TypeError, match="RedisBackend takes it"):
        AsyncRedisBackend(client=live.raw)
    with pytest.raises(TypeError, match="AsyncRedisBackend takes it"):
        RedisBackend(client=redis.asyncio.Redis())


def test_a_live_object_of_the_other_face_is_no_id(live: Store) -> None:
    from distobjects import connect_async

    harry = live.objects(Student).create(HARRY, id="1")
    other = connect_async("memory://faces").objects(Student)
    with pytest.raises(ValueError, match="does not live"):
        other[harry]
    with pytest.raises(ValueError, match="does not live"):
        live.objects(Student)[other["1"]]
