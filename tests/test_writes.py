"""Writing fields together or one by one, while others write too: nothing is lost, nothing comes back from the dead."""

from __future__ import annotations

from typing import Any, Self

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from distobjects import Conflict, F, FieldUnset, NotFound, UnknownField, _turns
from tests.fix_servers import recorder
from tests.fix_stores import Store

LONG = "more text than the SHA-1 of it in hex, by which it is compared"


class Student(BaseModel):
    name: str
    age: int = Field(default=0, ge=0)
    text: str = LONG
    tags: list[str] = []
    shout: str = ""
    nick: str | None = None

    @field_validator("shout")
    @classmethod
    def louder(cls, value: str) -> str:
        return value + "!"


class Span(BaseModel):
    """A cross-field model whose rule also changes a value."""

    low: int = 0
    high: int = 10
    width: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        self.__dict__["width"] = self.high - self.low
        return self


S = F(Student)


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


# ---- update


def test_several_fields_are_written_at_once_or_not_at_all(store: Store, students: Any) -> None:
    students.update("1", {"age": 12, "tags": ["b"]})
    assert students.read("1", S.age, S.tags) == (12, ["b"])
    before = store.raw.hgetall("Student:1")
    with pytest.raises(ValidationError) as failure:
        students.update("1", {"age": -1, "name": "Ron", "tags": "no list"})
    assert {error["loc"] for error in failure.value.errors()} == {("age",), ("tags",)}
    with pytest.raises(UnknownField, match="did you mean 'name'"):
        students.update("1", {"age": 13, "nmae": "Ron"})
    assert store.raw.hgetall("Student:1") == before


def test_the_set_fields_of_any_model_are_changes(students: Any) -> None:
    class Patch(BaseModel):
        age: int | None = None
        nick: str | None = None

    students.update("1", Patch(age=7))
    students.update("1", {})
    assert students.read("1", S.age, S.nick, S.shout) == (7, None, "")


def test_no_write_brings_a_deleted_object_back(store: Store, students: Any, spans: Any) -> None:
    students.delete("1")
    spans.delete("1")
    for write in (
        lambda: students.update("1", {"age": 1}),
        lambda: students.field("1", S.age).set(1),
        lambda: students.field("1", S.age).update(lambda age: age + 1),
        lambda: students.field("1", S.tags).compare_and_set(["a"], []),
        lambda: students.field("1", S.age).increment(),
        lambda: students.mutate("1", lambda draft: None),
        lambda: spans.update("1", {"low": 1}),
        lambda: spans.field("1", F(Span).low).increment(),
    ):
        with pytest.raises(NotFound):
            write()
    assert store.raw.keys() == []


def test_no_write_that_is_under_way_brings_a_deleted_object_back(store: Store, students: Any) -> None:
    def deleting(value: Any) -> Any:
        store.raw.delete("Student:1")
        return value

    with pytest.raises(NotFound):
        students.field("1", S.tags).update(lambda tags: deleting([*tags, "b"]))
    assert store.raw.keys() == []


def test_a_write_to_an_absent_field_of_an_object_that_is_there_is_stored(store: Store, students: Any) -> None:
    store.raw.hdel("Student:1", "age", "tags")
    students.update("1", {"age": 3, "tags": ["x"]})
    assert students.read("1", S.age, S.tags) == (3, ["x"])


def test_a_write_keeps_the_time_to_live_and_fields_of_others(store: Store, students: Any) -> None:
    store.raw.hset("Student:1", "theirs", "x")
    students.expire("1", seconds=100)
    students.update("1", {"age": 3})
    students.field("1", S.tags).update(lambda tags: [*tags, "b"])
    students.field("1", S.age).increment()
    students.mutate("1", lambda draft: setattr(draft, "nick", "H"))
    assert 90 < students.ttl("1") <= 100
    assert store.raw.hget("Student:1", "theirs") == b"x"


def test_a_write_that_changes_nothing_is_still_refused_where_the_object_is_gone(students: Any) -> None:
    students.field("1", S.tags).update(lambda tags: tags)
    students.delete("1")
    with pytest.raises(NotFound):
        students.field("1", S.tags).update(lambda tags: tags)


# ---- update of one field by a function


def test_a_function_is_applied_again_to_what_another_wrote(store: Store, students: Any) -> None:
    seen = []

    def change(tags: list[str]) -> list[str]:
        seen.append(list(tags))
        if len(seen) < 3:
            store.raw.hset("Student:1", "tags", f'["{len(seen)}"]')
        tags.append("mine")  # in place or not: the value is the function's own
        return tags

    assert students.field("1", S.tags).update(change) == ["2", "mine"]
    assert seen == [["a"], ["1"], ["2"]]
    assert students.read("1", S.tags) == ["2", "mine"]


def test_long_values_are_compared_too(store: Store, students: Any) -> None:
    changes = iter([LONG + "1", LONG + "1"])

    def change(text: str) -> str:
        if (other := next(changes, None)) is not None:
            store.raw.hset("Student:1", "text", other)
        return text + "+"

    assert students.field("1", S.text).update(change) == LONG + "1+"


def test_a_validator_that_transforms_runs_once_and_its_value_is_returned(students: Any) -> None:
    handle = students.field("1", S.shout)
    assert handle.update(lambda text: "hey") == "hey!"
    assert handle.get() == "hey!"
    assert handle.compare_and_set("hey!", "ho")
    assert handle.get() == "ho!"


def test_what_the_function_raises_ends_it_with_nothing_written(store: Store, students: Any) -> None:
    before = store.raw.hgetall("Student:1")
    with pytest.raises(ZeroDivisionError):
        students.field("1", S.age).update(lambda age: 1 // age)
    with pytest.raises(ValidationError):
        students.field("1", S.age).update(lambda age: age - 1)
    assert store.raw.hgetall("Student:1") == before


def test_a_failure_on_what_is_stored_now_is_final(store: Store, students: Any) -> None:
    calls = []

    def change(age: int) -> int:
        calls.append(age)
        store.raw.hset("Student:1", "age", len(calls))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        students.field("1", S.age).update(change)
    assert len(calls) == 1


def test_an_absent_field_changes_from_its_default_or_is_unset(store: Store, students: Any) -> None:
    store.raw.hdel("Student:1", "age", "name")
    assert students.field("1", S.age).update(lambda age: age + 5) == 5
    with pytest.raises(FieldUnset):
        students.field("1", S.name).update(str.upper)


def test_giving_up_is_a_conflict_that_names_the_field(
    store: Store, students: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_turns, "CONFLICT_SECONDS", 0.0)
    other = iter(range(1000))
    with pytest.raises(Conflict, match="'age' changed meanwhile and nothing was written") as failure:
        students.field("1", S.age).update(lambda age: store.raw.hset("Student:1", "age", next(other) + 50) + 7)
    assert failure.value.fields == ("age",)
    assert students.read("1", S.age) >= 50


# ---- compare and set


def test_compare_and_set_writes_where_the_field_holds_the_old_value(store: Store, students: Any) -> None:
    age, tags, nick = students.field("1", S.age), students.field("1", S.tags), students.field("1", S.nick)
    assert (age.compare_and_set(0, 5), age.compare_and_set(0, 6), age.get()) == (True, False, 5)
    assert (tags.compare_and_set(["a"], []), tags.compare_and_set(["a"], ["b"]), tags.get()) == (True, False, [])
    assert (nick.compare_and_set(None, "null"), nick.compare_and_set(None, "x"), nick.get()) == (True, False, "null")
    assert not age.compare_and_set(5.0, 6)  # equal, and another type
    store.raw.hdel("Student:1", "age")
    assert age.compare_and_set(0, 6)  # the default is what an absent field holds


def test_of_two_compare_and_sets_one_wins(store: Store, students: Any) -> None:
    assert [students.field("1", S.age).compare_and_set(0, each) for each in (5, 6, 7)] == [True, False, False]


def test_compare_and_set_judges_the_new_value_first(store: Store, students: Any) -> None:
    with store.counted() as trips, pytest.raises(ValidationError):
        students.field("1", S.age).compare_and_set(0, -1)
    assert trips == [0]


# ---- cross-field models


def test_a_field_of_a_cross_field_model_is_judged_and_written_with_all_others(store: Store, spans: Any) -> None:
    handle = spans.field("1", F(Span).low)
    handle.set(4)
    assert spans.get("1") == Span(low=4, high=10, width=6)
    assert handle.update(lambda low: low + 1) == 5
    assert handle.increment(2) == 7
    assert handle.compare_and_set(7, 8)
    assert spans.get("1").width == 2
    before = store.raw.hgetall("Span:1")
    for write in (
        lambda: handle.set(11),
        lambda: handle.increment(3),
        lambda: handle.update(lambda low: 11),
        lambda: handle.compare_and_set(8, 11),
        lambda: spans.update("1", {"high": 7}),
    ):
        with pytest.raises(ValidationError, match="low is above high"):
            write()
    assert store.raw.hgetall("Span:1") == before
    spans.update("1", {"low": 20, "high": 25})
    assert spans.get("1") == Span(low=20, high=25, width=5)


def test_a_cross_field_change_depends_on_all_fields(store: Store, spans: Any) -> None:
    lows = []

    def change(low: int) -> int:
        lows.append(low)
        if len(lows) == 1:
            store.raw.hset("Span:1", "high", 2)
        return 5

    with pytest.raises(ValidationError, match="low is above high"):
        spans.field("1", F(Span).low).update(change)
    assert lows == [0, 0]
    assert store.raw.hget("Span:1", "low") == b"0"


def test_what_the_rules_made_of_a_value_is_returned(store: Store) -> None:
    class Sorted(BaseModel):
        items: list[int] = []

        @model_validator(mode="after")
        def sort(self) -> Self:
            self.__dict__["items"] = sorted(self.items)
            return self

    objects = store.objects(Sorted)
    objects.create(Sorted(), id="1")
    assert objects.field("1", F(Sorted).items).update(lambda items: [3, 1]) == [1, 3]
    assert objects.mutate("1", lambda draft: draft.items.insert(0, 2)).items == [1, 2, 3]


# ---- whole objects


def test_get_or_create_stores_once_and_gives_what_is_there(store: Store, students: Any) -> None:
    for name in ("Ron", "Fred"):
        live = students.get_or_create(Student(name=name), id="2")
        assert students.id_of(live) == "2"
        assert students.get("2").name == "Ron"
    with store.counted() as trips:
        students.get_or_create(Student(name="George"), id="2")
    assert trips == [1]


def test_put_replaces_whole(store: Store, students: Any) -> None:
    store.raw.hset("Student:1", "theirs", "x")
    students.expire("1", seconds=100)
    students.put(Student(name="Ron"), id="1")
    assert students.get("1") == Student(name="Ron")
    assert store.raw.hget("Student:1", "theirs") is None
    assert students.ttl("1") is None


def test_what_must_be_atomic_is_one_command(store: Store, students: Any, spans: Any) -> None:
    """No MULTI and no WATCH: one script, or one gated command."""
    assert store.server is not None
    students.field("1", S.age).increment()  # the server knows the scripts from here on
    students.field("1", S.tags).update(lambda tags: [*tags, "b"])
    students.update("1", {"age": 2})
    with recorder(store.server) as seen:
        students.update("1", {"age": 3, "tags": []})
        students.field("1", S.tags).update(lambda tags: [*tags, "c"])
        spans.update("1", {"low": 1})
        students.mutate("1", lambda draft: setattr(draft, "age", draft.age + 1))
    write = "HSETEX" if store.server.kind == "valkey" else "EVALSHA"
    assert seen.commands == [write, "HGET", "EVALSHA", "HMGET", "EVALSHA", "HMGET", "EVALSHA"]


def test_writes_come_about_through_every_kind_of_client(anywhere: Store) -> None:
    objects = anywhere.objects(Student)
    objects.create(Student(name="Harry"), id="1")
    objects.update("1", {"age": 2, "tags": ["a"]})
    assert objects.field("1", S.tags).update(lambda tags: [*tags, "b"]) == ["a", "b"]
    assert objects.field("1", S.text).update(lambda text: text[::-1]) == LONG[::-1]
    assert objects.field("1", S.text).compare_and_set(LONG[::-1], LONG)
    assert objects.mutate("1", lambda draft: draft.tags.append("c")).tags == ["a", "b", "c"]
    assert objects.get("1") == Student(name="Harry", age=2, tags=["a", "b", "c"])
    objects.delete("1")
    with pytest.raises(NotFound):
        objects.update("1", {"age": 3})
    with pytest.raises(NotFound):
        objects.field("1", S.age).set(3)
    assert not objects.exists("1")
