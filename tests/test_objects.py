"""What each operation asks for, fed by hand, and how many round trips it takes on real servers."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from distobjects import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    CorruptData,
    F,
    FieldHandle,
    FieldUnset,
    NotFound,
    Objects,
    OutcomeUnknown,
    StoreUnavailable,
    UnknownField,
    Unsupported,
    _bulk,
    _edits,
    _objects,
    _scripts,
    _writes,
)
from distobjects._compiler import compile_schema
from distobjects._flow import Ask, Command, CrossSlot, Done, Flow, NoScript, Pause, WrongType, advance, reading
from distobjects._space import Space, Spaces
from distobjects._tally import Tally
from distobjects.fields import TextField
from tests.fix_models import Thirty
from tests.fix_servers import recorder
from tests.fix_stores import Store


class Student(BaseModel):
    name: str
    age: int = Field(default=0, ge=0)
    tags: list[str] = []


class Range(BaseModel):
    """A cross-field model."""

    lo: int = 0
    hi: int = 10
    note: str = ""

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


class Derived(BaseModel):
    first: str = "A"
    last: str = "B"
    initials: str = Field(default_factory=lambda data: data["first"] + data["last"])


class Wide(Thirty):
    """Read by HGETALL."""

    a: int = 0


class Original(BaseModel):
    """Fields as the original library has them: None is an absent hash field."""

    first_name: TextField().stored_as() = None  # type: ignore[valid-type]  # what the class form makes of a marker
    last_name: TextField().stored_as() = None  # type: ignore[valid-type]


def space_of(model: type[BaseModel], *, sharded: bool = False) -> Space:
    return Spaces("", sharded=sharded).open(compile_schema(model), None)


def asked(step: object) -> list[tuple[Any, ...]]:
    """Return the commands that a step asks for."""
    assert isinstance(step, Ask)
    return [command.args for command in step.commands]


def repeatable(step: object) -> bool:
    assert isinstance(step, Ask)
    return step.repeatable


def evalsha(script: _scripts.Script, key: str, *args: object) -> tuple[Any, ...]:
    return ("EVALSHA", script.sha, 1, key, *args)


def finished(step: object) -> Any:
    assert isinstance(step, Done)
    return step.value


# ---- reading one field


def test_reading_a_field_is_one_hget() -> None:
    flow = _objects.read(space_of(Student), "1", "age")
    assert advance(flow) == Ask((reading("HGET", "Student:1", "age"),), "read")
    assert advance(flow, [b"12"]) == Done(12)


def test_a_nil_reply_asks_whether_the_object_is_there_and_gives_the_default() -> None:
    flow = _objects.read(space_of(Student), "1", "age")
    advance(flow)
    step = advance(flow, [None])
    assert asked(step) == [("HKEYS", "Student:1")]
    assert repeatable(step)
    assert advance(flow, [[b"name"]]) == Done(0)


def test_a_field_that_comes_between_the_two_questions_is_read_again_and_not_taken_for_its_default() -> None:
    flow = _objects.read(space_of(Student), "1", "age")
    advance(flow)
    advance(flow, [None])
    assert asked(advance(flow, [[b"name", b"age"]])) == [("HGET", "Student:1", "age")]
    assert advance(flow, [b"12"]) == Done(12)
    flow = _objects.read_many(space_of(Student), "1", ["age", "tags"])
    advance(flow)
    advance(flow, [[None, None]])
    assert asked(advance(flow, [[b"tags"]])) == [("HMGET", "Student:1", "age", "tags")]
    assert advance(flow, [[None, b'["a"]']]) == Done([0, ["a"]])
    flow = _objects.get(space_of(Student), "1")
    advance(flow)
    advance(flow, [[None, None, None]])
    assert asked(advance(flow, [[b"name", b"age"]])) == [("HMGET", "Student:1", "name", "age", "tags")]
    assert advance(flow, [[b"Tom", b"12", None]]) == Done(Student(name="Tom", age=12))
    flow = _bulk.get_many(space_of(Student), ["1"])
    advance(flow)
    advance(flow, [[None, None, None]])
    assert asked(advance(flow, [[b"name"]])) == [("HMGET", "Student:1", "name", "age", "tags")]
    assert advance(flow, [[b"Tom", None, None]]) == Done([Student(name="Tom")])


def test_a_nil_reply_of_an_absent_object_is_not_found() -> None:
    flow = _objects.read(space_of(Student), "1", "age")
    advance(flow)
    advance(flow, [None])
    with pytest.raises(NotFound) as caught:
        advance(flow, [0])
    assert (caught.value.model, caught.value.id) == ("Student", "1")


def test_an_absent_field_without_a_default_is_unset() -> None:
    flow = _objects.read(space_of(Student), "1", "name")
    advance(flow)
    advance(flow, [None])
    with pytest.raises(FieldUnset) as caught:
        advance(flow, [[b"age"]])
    assert (caught.value.model, caught.value.id, caught.value.field) == ("Student", "1", "name")


def test_a_read_by_the_class_form_asks_no_second_time() -> None:
    flow = _objects.read(space_of(Student), "1", "age", creating=True)
    advance(flow)
    assert advance(flow, [None]) == Done(0)


def test_a_default_made_from_other_fields_reads_them() -> None:
    flow = _objects.read(space_of(Derived), "1", "initials")
    advance(flow)
    step = advance(flow, [None])
    assert asked(step) == [("HMGET", "Derived:1", "first", "last", "initials")]
    assert advance(flow, [[b"X", None, None]]) == Done("XB")


def test_bytes_that_do_not_decode_are_corrupt_data() -> None:
    flow = _objects.read(space_of(Student), "1", "age")
    advance(flow)
    with pytest.raises(CorruptData) as caught:
        advance(flow, [b"-1"])
    facts = caught.value
    assert (facts.model, facts.id, facts.field, facts.length) == ("Student", "1", "age", 2)
    assert facts.kind == "greater_than_equal"


READS: dict[str, Callable[[Space], Flow[Any]]] = {
    "read": lambda space: _objects.read(space, "1", "age"),
    "read_many": lambda space: _objects.read_many(space, "1", ["age"]),
    "load": lambda space: _objects.load(space, "1"),
    "get": lambda space: _objects.get(space, "1"),
    "write": lambda space: _writes.write(space, "1", {"age": 1}),
}


@pytest.mark.parametrize("operation", READS)
def test_a_key_that_holds_no_hash_is_corrupt_data(operation: str) -> None:
    flow = READS[operation](space_of(Student))
    advance(flow)
    with pytest.raises(CorruptData, match="no hash") as caught:
        advance(flow, [WrongType("WRONGTYPE")])
    assert caught.value.field is None


# ---- reading several fields


def test_reading_several_fields_is_one_hmget() -> None:
    flow = _objects.read_many(space_of(Student), "1", ["name", "age"])
    step = advance(flow)
    assert asked(step) == [("HMGET", "Student:1", "name", "age")]
    assert repeatable(step)
    assert advance(flow, [[b"Harry", None]]) == Done(["Harry", 0])


def test_several_nil_replies_ask_whether_the_object_is_there() -> None:
    flow = _objects.read_many(space_of(Student), "1", ["age", "tags"])
    advance(flow)
    assert asked(advance(flow, [[None, None]])) == [("HKEYS", "Student:1")]
    assert advance(flow, [[b"name"]]) == Done([0, []])


def test_several_nil_replies_of_an_absent_object_are_not_found() -> None:
    flow = _objects.read_many(space_of(Student), "1", ["age", "tags"])
    advance(flow)
    advance(flow, [[None, None]])
    with pytest.raises(NotFound):
        advance(flow, [0])


def test_several_fields_with_a_default_made_from_others_read_the_whole() -> None:
    flow = _objects.read_many(space_of(Derived), "1", ["first", "initials"])
    advance(flow)
    assert asked(advance(flow, [[b"X", None]])) == [("HMGET", "Derived:1", "first", "last", "initials")]
    assert advance(flow, [[b"X", b"Y", None]]) == Done(["X", "XY"])


# ---- snapshots


def test_a_snapshot_of_a_small_model_is_one_hmget() -> None:
    flow = _objects.get(space_of(Student), "1")
    step = advance(flow)
    assert asked(step) == [("HMGET", "Student:1", "name", "age", "tags")]
    assert repeatable(step)
    assert advance(flow, [[b"Harry", b"12", b'["a"]']]) == Done(Student(name="Harry", age=12, tags=["a"]))


@pytest.mark.parametrize(
    "reply", [[b"a", b"7", b"unknown", b"x"], {b"a": b"7", b"unknown": b"x"}], ids=["RESP2", "RESP3"]
)
def test_a_snapshot_of_a_wide_model_is_one_hgetall(reply: object) -> None:
    flow = _objects.get(space_of(Wide), "1")
    assert asked(advance(flow)) == [("HGETALL", "Wide:1")]
    assert advance(flow, [reply]) == Done(Wide(a=7))


def test_a_snapshot_of_an_absent_wide_object_is_not_found_at_once() -> None:
    flow = _objects.get(space_of(Wide), "1")
    advance(flow)
    with pytest.raises(NotFound):
        advance(flow, [[]])


def test_a_snapshot_of_an_absent_small_object_asks_once_more() -> None:
    flow = _objects.get(space_of(Student), "1")
    advance(flow)
    assert asked(advance(flow, [[None, None, None]])) == [("HKEYS", "Student:1")]
    with pytest.raises(NotFound):
        advance(flow, [[]])


def test_a_snapshot_without_a_required_field_is_unset() -> None:
    flow = _objects.get(space_of(Student), "1")
    advance(flow)
    with pytest.raises(FieldUnset, match="'name'"):
        advance(flow, [[None, b"1", None]])


def test_a_default_stands_for_what_is_absent(store: Store) -> None:
    assert store.objects(Student).get("1", "nobody") == "nobody"


# ---- whole objects


def test_creating_is_one_script_with_all_fields_and_their_defaults() -> None:
    flow = _objects.create(space_of(Student), "1", Student(name="Harry"))
    step = advance(flow)
    pairs = ("name", b"Harry", "age", b"0", "tags", b"[]")
    assert asked(step) == [evalsha(_scripts.insert, "Student:1", *pairs)]
    assert not repeatable(step)
    assert advance(flow, [1]) == Done(None)


def test_creating_what_is_there_already_exists() -> None:
    flow = _objects.create(space_of(Student), "1", Student(name="Harry"))
    advance(flow)
    with pytest.raises(AlreadyExists) as caught:
        advance(flow, [0])
    assert caught.value.ids == ("1",)


def test_a_script_that_the_server_does_not_know_is_sent_whole() -> None:
    flow = _objects.create(space_of(Student), "1", Student(name="Harry"))
    [(_, _, *rest)] = asked(advance(flow))
    step = advance(flow, [NoScript("NOSCRIPT")])
    assert asked(step) == [("EVAL", _scripts.insert.source, *rest)]
    assert not repeatable(step)
    assert advance(flow, [1]) == Done(None)


def test_a_script_is_called_by_the_hash_of_its_file() -> None:
    assert _scripts.insert.sha == hashlib.sha1(_scripts.insert.source).hexdigest()


def test_an_instance_that_was_made_invalid_asks_nothing() -> None:
    student = Student(name="Harry")
    student.age = -1
    for operation in (_objects.create, _objects.put, _objects.get_or_create):
        with pytest.raises(ValidationError):
            advance(operation(space_of(Student), "1", student))


def test_putting_is_one_script() -> None:
    flow = _objects.put(space_of(Student), "1", Student(name="Harry"))
    pairs = ("name", b"Harry", "age", b"0", "tags", b"[]")
    assert asked(advance(flow)) == [evalsha(_scripts.replace, "Student:1", *pairs)]
    assert advance(flow, [1]) == Done(None)


@pytest.mark.parametrize("stored", [True, False])
def test_get_or_create_says_whether_it_stored(stored: bool) -> None:
    flow = _objects.get_or_create(space_of(Student), "1", Student(name="Harry"))
    assert asked(advance(flow))[0][:4] == evalsha(_scripts.insert, "Student:1")
    assert advance(flow, [int(stored)]) == Done(stored)


@pytest.mark.parametrize("there", [True, False])
def test_deleting_is_one_del(there: bool) -> None:
    flow = _objects.delete(space_of(Student), "1")
    step = advance(flow)
    assert asked(step) == [("DEL", "Student:1")]
    assert not repeatable(step)
    assert advance(flow, [int(there)]) == Done(there)


@pytest.mark.parametrize("there", [True, False])
def test_existence_is_one_exists(there: bool) -> None:
    flow = _objects.exists(space_of(Student), "1")
    assert advance(flow) == Ask((reading("EXISTS", "Student:1"),), "exists")
    assert advance(flow, [int(there)]) == Done(there)


# ---- writing fields


def test_writing_is_one_gated_hsetex() -> None:
    flow = _writes.write(space_of(Student), "1", {"age": 12, "name": "Harry"})
    step = advance(flow)
    assert asked(step) == [("HSETEX", "Student:1", "FXX", "FIELDS", 2, "age", b"12", "name", b"Harry")]
    assert not repeatable(step)
    assert advance(flow, [1]) == Done(None)


def test_where_hsetex_finds_a_field_missing_the_script_decides() -> None:
    flow = _writes.write(space_of(Student), "1", {"age": 12})
    advance(flow)
    assert asked(advance(flow, [0])) == [evalsha(_scripts.write, "Student:1", "age", b"12")]
    assert advance(flow, [1]) == Done(None)


def test_writing_to_an_absent_object_is_not_found() -> None:
    flow = _writes.write(space_of(Student), "1", {"age": 12})
    advance(flow)
    advance(flow, [0])
    with pytest.raises(NotFound):
        advance(flow, [0])


@pytest.mark.parametrize("refusal", [Unsupported("unknown command"), AccessDenied("NOPERM")])
def test_a_server_without_hsetex_is_asked_for_it_once(refusal: Exception) -> None:
    space = space_of(Student)
    flow = _writes.write(space, "1", {"age": 12})
    assert asked(advance(flow))[0][0] == "HSETEX"
    assert asked(advance(flow, [refusal])) == [evalsha(_scripts.write, "Student:1", "age", b"12")]
    assert advance(flow, [1]) == Done(None)
    assert asked(advance(_writes.write(space, "1", {"age": 13}))) == [
        evalsha(_scripts.write, "Student:1", "age", b"13")
    ]


@pytest.mark.parametrize("changes", [{"age": -1}, {"age": 1, "name": None}, {"age": "many"}])
def test_an_invalid_value_asks_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        advance(_writes.write(space_of(Student), "1", changes))


def test_an_unknown_field_asks_nothing() -> None:
    with pytest.raises(UnknownField) as caught:
        advance(_writes.write(space_of(Student), "1", {"age": 1, "nmae": "Harry"}))
    assert caught.value.hint == "name"


def test_no_changes_ask_nothing() -> None:
    assert advance(_writes.write(space_of(Student), "1", {})) == Done(None)


def test_all_that_is_wrong_is_told_in_one_error() -> None:
    with pytest.raises(ValidationError) as caught:
        advance(_writes.write(space_of(Student), "1", {"age": -1, "name": 3}))
    assert {error["loc"] for error in caught.value.errors()} == {("age",), ("name",)}


def test_the_class_form_creates_by_a_plain_hset() -> None:
    flow = _writes.write(space_of(Original), "1", {"first_name": "Harry"}, creating=True)
    assert asked(advance(flow)) == [("HSET", "Original:1", "first_name", b"Harry")]
    assert advance(flow, [1]) == Done(None)


def test_a_none_of_the_original_s_fields_is_an_hdel() -> None:
    flow = _writes.write(space_of(Original), "1", {"first_name": None}, creating=True)
    assert asked(advance(flow)) == [("HDEL", "Original:1", "first_name")]
    assert advance(flow, [1]) == Done(None)


# ---- writing to cross-field models

RANGE = [b"1", b"5", b"text that is longer than a SHA-1 in hex would be"]
SHA_OF_NOTE = hashlib.sha1(RANGE[2]).hexdigest()


def writing_lo(space: Space | None = None) -> Flow[None]:
    """Return a write of `lo` that has read RANGE and asks for its commit next."""
    flow = _writes.write(space or space_of(Range), "1", {"lo": 3})
    step = advance(flow)
    assert asked(step) == [("HMGET", "Range:1", "lo", "hi", "note")]
    assert repeatable(step)
    return flow


def test_a_cross_field_write_reads_and_commits_on_what_was_read() -> None:
    flow = writing_lo()
    step = advance(flow, [RANGE])
    basis = ("lo", b"=1", "hi", b"=5", "note", f"#{SHA_OF_NOTE}")
    assert asked(step) == [evalsha(_scripts.commit, "Range:1", 0, 3, *basis, "lo", b"3")]
    assert not repeatable(step)
    assert advance(flow, [[1]]) == Done(None)


def test_a_cross_field_write_that_the_model_refuses_is_never_sent() -> None:
    flow = writing_lo()
    with pytest.raises(ValidationError, match="lo is above hi"):
        advance(flow, [[b"1", b"2", b""]])


def test_a_single_field_that_is_invalid_by_itself_is_refused_too() -> None:
    flow = _writes.write(space_of(Range), "1", {"lo": "much"})
    advance(flow)
    with pytest.raises(ValidationError):
        advance(flow, [RANGE])


def test_a_cross_field_write_that_met_another_is_validated_anew() -> None:
    flow = writing_lo()
    advance(flow, [RANGE])
    pause = advance(flow, [[2, b"hi"]])
    assert isinstance(pause, Pause)
    assert 0 <= pause.seconds <= 0.01
    assert asked(advance(flow, [0.01])) == [("HMGET", "Range:1", "lo", "hi", "note")]
    with pytest.raises(ValidationError, match="lo is above hi"):  # of the other's fresh value
        advance(flow, [[b"1", b"2", b""]])


def test_a_cross_field_write_gives_up_after_five_seconds() -> None:
    flow = writing_lo()
    advance(flow, [RANGE])
    advance(flow, [[2, b"hi", b"note"]])
    with pytest.raises(Conflict) as caught:
        advance(flow, [5.1])
    assert (caught.value.model, caught.value.id, caught.value.fields) == ("Range", "1", ("hi", "note"))


def write_that_failed_twice(space: Space | None = None) -> Any:
    """Return a flow that has just asked for its turn."""
    flow = writing_lo(space)
    for elapsed in (1.0, 2.0):
        advance(flow, [RANGE])
        assert isinstance(advance(flow, [[2, b"hi"]]), Pause)
        step = advance(flow, [elapsed])
    assert asked(step) == [("SET", "{Range:1}~turn", b"1", "NX", "PX", 1000)]
    return flow


def test_a_write_that_keeps_failing_takes_its_turn_and_gives_it_back() -> None:
    flow = write_that_failed_twice()
    assert asked(advance(flow, [b"OK"])) == [("HMGET", "Range:1", "lo", "hi", "note")]
    advance(flow, [RANGE])
    assert advance(flow, [[2, b"hi"]]) == Pause(0.0)  # those who wait for their turn do not get in its way
    assert asked(advance(flow, [3.0])) == [("HMGET", "Range:1", "lo", "hi", "note")]
    advance(flow, [RANGE])
    assert asked(advance(flow, [[1]])) == [("DEL", "{Range:1}~turn")]
    assert advance(flow, [1]) == Done(None)


def test_a_write_waits_while_it_is_the_turn_of_another() -> None:
    space = space_of(Range)
    flow = write_that_failed_twice(space)
    pause = advance(flow, [None])
    assert isinstance(pause, Pause)
    assert 0 <= pause.seconds <= 0.01
    assert space.dialect.contended == "Range:1"
    assert asked(advance(flow, [3.0])) == [("SET", "{Range:1}~turn", b"1", "NX", "PX", 1000)]
    assert isinstance(advance(flow, [None]), Pause)
    with pytest.raises(Conflict):
        advance(flow, [5.1])


def test_the_question_for_a_turn_may_be_asked_again_after_a_lost_reply() -> None:
    flow = write_that_failed_twice()
    assert isinstance(advance(flow, [None]), Pause)
    assert repeatable(advance(flow, [3.0]))


def test_a_user_without_the_right_to_set_writes_without_turns() -> None:
    flow = write_that_failed_twice()
    assert asked(advance(flow, [AccessDenied("no permissions to run 'set'")])) == [
        ("HMGET", "Range:1", "lo", "hi", "note")
    ]
    advance(flow, [RANGE])
    assert isinstance(advance(flow, [[2, b"hi"]]), Pause)
    assert asked(advance(flow, [4.0])) == [("HMGET", "Range:1", "lo", "hi", "note")]
    advance(flow, [RANGE])
    assert advance(flow, [[1]]) == Done(None)


def test_who_had_to_wait_for_a_turn_asks_for_it_first_the_next_time_until_nobody_else_does() -> None:
    space = space_of(Range)
    space.dialect.contended = "Range:1"
    question = ("SET", "{Range:1}~turn", b"1", "NX", "PX", 1000)
    for others, contended in ((True, "Range:1"), (False, None)):
        flow = _writes.write(space, "1", {"lo": 3})
        assert asked(advance(flow)) == [question]
        if others:
            assert isinstance(advance(flow, [None]), Pause)
            assert asked(advance(flow, [0.1])) == [question]
        assert asked(advance(flow, [b"OK"])) == [("HMGET", "Range:1", "lo", "hi", "note")]
        advance(flow, [RANGE])
        assert asked(advance(flow, [[1]])) == [("DEL", "{Range:1}~turn")]
        assert advance(flow, [1]) == Done(None)
        assert space.dialect.contended == contended
    assert asked(advance(_writes.write(space, "1", {"lo": 3}))) == [("HMGET", "Range:1", "lo", "hi", "note")]


def test_a_change_that_waited_for_its_turn_reads_again() -> None:
    space = space_of(Student)
    space.dialect.contended = "Student:1"
    flow = _writes.change(space, "1", "age", lambda age: age + 1, basis=b"1")
    advance(flow)
    assert asked(advance(flow, [b"OK"])) == [("HGET", "Student:1", "age")]


def test_what_is_refused_gives_its_turn_back() -> None:
    flow = write_that_failed_twice()
    advance(flow, [b"OK"])
    assert asked(advance(flow, [[b"1", b"2", b""]])) == [("DEL", "{Range:1}~turn")]
    with pytest.raises(ValidationError):
        advance(flow, [1])

    def refuse(value: Any) -> Any:
        raise ZeroDivisionError

    for change, reply in (
        (lambda space: _writes.change(space, "1", "age", refuse), b"1"),
        (lambda space: _edits.mutate(space, "1", refuse), [b"Harry", b"1", b"[]"]),
    ):
        space = space_of(Student)
        space.dialect.contended = "Student:1"
        flow = change(space)
        advance(flow)
        advance(flow, [b"OK"])
        assert asked(advance(flow, [reply])) == [("DEL", "{Student:1}~turn")]
        with pytest.raises(ZeroDivisionError):
            advance(flow, [1])


def test_a_write_whose_outcome_is_unknown_gives_its_turn_back_and_tells_of_that_alone() -> None:
    flow = write_that_failed_twice()
    advance(flow, [b"OK"])
    advance(flow, [RANGE])
    assert asked(flow.throw(OutcomeUnknown("the reply was lost"))) == [("DEL", "{Range:1}~turn")]
    with pytest.raises(OutcomeUnknown):
        flow.throw(StoreUnavailable("so was the server"))


def test_a_turn_that_cannot_be_given_back_does_not_take_the_write_back() -> None:
    flow = write_that_failed_twice()
    advance(flow, [b"OK"])
    advance(flow, [RANGE])
    assert asked(advance(flow, [[1]])) == [("DEL", "{Range:1}~turn")]
    with pytest.raises(StopIteration):  # it is done
        flow.throw(StoreUnavailable("the server is gone"))


def test_the_script_says_at_once_that_an_object_is_not_there() -> None:
    space = space_of(Student)
    space.dialect.hsetex = False
    flow = _writes.write(space, "1", {"age": 12})
    advance(flow)
    with pytest.raises(NotFound):
        advance(flow, [0])


def test_a_cross_field_write_to_what_was_deleted_meanwhile_is_not_found() -> None:
    flow = writing_lo()
    advance(flow, [RANGE])
    with pytest.raises(NotFound):
        advance(flow, [[0]])


def test_a_server_without_sha1_gets_the_bytes_and_is_remembered() -> None:
    space = space_of(Range)
    flow = writing_lo(space)
    advance(flow, [RANGE])
    basis = ("lo", b"=1", "hi", b"=5", "note", b"=" + RANGE[2])
    commit = evalsha(_scripts.commit, "Range:1", 0, 3, *basis, "lo", b"3")
    assert asked(advance(flow, [[3]])) == [commit]
    assert advance(flow, [[1]]) == Done(None)
    assert asked(advance(writing_lo(space), [RANGE])) == [commit]


def test_an_absent_field_must_still_be_absent_at_the_commit() -> None:
    flow = writing_lo()
    [command] = asked(advance(flow, [[b"1", None, b""]]))
    assert command[4:12] == (0, 3, "lo", b"=1", "hi", "", "note", b"=")


# ---- sums, and changes of what is stored


class Counted(BaseModel):
    name: str
    n: int = Field(default=5, ge=0, lt=100)
    ratio: float = 0.5
    even: int = Field(default=0, multiple_of=2)


def increment(by: Any = 1, name: str = "n") -> Flow[Any]:
    return _writes.increment(space_of(Counted), "1", name, by)


def test_a_sum_is_one_script_with_the_default_and_the_bounds() -> None:
    flow = increment(2)
    step = advance(flow)
    assert asked(step) == [
        evalsha(_scripts.increment, "Counted:1", "n", "int", "2", b"5", 0, "ge", 0, "lt", 100),
    ]
    assert not repeatable(step)
    assert advance(flow, [[1, b"7"]]) == Done(7)


def test_a_sum_of_floats_is_one_script_too() -> None:
    flow = increment(0.25, "ratio")
    assert asked(advance(flow)) == [evalsha(_scripts.increment, "Counted:1", "ratio", "float", "0.25", b"0.5", 0)]
    assert advance(flow, [[1, b"0.75"]]) == Done(0.75)


def test_a_sum_that_a_bound_refuses_is_pydantic_s_own_error() -> None:
    flow = increment(-9)
    advance(flow)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        advance(flow, [[2, b"5"]])


def test_a_sum_on_an_absent_object_is_not_found() -> None:
    flow = increment()
    advance(flow)
    with pytest.raises(NotFound):
        advance(flow, [[0]])


def test_a_sum_that_no_script_can_judge_is_a_compare_and_set() -> None:
    flow = increment()
    advance(flow)
    assert asked(advance(flow, [[3]])) == [("HGET", "Counted:1", "n")]
    commit = evalsha(_scripts.commit, "Counted:1", 0, 1, "n", b"=7", "n", b"8")
    assert asked(advance(flow, [b"7"])) == [commit]
    assert advance(flow, [[1]]) == Done(8)


def test_a_constraint_that_no_script_knows_is_judged_by_pydantic() -> None:
    flow = increment(3, "even")
    assert asked(advance(flow)) == [("HGET", "Counted:1", "even")]
    with pytest.raises(ValidationError, match="multiple of 2"):
        advance(flow, [b"4"])


def test_what_is_no_number_to_add_is_refused() -> None:
    flow = increment("x")
    advance(flow)
    with pytest.raises(TypeError):
        advance(flow, [b"4"])


def test_a_change_is_replayed_on_what_another_wrote() -> None:
    flow = _writes.change(space_of(Student), "1", "tags", lambda tags: [*tags, "mine"])
    assert asked(advance(flow)) == [("HGET", "Student:1", "tags")]
    first = evalsha(_scripts.commit, "Student:1", 0, 1, "tags", b"=[]", "tags", b'["mine"]')
    assert asked(advance(flow, [b"[]"])) == [first]
    assert isinstance(advance(flow, [[2, b"tags"]]), Pause)
    assert asked(advance(flow, [0.01])) == [("HGET", "Student:1", "tags")]
    again = evalsha(_scripts.commit, "Student:1", 0, 1, "tags", b'=["theirs"]', "tags", b'["theirs","mine"]')
    assert asked(advance(flow, [b'["theirs"]'])) == [again]
    assert finished(advance(flow, [[1]])).value == ["theirs", "mine"]


def test_a_change_gives_up_after_five_seconds() -> None:
    flow = _writes.change(space_of(Student), "1", "tags", lambda tags: [*tags, "mine"])
    advance(flow)
    advance(flow, [b"[]"])
    advance(flow, [[2, b"tags"]])
    with pytest.raises(Conflict) as caught:
        advance(flow, [5.1])
    assert caught.value.fields == ("tags",)


def test_a_compare_and_set_that_differs_writes_nothing() -> None:
    flow = _writes.compare_and_set(space_of(Student), "1", "age", 7, 8)
    assert asked(advance(flow)) == [("HGET", "Student:1", "age")]
    assert advance(flow, [b"6"]) == Done(False)


def test_a_compare_and_set_commits_on_what_was_compared() -> None:
    flow = _writes.compare_and_set(space_of(Student), "1", "age", 7, 8)
    advance(flow)
    assert asked(advance(flow, [b"7"])) == [evalsha(_scripts.commit, "Student:1", 0, 1, "age", b"=7", "age", b"8")]
    assert advance(flow, [[1]]) == Done(True)


def test_a_compare_and_set_to_what_is_invalid_asks_nothing() -> None:
    with pytest.raises(ValidationError):
        advance(_writes.compare_and_set(space_of(Student), "1", "age", 7, -8))


# ---- time to live


def test_expiring_is_one_pexpire_in_milliseconds() -> None:
    flow = _objects.expire(space_of(Student), "1", seconds=1.5)
    step = advance(flow)
    assert asked(step) == [("PEXPIRE", "Student:1", 1500)]
    assert not repeatable(step)
    assert advance(flow, [1]) == Done(True)


@pytest.mark.parametrize("seconds", [0, -1, 0.0009])
def test_expiring_at_once_is_refused_with_the_way_out(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"delete\(\)"):
        advance(_objects.expire(space_of(Student), "1", seconds=seconds))


@pytest.mark.parametrize(("reply", "left"), [(1500, 1.5), (-1, None), (0, 0.0)])
def test_the_time_left_is_one_pttl(reply: int, left: float | None) -> None:
    flow = _objects.ttl(space_of(Student), "1")
    step = advance(flow)
    assert asked(step) == [("PTTL", "Student:1")]
    assert repeatable(step)
    assert advance(flow, [reply]) == Done(left)


def test_the_time_left_of_an_absent_object_is_not_found() -> None:
    flow = _objects.ttl(space_of(Student), "1")
    advance(flow)
    with pytest.raises(NotFound):
        advance(flow, [-2])


def test_persisting_is_one_persist() -> None:
    flow = _objects.persist(space_of(Student), "1")
    step = advance(flow)
    assert asked(step) == [("PERSIST", "Student:1")]
    assert not repeatable(step)
    assert advance(flow, [0]) == Done(False)


# ---- many objects


def test_a_thousand_snapshots_are_one_round_trip_and_the_next_is_another() -> None:
    ids = [str(n) for n in range(1001)]
    make = partial(_bulk.get_many, space_of(Student))
    first, second = _bulk.flows(make, _bulk.chunks(ids), Tally(ids, None))
    step = advance(first)
    assert asked(step) == [("HMGET", f"Student:{id}", "name", "age", "tags") for id in ids[:1000]]
    assert repeatable(step)
    assert advance(first, [[b"N", None, None]] * 1000) == Done([Student(name="N")] * 1000)
    assert asked(advance(second)) == [("HMGET", "Student:1000", "name", "age", "tags")]
    assert advance(second, [[b"N", None, None]]) == Done([Student(name="N")])


def test_absent_objects_among_many_are_asked_for_together() -> None:
    flow = _bulk.get_many(space_of(Student), ["1", "2", "3"])
    advance(flow)
    nothing = [None, None, None]
    assert asked(advance(flow, [nothing, [b"N", None, None], nothing])) == [
        ("HKEYS", "Student:1"),
        ("HKEYS", "Student:3"),
    ]
    assert advance(flow, [[], []]) == Done([None, Student(name="N"), None])


def test_one_corrupt_object_among_many_is_told() -> None:
    flow = _bulk.get_many(space_of(Student), ["1", "2"])
    advance(flow)
    with pytest.raises(CorruptData, match="'2'"):
        advance(flow, [[b"N", None, None], [b"N", b"?", None]])


def test_fields_of_many_objects_are_one_round_trip() -> None:
    flow = _bulk.read_many(space_of(Student), ["1", "2"], ["name", "age"])
    assert asked(advance(flow)) == [("HMGET", "Student:1", "name", "age"), ("HMGET", "Student:2", "name", "age")]
    assert advance(flow, [[b"A", b"1"], [b"B", None]]) == Done([["A", 1], ["B", 0]])


def test_one_field_of_many_objects_is_one_round_trip_and_defaults_are_asked_for_together() -> None:
    flow = _bulk.read_one(space_of(Student), ["1", "2", "3"], "age")
    assert asked(advance(flow)) == [("HGET", f"Student:{id}", "age") for id in "123"]
    assert asked(advance(flow, [None, b"7", None])) == [("HKEYS", "Student:1"), ("HKEYS", "Student:3")]
    assert advance(flow, [[b"name"], []]) == Done([0, 7, None])


def creating(values: dict[str, Student], tally: Tally | None = None, *, sharded: bool = False) -> Flow[_bulk.Stored]:
    space = space_of(Student, sharded=sharded)
    return _bulk.create_many(space, list(values.items()), tally or Tally(values, None))


def values_of(student: Student) -> list[bytes | None]:
    return [*compile_schema(Student).encode_instance(student)]


def test_creating_many_is_one_round_trip_and_tells_which_were_taken() -> None:
    students = {id: Student(name=id) for id in "abc"}
    flow = creating(students)
    called = "EVALSHA", _scripts.store_many.sha, 3, "Student:a", "Student:b", "Student:c", 0
    raws = [raw for each in students.values() for raw in values_of(each)]
    assert asked(advance(flow)) == [(*called, len(Student.model_fields), *Student.model_fields, *raws)]
    part = finished(advance(flow, [[0, 1, 0]]))
    assert part == (["b"], ["a", "c"])
    with pytest.raises(AlreadyExists) as caught:
        _bulk.stored(space_of(Student), [part, _bulk.Stored(["d"], [])])
    assert caught.value.ids == ("a", "c")


def test_a_call_takes_as_many_objects_as_have_some_hundred_fields() -> None:
    most = 500 // len(Student.model_fields)
    flow = creating({str(n): Student(name="") for n in range(most + 1)})
    first, second = asked(advance(flow))
    assert (first[2], second[2], second[3]) == (most, 1, f"Student:{most}")


def test_on_a_cluster_each_object_has_a_call_of_its_own() -> None:
    flow = creating({id: Student(name=id) for id in "abc"}, sharded=True)
    calls = [evalsha(_scripts.insert, f"Student:{id}") for id in "abc"]
    assert [command[:4] for command in asked(advance(flow))] == calls
    assert advance(flow, [0, 1, 0]) == Done((["b"], ["a", "c"]))


def test_what_a_node_of_a_cluster_has_refused_is_asked_for_singly_then_and_later() -> None:
    size = 500 // len(Student.model_fields)
    ids, space = [str(n) for n in range(size + 1)], space_of(Student)
    for calls in (2, size + 1):
        flow = _bulk.create_many(space, [(id, Student(name=id)) for id in ids], Tally([], None))
        step = advance(flow)
        assert len(asked(step)) == calls
        if calls == 2:  # the last one has one key, and so one slot
            step = advance(flow, [CrossSlot("CROSSSLOT"), [1]])
            assert [command[:4] for command in asked(step)] == [
                evalsha(_scripts.insert, f"Student:{id}") for id in ids[:-1]
            ]
            assert advance(flow, [1, 0] + [1] * (size - 2)) == Done(([ids[0], *ids[2:]], ["1"]))


def test_an_id_twice_in_a_chunk_is_stored_twice() -> None:
    values = [("a", Student(name="1")), ("a", Student(name="2"))]
    flow = _bulk.put_many(space_of(Student), values, Tally([], None))
    assert [command[:4] for command in asked(advance(flow))] == [evalsha(_scripts.replace, "Student:a")] * 2


def test_creating_many_with_an_unknown_script_is_one_trip_more() -> None:
    flow = creating({id: Student(name=id) for id in "abc"}, sharded=True)
    advance(flow)
    step = advance(flow, [NoScript("NOSCRIPT"), 1, NoScript("NOSCRIPT")])
    assert [(command[0], command[3]) for command in asked(step)] == [("EVAL", "Student:a"), ("EVAL", "Student:c")]
    assert advance(flow, [1, 0]) == Done((["a", "b"], ["c"]))
    flow = creating({id: Student(name=id) for id in "abc"})
    [called] = asked(advance(flow))
    assert asked(advance(flow, [NoScript("NOSCRIPT")])) == [("EVAL", _scripts.store_many.source, *called[2:])]
    assert advance(flow, [[1, 1, 0]]) == Done((["a", "b"], ["c"]))


def test_creating_many_stores_the_others_where_one_is_invalid() -> None:
    bad = Student(name="b")
    bad.age = -1
    flow = creating({"a": Student(name="a"), "b": bad, "c": Student(name="c")})
    [command] = asked(advance(flow))
    assert command[3:5] == ("Student:a", "Student:c")
    with pytest.raises(ValidationError) as caught:
        advance(flow, [[1, 1]])
    assert [error["loc"] for error in caught.value.errors()] == [("b", "age")]
    assert caught.value.__notes__ == ["not done: 'b'; done: 2 before and beside them; not sent: all that come after"]


def test_invalid_values_alone_ask_for_nothing() -> None:
    bad = Student(name="b")
    bad.age = -1
    with pytest.raises(ValidationError):
        advance(creating({"b": bad}))


def test_an_error_among_many_names_what_it_is_about_and_tells_of_the_others() -> None:
    tally = Tally([], None)
    finished_flow = tally.flow(creating({"x": Student(name="x"), "y": Student(name="y")}, tally), 2)
    advance(finished_flow)
    advance(finished_flow, [[0, 1]])
    flow = creating({id: Student(name=id) for id in "abc"}, tally, sharded=True)
    advance(flow)
    with pytest.raises(AccessDenied) as caught:
        advance(flow, [0, AccessDenied("NOPERM"), AccessDenied("NOPERM")])
    assert caught.value.ids == ("b", "c")
    assert caught.value.__notes__ == [
        "not done: 'b', 'c'; done: 3 before and beside them ('x', 'a' existed already); not sent: all that come after"
    ]


def test_a_lost_reply_among_many_may_mean_each_of_them() -> None:
    flow = _bulk.delete_many(space_of(Student), [str(n) for n in range(7)], Tally([], None))
    advance(flow)
    with pytest.raises(OutcomeUnknown) as caught:
        flow.throw(OutcomeUnknown("lost"))
    assert caught.value.ids == tuple("0123456")
    assert pickle.loads(pickle.dumps(caught.value)).ids == tuple("0123456")
    assert caught.value.__notes__ == [
        "done or not, each of them: '0', '1', '2', '3', '4' and 2 more; done: 0 before and beside them; "
        "not sent: all that come after"
    ]


def test_putting_many_is_one_round_trip() -> None:
    flow = _bulk.put_many(space_of(Student), [(id, Student(name=id)) for id in "ab"], Tally([], None))
    [command] = asked(advance(flow))
    assert command[:6] == ("EVALSHA", _scripts.store_many.sha, 2, "Student:a", "Student:b", 1)
    assert advance(flow, [[1, 1]]) == Done((["a", "b"], []))


def test_an_error_of_a_call_for_several_is_about_all_of_them() -> None:
    size = 500 // len(Student.model_fields)
    values = [(str(n), Student(name="")) for n in range(size + 2)]
    for failing, ids in (([[1] * size, AccessDenied("NOPERM")], [str(size), str(size + 1)]), (None, None)):
        flow = _bulk.put_many(space_of(Student), values, Tally([], None))
        advance(flow)
        with pytest.raises((AccessDenied, OutcomeUnknown)) as caught:
            advance(flow, failing) if failing else flow.throw(OutcomeUnknown("lost"))
        assert caught.value.ids == tuple(ids or [id for id, _ in values])
    flow = _bulk.put_many(space_of(Student), values, Tally([], None))
    advance(flow)
    advance(flow, [[1] * size, NoScript("NOSCRIPT")])
    with pytest.raises(OutcomeUnknown) as lost:
        flow.throw(OutcomeUnknown("lost"))
    assert lost.value.ids == (str(size), str(size + 1))


def test_deleting_many_is_one_round_trip_and_counts() -> None:
    flow = _bulk.delete_many(space_of(Student), ["1", "2", "3"], Tally([], None))
    assert asked(advance(flow)) == [("DEL", f"Student:{id}") for id in "123"]
    assert advance(flow, [1, 0, 1]) == Done(2)


def test_progress_is_told_by_chunk_with_the_total_as_soon_as_it_is_known() -> None:
    told: list[tuple[int, int | None]] = []
    ids = [str(n) for n in range(2500)]
    for items, total in ((ids, 2500), (iter(ids), None)):
        tally = Tally(items, lambda done, total: told.append((done, total)))
        flows = _bulk.flows(partial(_bulk.delete_many, space_of(Student), tally=tally), _bulk.chunks(items), tally)
        for flow in [next(flows), next(flows)]:
            advance(flow)
            advance(flow, [1] * 1000)
        last, *_ = flows
        advance(last)
        advance(last, [1] * 500)
        assert told == [(1000, total), (2000, total), (2500, 2500)]
        told.clear()


def test_listing_is_scan_by_pattern_and_skips_what_is_no_object() -> None:
    flow = _bulk.scan(Spaces("app*:").open(compile_schema(Student), None), 7)
    step = advance(flow)
    assert asked(step) == [("SCAN", 7, "MATCH", r"app\*:Student:*", "COUNT", 1000)]
    assert repeatable(step)
    page = [b"app*:Student:1", b"app*:Student:%7B", b"app*:Student:", b"app*:Student:{", b"\xff", b"app*:Student:1"]
    assert advance(flow, [[b"42", page]]) == Done((42, ["1", "{"]))


def test_auditing_reads_whole_objects_in_one_round_trip() -> None:
    flow = _bulk.audit(space_of(Range), ["1", "2", "3", "4"])
    assert [command[0] for command in asked(advance(flow))] == ["HMGET"] * 4
    advance(flow, [[b"1", b"2", b""], [b"3", b"2", b""], [b"?", b"2", b""], [None, None, None]])
    faults = finished(advance(flow, [0]))
    assert [(fault.id, type(fault.error)) for fault in faults] == [("2", ValidationError), ("3", CorruptData)]


def test_an_unavailable_server_ends_an_audit() -> None:
    flow = _bulk.audit(space_of(Range), ["1"])
    advance(flow)
    with pytest.raises(AccessDenied):
        advance(flow, [AccessDenied("NOPERM")])


def test_nothing_asks_for_nothing() -> None:
    chunked: list[list[str]] = [[], []]
    assert list(_bulk.flows(partial(_bulk.get_many, space_of(Student)), chunked, Tally([], None))) == []


# ---- round trips on real servers

S, R, D, W = F(Student), F(Range), F(Derived), F(Wide)
IDS = [str(n) for n in range(1000)]

TRIPS: dict[str, tuple[int, Callable[[Store], Any]]] = {
    "live object": (0, lambda store: store.objects(Student)["1"]),
    "attribute": (1, lambda store: store.run(store.objects(Student)["1"].age)),
    "attribute, nil": (2, lambda store: store.run(store.objects(Student)["torso"].age)),
    "attribute, unset": (2, lambda store: _raises(FieldUnset, lambda: store.run(store.objects(Student)["torso"].name))),
    "attribute, absent": (2, lambda store: _raises(NotFound, lambda: store.run(store.objects(Student)["-"].age))),
    "attribute, default from data": (2, lambda store: store.run(store.objects(Derived)["torso"].initials)),
    "read": (1, lambda store: store.objects(Student).read("1", S.age)),
    "read, several": (1, lambda store: store.objects(Student).read("1", S.name, S.age, S.tags)),
    "read, all nil": (2, lambda store: store.objects(Student).read("torso", S.age, S.tags)),
    "get": (1, lambda store: store.objects(Student).get("1")),
    "get, wide": (1, lambda store: store.objects(Wide).get("1")),
    "get, absent": (2, lambda store: store.objects(Student).get("-", None)),
    "get, absent and wide": (1, lambda store: store.objects(Wide).get("-", None)),
    "field.get": (1, lambda store: store.objects(Student).field("1", S.age).get()),
    "field.set": (1, lambda store: store.objects(Student).field("1", S.age).set(3)),
    "field.set, cross-field": (2, lambda store: store.objects(Range).field("1", R.lo).set(3)),
    "field.increment": (1, lambda store: store.objects(Student).field("1", S.age).increment(2)),
    "field.increment, cross-field": (2, lambda store: store.objects(Range).field("1", R.lo).increment(2)),
    "field.increment, refused": (1, lambda store: _raises(ValidationError, lambda: _take_two(store))),
    "field.append": (1, lambda store: store.objects(Student).field("1", S.tags).append("seeker")),
    "field.append, absent": (
        3,
        lambda store: _raises(NotFound, lambda: store.objects(Student).field("-", S.tags).append("a")),
    ),
    "field.extend": (1, lambda store: store.objects(Student).field("1", S.tags).extend(["a", "b"])),
    "field.compare_and_set": (2, lambda store: store.objects(Student).field("1", S.age).compare_and_set(1, 2)),
    "field.compare_and_set, differs": (1, lambda store: store.objects(Student).field("1", S.age).compare_and_set(7, 2)),
    "field.update": (2, lambda store: store.objects(Student).field("1", S.name).update(str.title)),
    "edit": (2, lambda store: _edited(store, {"age": 2, "name": "Ron"})),
    "edit, nothing changed": (1, lambda store: _edited(store, {})),
    "mutate": (2, lambda store: store.objects(Student).mutate("1", lambda draft: setattr(draft, "age", 2))),
    "update": (1, lambda store: store.objects(Student).update("1", {"age": 3, "name": "Ron"})),
    "update, cross-field": (2, lambda store: store.objects(Range).update("1", {"lo": 3, "hi": 4})),
    "create": (1, lambda store: store.objects(Student).create(Student(name="New"), id="new")),
    "create, exists": (
        1,
        lambda store: _raises(AlreadyExists, lambda: store.objects(Student).create(Student(name="New"), id="1")),
    ),
    "put": (1, lambda store: store.objects(Student).put(Student(name="New"), id="1")),
    "get_or_create": (1, lambda store: store.objects(Student).get_or_create(Student(name="New"), id="1")),
    "delete": (1, lambda store: store.objects(Student).delete("1")),
    "exists": (1, lambda store: store.objects(Student).exists("1")),
    "expire": (1, lambda store: store.objects(Student).expire("1", seconds=60)),
    "ttl": (1, lambda store: store.objects(Student).ttl("1")),
    "persist": (1, lambda store: store.objects(Student).persist("1")),
    "create_many": (1, lambda store: store.objects(Student).create_many({f"n{id}": Student(name=id) for id in IDS})),
    "put_many": (1, lambda store: store.objects(Student).put_many({id: Student(name=id) for id in IDS})),
    "get_many": (1, lambda store: store.objects(Student).get_many(["1"] * 1000)),
    "get_many, some absent": (2, lambda store: store.objects(Student).get_many(IDS)),
    "read_many": (1, lambda store: store.objects(Student).read_many(["1"] * 1000, S.age)),
    "delete_many": (1, lambda store: store.objects(Student).delete_many(IDS)),
    "stream, by id": (1, lambda store: store.objects(Student).stream(["1"] * 1000)),
    "audit, by id": (1, lambda store: store.objects(Student).audit(["1"] * 1000)),
    "ids": (1, lambda store: store.objects(Student).ids()),
    "count": (1, lambda store: store.objects(Student).count()),
    "id_of": (0, lambda store: store.objects(Student).id_of("1")),
    "refused value": (
        0,
        lambda store: _raises(ValidationError, lambda: store.objects(Student).update("1", {"age": -1})),
    ),
}


def _raises(kind: type[Exception], call: Callable[[], Any]) -> None:
    with pytest.raises(kind):
        call()


def _take_two(store: Store) -> None:
    store.objects(Student).field("1", S.age).increment(-2)


def _edited(store: Store, changes: dict[str, Any]) -> None:
    with store.entered(store.backend.objects(Student).edit("1")) as draft:
        for name, value in changes.items():
            setattr(draft, name, value)


def _ready(store: Store) -> None:
    """Store what the operations work on; let the server know the scripts and the backend the server."""
    students, ranges = store.objects(Student), store.objects(Range)
    students.put_many({"1": Student(name="Harry", age=1)})
    students.put(Student(name="Harry", age=1), id="1")
    students.get_or_create(Student(name="Harry"), id="1")
    students.field("1", S.tags).append("a")
    students.field("1", S.tags).set([])
    ranges.put(Range(), id="1")
    ranges.update("1", {"hi": 9})
    students.field("1", S.age).increment(0)
    store.objects(Wide).put(Wide(), id="1")
    store.raw.hset("Student:torso", "unknown", "x")
    store.raw.hset("Derived:torso", "first", "X")
    students.update("torso", {"age": 1})  # by the script, on every server
    store.raw.hdel("Student:torso", "age")


def test_every_operation_takes_the_round_trips_that_it_promises(store: Store) -> None:
    taken = {}
    for operation, (_, call) in TRIPS.items():
        store.server.flush()  # type: ignore[union-attr]  # a real one
        _ready(store)
        with store.counted() as trips:
            call(store)
        taken[operation] = trips[0]
    assert taken == {operation: promised for operation, (promised, _) in TRIPS.items()}


def test_an_attribute_write_is_one_round_trip(live: Store) -> None:
    _ready(live)
    student = live.objects(Student)["1"]
    with live.counted() as trips:
        student.age = 7
    assert trips == [1]
    assert live.raw.hget("Student:1", "age") == b"7"


def test_an_attribute_write_to_a_cross_field_model_is_two_round_trips(live: Store) -> None:
    _ready(live)
    bounds = live.objects(Range)["1"]
    with live.counted() as trips:
        bounds.lo = 7
    assert trips == [2]
    assert live.raw.hget("Range:1", "lo") == b"7"


def test_an_augmented_assignment_is_a_read_and_a_script(live: Store) -> None:
    _ready(live)
    student = live.objects(Student)["1"]
    with live.counted() as trips:
        student.age += 1
    assert trips == [2]
    with live.counted() as trips:
        student.tags.append("seeker")
    assert trips == [2]
    assert live.raw.hmget("Student:1", "age", "tags") == [b"2", b'["seeker"]']


def test_reading_a_container_costs_no_further_round_trip(live: Store) -> None:
    live.objects(Student).put(Student(name="Harry", tags=["a", "b"]), id="1")
    with live.counted() as trips:
        tags = live.objects(Student)["1"].tags
        assert (len(tags), tags[0], list(tags), "b" in tags, tags == ["a", "b"]) == (2, "a", ["a", "b"], True, True)
    assert trips == [1]


def test_a_round_trip_is_a_command_on_the_wire(live: Store) -> None:
    _ready(live)
    student = live.objects(Student)["1"]
    assert live.server is not None
    with recorder(live.server) as seen:
        student.age
        live.objects(Student).get("1")
        student.age = 3
    assert seen.commands == ["HGET", "HMGET", "HSETEX" if live.server.kind == "valkey" else "EVALSHA"]


def test_every_method_of_the_table_is_counted() -> None:
    counted = {operation.split(",")[0] for operation in TRIPS}
    public = {name for name in vars(Objects) if not name.startswith("_")}
    uncounted = {"watch", "mirror", "mirror_many"}  # over connections of their own
    counted_elsewhere = {"field"}  # a handle's methods, one by one
    of_redis_py = {"lock"}
    assert public - counted - uncounted - counted_elsewhere - of_redis_py == set()


def test_every_method_of_a_handle_is_counted() -> None:
    counted = {operation.split(",")[0] for operation in TRIPS}
    assert {f"field.{name}" for name in vars(FieldHandle) if not name.startswith("_")} <= counted


def test_a_command_says_whether_it_only_reads() -> None:
    assert reading("GET", "a") == Command(("GET", "a"), repeatable=True)
    assert not Command(("SET", "a", "1")).repeatable
