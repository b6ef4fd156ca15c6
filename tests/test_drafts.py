"""Drafts: a local stand-in for an object, judged and committed whole, over what was read and changed."""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    computed_field,
    field_validator,
    model_validator,
)

from distobjects import Conflict, CorruptData, FieldUnset, NotFound, UnknownField, _edits, _turns
from distobjects._compiler import compile_schema
from distobjects._drafts import open_draft
from distobjects._flow import Ask, Done, Pause, advance
from distobjects._space import Spaces
from tests.fix_stores import Store


class Home(BaseModel):
    city: str = "London"
    rooms: list[int] = []
    size: int = Field(default=1, ge=0)


@dataclass
class Point:
    x: int = 0


class Student(BaseModel):
    """Has names of its own that a draft might have wanted."""

    name: str
    age: int = Field(default=0, ge=0)
    tags: list[str] = []
    home: Home = Home()
    point: Point = Point()
    words: Counter[str] = Counter()
    queue: deque[int] = deque()
    shout: str = ""
    sealed: int = Field(default=3, frozen=True)

    _values: list[int] = PrivateAttr(default_factory=list)
    _space: str = "its own"

    @field_validator("shout")
    @classmethod
    def louder(cls, value: str) -> str:
        return value + "!"

    @property
    def title(self) -> str:
        return f"Dr {self.name}"

    @title.setter
    def title(self, value: str) -> None:
        self.name = value.removeprefix("Dr ")

    @computed_field
    def adult(self) -> bool:
        return self.age >= 18

    def birthday(self, *, years: int = 1) -> int:
        self.age += years
        return self.age

    def _read(self) -> str:
        return self._space

    def __len__(self) -> int:
        return len(self.tags)


class Span(BaseModel):
    low: int = 0
    high: int = 10
    note: str = ""

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        self.__dict__["note"] = f"{self.low}..{self.high}"
        return self


@pytest.fixture
def students(store: Store) -> Any:
    """Objects of which one is stored."""
    objects = store.objects(Student)
    objects.create(Student(name="Harry", tags=["a"]), id="1")
    return objects


@pytest.fixture
def spans(store: Store) -> Any:
    """Objects of a cross-field model, of which one is stored."""
    objects = store.objects(Span)
    objects.create(Span(), id="1")
    return objects


# ---- what is written


def test_what_the_block_changes_is_written_in_one_step(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        draft.age = 12
        draft.age += 1
        draft.tags.append("b")
        draft.home.city = "Paris"
        draft.home.rooms += [3]
        draft.point.x = 5
        draft.words["a"] += 2
        draft.queue.appendleft(7)
        assert (draft.age, store.raw.hget("Student:1", "age")) == (13, b"0")
    stored = students.get("1")
    assert (stored.age, stored.tags, stored.home) == (13, ["a", "b"], Home(city="Paris", rooms=[3]))
    assert (stored.point, stored.words, stored.queue) == (Point(5), Counter(a=2), deque([7]))


def test_an_edit_is_two_round_trips_and_one_where_nothing_changes(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        draft.age = 1  # the server knows the script from here on
    with store.counted() as trips:
        with store.entered(students.edit("1")) as draft:
            draft.birthday()
        with store.entered(students.edit("1")) as draft:
            draft.model_dump()
            draft.age = draft.age
            draft.tags.append("x")
            draft.tags.pop()
    assert trips == [3]


def test_nothing_is_written_when_the_block_raises(store: Store, students: Any) -> None:
    before = store.raw.hgetall("Student:1")

    def failing() -> None:
        with store.entered(students.edit("1")) as draft:
            draft.age = 99
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert store.raw.hgetall("Student:1") == before


def test_only_what_changed_is_written(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        draft.age = draft.age + 1
        assert draft.tags == ["a"]
        store.raw.hset("Student:1", "name", "changed and not touched here")
    assert students.get("1").name == "changed and not touched here"
    assert students.get("1").age == 1


def test_reading_what_is_absent_stores_no_default(store: Store, students: Any) -> None:
    store.raw.hdel("Student:1", "age", "tags", "home", "sealed")
    with store.entered(students.edit("1")) as draft:
        assert (draft.age, draft.tags, draft.home, draft.sealed) == (0, [], Home(), 3)
        draft.name = "Ron"
    assert {"age", "tags", "home", "sealed"}.isdisjoint(name.decode() for name in store.raw.hkeys("Student:1"))
    with store.entered(students.edit("1")) as draft:
        draft.tags.append("x")
        draft.age = 0  # assigned, so it is to be stored
    assert (store.raw.hget("Student:1", "tags"), store.raw.hget("Student:1", "age")) == (b'["x"]', b"0")
    assert Student.model_fields["tags"].default == []


def test_an_absent_field_without_a_default_is_unset_until_it_is_assigned(store: Store, students: Any) -> None:
    store.raw.hdel("Student:1", "name")
    with store.entered(students.edit("1")) as draft:
        with pytest.raises(FieldUnset):
            draft.name
        draft.name = "Ron"
    assert students.get("1").name == "Ron"


def test_a_default_made_from_the_data_is_made_in_the_draft(store: Store) -> None:
    class Derived(BaseModel):
        first: str = "A"
        initials: str = Field(default_factory=lambda data: data["first"] * 2)

    objects = store.objects(Derived)
    objects.create(Derived(), id="1")
    store.raw.hdel("Derived:1", "initials")
    with store.entered(objects.edit("1")) as draft:
        draft.first = "B"
        assert draft.initials == "BB"
        draft.initials += "!"
    assert objects.get("1").initials == "BB!"


# ---- what is judged


def test_an_assigned_value_is_judged_at_once(store: Store, students: Any) -> None:
    before = store.raw.hgetall("Student:1")

    def assign(name: str, value: Any) -> None:
        with store.entered(students.edit("1")) as draft:
            draft.birthday()
            setattr(draft, name, value)
            pytest.fail("it was not judged at once")

    for name, value in {"age": -1, "tags": "text", "home": {"city": 5}, "sealed": 4}.items():
        with pytest.raises(ValidationError):
            assign(name, value)
    with pytest.raises(UnknownField, match="did you mean 'name'"):
        assign("nmae", "x")
    with pytest.raises(AttributeError):
        assign("_private", "x")
    assert store.raw.hgetall("Student:1") == before


def test_what_was_changed_in_place_is_judged_at_the_end(store: Store, students: Any) -> None:
    before = store.raw.hgetall("Student:1")

    def change(operation: Callable[[Any], object]) -> None:
        with store.entered(students.edit("1")) as draft:
            operation(draft)

    operations: list[tuple[Callable[[Any], object], tuple[str, ...]]] = [
        (lambda draft: draft.tags.append(5), ("tags", 1)),  # type: ignore[list-item]
        (lambda draft: setattr(draft.home, "size", -1), ("home", "size")),
        (lambda draft: draft.home.rooms.append("x"), ("home", "rooms", 0)),  # type: ignore[list-item]
        (lambda draft: setattr(draft.point, "x", "x"), ("point", "x")),
        (lambda draft: setattr(draft.point, "x", object()), ("point", "x")),
        (lambda draft: (setattr(draft, "home", Home()), setattr(draft.home, "size", -1)), ("home", "size")),
    ]
    for operation, place in operations:
        with pytest.raises(ValidationError) as failure:
            change(operation)
        assert failure.value.errors()[0]["loc"] == place
    assert store.raw.hgetall("Student:1") == before


def test_what_was_changed_in_place_is_coerced_as_the_model_does(store: Store, students: Any) -> None:
    returned = students.mutate("1", lambda draft: draft.home.rooms.extend(["7", 8.0]))
    assert returned.home.rooms == [7, 8] == students.get("1").home.rooms


def test_rules_across_fields_are_judged_at_the_end(store: Store, spans: Any) -> None:
    with store.entered(spans.edit("1")) as draft:
        draft.low = 20
        draft.high = 30
    assert spans.get("1") == Span(low=20, high=30)
    before = store.raw.hgetall("Span:1")

    def cross() -> None:
        with store.entered(spans.edit("1")) as draft:
            draft.low = 40

    with pytest.raises(ValidationError, match="low is above high"):
        cross()
    assert store.raw.hgetall("Span:1") == before


def test_what_the_rules_make_of_a_draft_is_stored_and_returned(spans: Any) -> None:
    returned = spans.mutate("1", lambda draft: setattr(draft, "low", 4))
    assert returned == spans.get("1") == Span(low=4, high=10, note="4..10")


def test_a_validator_that_transforms_runs_once(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        draft.shout = "hey"
        assert draft.shout == "hey!"
        draft.age = 3
    assert students.get("1").shout == "hey!"
    with store.entered(students.edit("1")) as draft:
        assert draft.shout == "hey!"
        draft.age = 4
    assert students.mutate("1", Student.birthday).shout == "hey!"
    assert students.get("1").shout == "hey!"


def test_a_frozen_model_cannot_be_edited(store: Store) -> None:
    class Sealed(BaseModel):
        model_config = ConfigDict(frozen=True)

        city: str = "London"
        rooms: list[int] = []

    objects = store.objects(Sealed)
    objects.create(Sealed(), id="1")

    def edit(operation: Callable[[Any], object]) -> None:
        with store.entered(objects.edit("1")) as draft:
            assert draft.city == "London"
            operation(draft)

    for operation in (lambda draft: setattr(draft, "city", "Paris"), lambda draft: draft.rooms.append(1)):
        with pytest.raises(ValidationError, match="frozen"):
            edit(operation)
    edit(lambda draft: None)
    assert objects.get("1") == Sealed()


def test_the_identity_can_be_read_and_not_assigned(store: Store) -> None:
    class Item(BaseModel):
        id: UUID
        count: int = 0

    id = UUID(int=7)
    objects = store.objects(Item)
    objects.create(Item(id=id))
    with store.entered(objects.edit(id)) as draft:
        assert draft.id == id
        with pytest.raises(AttributeError):
            draft.id = UUID(int=8)
        draft.count = 3
    assert objects.get(id) == Item(id=id, count=3)
    assert objects.mutate(id, lambda draft: setattr(draft, "count", 4)) == Item(id=id, count=4)


# ---- what is compared

TOUCHES: dict[str, Callable[[Any], object]] = {
    "read": lambda draft: draft.tags,
    "assigned": lambda draft: setattr(draft, "tags", ["z"]),
    "changed in place": lambda draft: draft.tags.append("z"),
    "read by a method": len,
    "dumped": lambda draft: draft.model_dump(),
    "iterated": dict,
    "copied by pydantic": lambda draft: draft.model_copy(),
    "compared": lambda draft: draft == Student(name="x"),
    "shown by vars": vars,
    "deep-copied": copy.deepcopy,
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_a_field_that_was_touched_must_not_change_meanwhile(
    store: Store, students: Any, touch: Callable[[Any], object]
) -> None:
    def edit() -> None:
        with store.entered(students.edit("1")) as draft:
            touch(draft)
            draft.age = 7
            store.raw.hset("Student:1", "tags", '["theirs"]')

    with pytest.raises(Conflict) as failure:
        edit()
    assert failure.value.fields == ("tags",)
    assert students.get("1") == Student(name="Harry", tags=["theirs"])


def test_a_conflict_names_all_that_changed_and_nothing_else(store: Store, students: Any) -> None:
    def edit() -> None:
        with store.entered(students.edit("1")) as draft:
            draft.model_dump()
            draft.age = 7
            store.raw.hset("Student:1", mapping={"tags": '["theirs"]', "name": "Ron"})
            store.raw.hdel("Student:1", "shout")

    with pytest.raises(Conflict, match="changed meanwhile") as failure:
        edit()
    assert sorted(failure.value.fields) == ["name", "shout", "tags"]


def test_an_absent_field_that_appears_is_a_change(store: Store, students: Any) -> None:
    store.raw.hdel("Student:1", "tags")

    def edit() -> None:
        with store.entered(students.edit("1")) as draft:
            draft.age = len(draft.tags)
            draft.name = "x"
            store.raw.hset("Student:1", "tags", "[]")

    with pytest.raises(Conflict):
        edit()


def test_what_was_neither_read_nor_changed_may_change(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        repr(draft), dir(draft), isinstance(draft, Student), hasattr(draft, "nmae"), draft._values
        draft.age = 7
        store.raw.hset("Student:1", mapping={"tags": '["theirs"]', "name": "Ron"})
    assert students.get("1") == Student(name="Ron", age=7, tags=["theirs"])


def test_a_cross_field_draft_depends_on_every_field(store: Store, spans: Any) -> None:
    def edit() -> None:
        with store.entered(spans.edit("1")) as draft:
            draft.low = 9
            store.raw.hset("Span:1", "high", 5)

    with pytest.raises(Conflict) as failure:
        edit()
    assert failure.value.fields == ("high",)
    assert store.raw.hget("Span:1", "low") == b"0"


def test_an_object_that_is_deleted_meanwhile_is_not_brought_back(store: Store, students: Any, spans: Any) -> None:
    def edit(objects: Any, key: str, change: Callable[[Any], object]) -> None:
        with store.entered(objects.edit("1")) as draft:
            change(draft)
            store.raw.delete(key)

    with pytest.raises(NotFound):
        edit(students, "Student:1", Student.birthday)
    with pytest.raises(NotFound):
        edit(spans, "Span:1", lambda draft: setattr(draft, "low", 1))
    assert store.raw.keys() == []
    with pytest.raises(NotFound):
        edit(students, "Student:1", Student.birthday)


# ---- mutate


def test_mutate_is_applied_again_to_what_another_wrote(store: Store, students: Any) -> None:
    ages = []

    def change(draft: Student) -> None:
        ages.append(draft.age)
        if len(ages) < 3:
            store.raw.hset("Student:1", "age", 10 * len(ages))
        draft.age += 1

    assert students.mutate("1", change) == Student(name="Harry", age=21, tags=["a"])
    assert ages == [0, 10, 20]
    assert type(students.mutate("1", Student.birthday)) is Student


def test_mutate_ends_with_what_the_function_raises(store: Store, students: Any) -> None:
    before = store.raw.hgetall("Student:1")

    def change(draft: Student) -> None:
        draft.age = 5
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        students.mutate("1", change)
    with pytest.raises(ValidationError):
        students.mutate("1", lambda draft: setattr(draft, "age", -1))
    assert store.raw.hgetall("Student:1") == before


def test_mutate_gives_up_with_a_conflict(store: Store, students: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_turns, "CONFLICT_SECONDS", 0.0)

    def change(draft: Student) -> None:
        store.raw.hincrby("Student:1", "age", 1)
        draft.age = draft.age + 100

    with pytest.raises(Conflict, match="'age' changed meanwhile"):
        students.mutate("1", change)
    assert students.get("1").age == 1


def test_mutate_tells_what_cannot_be_read_before_anything_is_written(store: Store, students: Any) -> None:
    store.raw.hset("Student:1", "home", "no JSON")
    with pytest.raises(CorruptData, match="'home'"):
        students.mutate("1", Student.birthday)
    assert store.raw.hget("Student:1", "age") == b"0"
    with store.entered(students.edit("1")) as draft:
        draft.birthday()
        draft.home = Home()  # the way to mend it
    assert students.get("1").age == 1


def test_mutate_is_two_round_trips_and_one_where_nothing_changes(store: Store, students: Any) -> None:
    students.mutate("1", Student.birthday)  # the server knows the script from here on
    with store.counted() as trips:
        students.mutate("1", Student.birthday)
        assert students.mutate("1", len).age == 2
    assert trips == [3]


# ---- a draft among others


def test_the_model_s_own_members_run_on_a_draft(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        assert (draft.title, draft.adult, draft.birthday(years=18), draft.adult, len(draft)) == (
            "Dr Harry",
            False,
            18,
            True,
            1,
        )
        draft.title = "Dr Ron"
        assert (draft.name, draft._read(), draft._space, draft._values) == ("Ron", "its own", "its own", [])
    assert students.get("1").name == "Ron"


def test_a_draft_passes_for_the_model(store: Store, students: Any) -> None:
    with store.entered(students.edit("1")) as draft:
        draft.age = 5
        assert isinstance(draft, Student)
        assert draft.__class__ is Student
        plain = Student(name="Harry", age=5, tags=["a"])
        assert draft == plain
        assert draft == draft
        assert draft != Student(name="Ron")
        assert draft.model_dump() == plain.model_dump() == TypeAdapter(Student).dump_python(draft)
        assert dict(draft) == dict(plain)
        assert "Student:1" in repr(draft)
        assert {"name", "birthday"} <= set(dir(draft))
        with pytest.raises(TypeError, match="unhashable"):
            hash(draft)
        with pytest.raises(UnknownField, match="did you mean 'name'"):
            draft.nmae
        assert not hasattr(draft, "_nothing")


# ---- fed by hand


def test_a_mutation_that_met_another_pauses_and_reads_again() -> None:
    space = Spaces("").open(compile_schema(Span), None)
    flow = _edits.mutate(space, "1", lambda draft: setattr(draft, "low", draft.low + 1))
    assert isinstance(advance(flow), Ask)
    commit = advance(flow, [[b"0", b"10", b"0..10"]])
    assert isinstance(commit, Ask)
    assert not commit.repeatable
    assert isinstance(advance(flow, [[2, b"low"]]), Pause)
    again = advance(flow, [0.1])
    assert isinstance(again, Ask)
    assert again.repeatable
    assert isinstance(advance(flow, [[b"5", b"10", b"5..10"]]), Ask)
    assert advance(flow, [[1]]) == Done(Span(low=6, high=10, note="6..10"))


def test_a_draft_decodes_a_field_at_its_first_use_alone() -> None:
    space = Spaces("").open(compile_schema(Student), None)
    stored = dict.fromkeys(space.schema.fields) | {"name": b"Harry", "age": b"corrupt"}
    draft: Any = open_draft(space, "1", stored)
    assert draft.name == "Harry"
    assert draft.tags is draft.tags
    with pytest.raises(CorruptData):
        draft.age
