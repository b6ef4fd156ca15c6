"""The class form: the original library's example word for word, its bytes, and what a class may declare."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
import redis
from pydantic import BaseModel, Field, ValidationError, field_validator

from distobjects import (
    CorruptData,
    DObject,
    InvalidModel,
    NotFound,
    RedisBackend,
    UnknownField,
    connect,
    connect_async,
)
from distobjects.fields import BooleanField, DateTimeField, FloatField, IntegerField, JSONField, TextField
from tests.fix_servers import Server, recorder
from tests.fix_stores import Store

# ---- the original's README, each half in a process of its own

HOST_1 = """\
>>> from distobjects import RedisBackend, DObject
>>> from distobjects.fields import TextField
>>> import redis
>>>
>>> r = redis.Redis(host='redis-server1', port=6379, db=5)
>>> redis_backend = RedisBackend(client=r)
>>> class MyStudent(DObject):
...    class Meta:
...        backend = redis_backend
...    first_name = TextField()
...    last_name = TextField()
...
>>> student1 = MyStudent("1")
>>> student1.first_name = "Harry"
>>> student1.last_name = "James"
"""
HOST_2 = """\
>>> from distobjects import RedisBackend, DObject
>>> from distobjects.fields import TextField
>>> import redis
>>>
>>> r = redis.Redis(host='redis-server1', port=6379, db=5)
>>> redis_backend = RedisBackend(client=r)
>>> class MyStudent(DObject):
...    class Meta:
...        backend = redis_backend
...    first_name = TextField()
...    last_name = TextField()
...
>>> student = MyStudent("1")
>>> student.first_name
'Harry'
>>> student.last_name
'James'
"""
# Types what it is given into a Python prompt, and fails where something else is shown.
PROMPT = """\
import doctest, sys
session = doctest.DocTestParser().get_doctest(sys.stdin.read(), {"__name__": "__main__"}, "README", None, 0)
sys.exit(doctest.DocTestRunner().run(session).failed)
"""


def typed(session: str, server: Server) -> None:
    """Type a session into a Python of its own, with this server in the place of the example's."""
    here = session.replace("'redis-server1', port=6379", f"'127.0.0.1', port={server.port}")
    assert here != session
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", PROMPT],  # the example closes nothing
        input=here,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.fixture
def fifth(server: Server) -> Iterator[redis.Redis]:
    """A client of the database that the example uses, empty."""
    server.flush()
    with server.client(db=5) as client:
        yield client


def test_the_original_example_runs_word_for_word_each_half_in_its_own_process(
    server: Server, fifth: redis.Redis
) -> None:
    typed(HOST_1, server)
    assert fifth.keys("*") == [b"MyStudent:1"]
    assert fifth.hgetall("MyStudent:1") == {b"first_name": b"Harry", b"last_name": b"James"}
    typed(HOST_2, server)
    with server.client(db=0) as other:
        assert other.dbsize() == 0


def test_what_the_original_library_wrote_is_read(server: Server, fifth: redis.Redis) -> None:
    for field, text in (("first_name", "Harry"), ("last_name", "James")):
        fifth.hset("MyStudent:1", field, text)
    typed(HOST_2, server)


def test_a_prompt_that_shows_something_else_fails(server: Server, fifth: redis.Redis) -> None:
    with pytest.raises(AssertionError, match="2 != 0"):
        typed(HOST_2, server)


# ---- bytes


@pytest.fixture
def student(live: Store) -> Any:
    class MyStudent(DObject):
        class Meta:
            backend = live.backend

        first_name = TextField()
        last_name = TextField()

    return MyStudent("1")


TEXTS = ["Harry", "", "null", "\\", "\\null", "\\\\", '"quoted"', "  spaces ", "é𝄞", "line\nbreak\0", "1", "[]"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_stored_and_read_as_the_original_library_has_it(live: Store, student: Any, text: str) -> None:
    student.first_name = text
    assert live.raw.hget("MyStudent:1", "first_name") == text.encode()
    live.raw.hset("MyStudent:1", "last_name", text)
    assert student.last_name == text
    assert type(student.last_name) is str


def test_an_absent_field_and_an_absent_object_read_none(live: Store, student: Any) -> None:
    assert (student.first_name, student.last_name) == (None, None)
    student.first_name = "Harry"
    assert student.last_name is None


def test_none_deletes_the_field_and_the_last_one_the_object(live: Store, student: Any) -> None:
    student.first_name, student.last_name = "Harry", "James"
    student.first_name = None
    assert live.raw.hgetall("MyStudent:1") == {b"last_name": b"James"}
    assert student.first_name is None
    student.last_name = None
    assert live.raw.exists("MyStudent:1") == 0


def test_text_is_validated_like_any_other_field(live: Store, student: Any) -> None:
    with live.counted() as trips, pytest.raises(ValidationError):
        student.first_name = 3
    assert trips == [0]
    live.raw.hset("MyStudent:1", "first_name", b"\xff")
    with pytest.raises(CorruptData, match="first_name"):
        student.first_name


def test_a_read_and_a_write_are_one_round_trip_each_even_where_nothing_is(live: Store, student: Any) -> None:
    assert live.server is not None
    with recorder(live.server) as seen:
        student.first_name
        student.first_name = "Harry"
        student.first_name
        student.first_name = None
    assert seen.commands == ["HGET", "HSET", "HGET", "HDEL"]


MOMENT = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)


class AllKinds(DObject):
    """Every field kind; bound to a backend by the tests' own subclasses."""

    text = TextField()
    whole = IntegerField()
    number = FloatField()
    flag = BooleanField()
    moment = DateTimeField()
    anything = JSONField()


KINDS = [
    ("text", "a", b"a"),
    ("whole", 7, b"7"),
    ("whole", -(2**70), b"-1180591620717411303424"),
    ("number", 0.1, b"0.1"),
    ("number", float("inf"), b"inf"),
    ("flag", True, b"true"),
    ("flag", False, b"false"),
    ("moment", MOMENT, b"2026-11-23T22:30:00Z"),
    ("anything", {"a": [1, None, "x"]}, b'{"a":[1,null,"x"]}'),
    ("anything", "text", b'"text"'),
]


@pytest.mark.parametrize(("field", "value", "raw"), KINDS)
def test_each_kind_of_field_has_its_bytes_and_comes_back(live: Store, field: str, value: Any, raw: bytes) -> None:
    class Kinds(AllKinds):
        class Meta:
            backend = live.backend

    made = Kinds("1")
    assert getattr(made, field) is None
    setattr(made, field, value)
    assert live.raw.hgetall("Kinds:1") == {field.encode(): raw}
    assert getattr(made, field) == value
    setattr(made, field, None)
    assert live.raw.exists("Kinds:1") == 0


@pytest.mark.parametrize("field", ["whole", "number", "flag", "moment", "anything"])
def test_bytes_of_another_kind_are_corrupt_and_never_none(live: Store, field: str) -> None:
    class Kinds(AllKinds):
        class Meta:
            backend = live.backend

    live.raw.hset("Kinds:1", field, "?")
    with pytest.raises(CorruptData, match=field):
        getattr(Kinds("1"), field)


# ---- keys


def test_key_space_and_prefix_make_the_key(live: Store) -> None:
    prefixed = RedisBackend(client=live.raw, prefix="app:")

    class Spaced(DObject):
        class Meta:
            backend = prefixed
            key_space = "people"

        name = TextField()

    Spaced("1").name = "x"
    assert live.raw.hgetall("app:people:1") == {b"name": b"x"}
    assert repr(Spaced("1")) == "<live Spaced 'app:people:1'>"


def test_the_backend_is_inherited_and_the_key_space_is_not(live: Store) -> None:
    class Base(DObject):
        class Meta:
            backend = live.backend
            key_space = "bases"

        name = TextField()

    class Derived(Base):
        more = TextField()

    Derived("1").name = "x"
    Derived("1").more = "y"
    Base("1").name = "z"
    assert live.raw.hgetall("Derived:1") == {b"name": b"x", b"more": b"y"}
    assert live.raw.hgetall("bases:1") == {b"name": b"z"}
    assert not hasattr(Base("1"), "more")


def test_a_subclass_may_override_a_field(live: Store) -> None:
    class Base(DObject):
        class Meta:
            backend = live.backend

        size = TextField()

    class Derived(Base):
        size: int = 3  # type: ignore[assignment]  # another type on purpose

    assert Derived("1").size == 3
    Derived("1").size = 4
    assert live.raw.hget("Derived:1", "size") == b"4"
    assert Base("1").size is None


def test_fields_come_from_mixins_too(live: Store) -> None:
    class Named(DObject):
        name = TextField()

        def shout(self) -> str:
            return (self.name or "").upper()

    class Aged(DObject):
        age: int = 0

    class Pupil(Named, Aged):
        class Meta:
            backend = live.backend

    pupil = Pupil("1")
    pupil.name = "x"
    pupil.age = 4
    assert live.raw.hgetall("Pupil:1") == {b"name": b"x", b"age": b"4"}
    assert (pupil.shout(), pupil.age) == ("X", 4)


def test_markers_come_from_plain_mixins_too_and_annotations_do_not(live: Store) -> None:
    class Named:
        name = TextField()
        age = TextField()
        nick: str | None = None

    class Aged(DObject):
        class Meta:
            backend = live.backend

        age: int = 0

    class Pupil(Aged, Named):
        pass

    pupil = Pupil("1")
    assert (pupil.name, pupil.nick, pupil.age) == (None, None, 0)
    pupil.name = "x"
    assert live.raw.hgetall("Pupil:1") == {b"name": b"x"}
    with pytest.raises(UnknownField):
        pupil.nick = "y"
    assert isinstance(vars(Named)["name"], TextField)


# ---- annotations


class Home(BaseModel):
    city: str = "London"


def test_annotations_stand_beside_markers(live: Store) -> None:
    class Mixed(DObject):
        class Meta:
            backend = live.backend

        kind: ClassVar[str] = "mixed"
        first = TextField()
        nickname: str | None = None
        age: int = Field(default=0, ge=0)
        tags: list[str] = []
        home: Home = Home()
        _hidden: int = 3

    mixed = Mixed("1")
    assert (mixed.first, mixed.nickname, mixed.age, mixed.tags, mixed.home) == (None, None, 0, [], Home())
    mixed.nickname = None
    mixed.age = 3
    mixed.home = Home(city="Hogsmeade")
    assert live.raw.hgetall("Mixed:1") == {b"nickname": b"null", b"age": b"3", b"home": b'{"city":"Hogsmeade"}'}
    assert mixed.home.city == "Hogsmeade"
    with pytest.raises(ValidationError):
        mixed.age = -1
    assert (mixed.kind, mixed._hidden) == ("mixed", 3)


def test_a_text_that_looks_like_null_is_kept_apart_from_none_where_none_is_stored(live: Store) -> None:
    class Nullable(DObject):
        class Meta:
            backend = live.backend

        nick: str | None = "default"

    made = Nullable("1")
    seen = []
    for value in ("null", None, "", "\\"):
        made.nick = value
        seen.append((live.raw.hget("Nullable:1", "nick"), made.nick))
    assert seen == [(b"\\null", "null"), (b"null", None), (b"", ""), (b"\\\\", "\\")]
    live.raw.delete("Nullable:1")
    assert made.nick == "default"


def test_where_a_field_has_no_default_assignment_creates_nothing(live: Store) -> None:
    class Required(DObject):
        class Meta:
            backend = live.backend

        name: str
        age: int = 0

    made = Required("1")
    with pytest.raises(NotFound):
        made.age
    with pytest.raises(NotFound):
        made.age = 3
    assert live.raw.exists("Required:1") == 0
    live.raw.hset("Required:1", "name", "x")
    made.age = 3
    assert (made.name, made.age) == ("x", 3)


FORWARD = """\
from __future__ import annotations
from pydantic import BaseModel
from distobjects import DObject

class Early(DObject):
    class Meta:
        backend = BACKEND
    home: Home | None = None

class Home(BaseModel):
    city: str
"""


def test_an_annotation_may_name_what_is_defined_later(live: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("defined_later")
    module.BACKEND = live.backend
    monkeypatch.setitem(sys.modules, "defined_later", module)
    exec(FORWARD, vars(module))
    early = module.Early("1")
    assert early.home is None
    early.home = module.Home(city="London")
    assert early.home.city == "London"
    assert live.raw.hget("Early:1", "home") == b'{"city":"London"}'


def test_an_annotation_that_names_nothing_is_told_when_the_class_is_used(
    live: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = types.ModuleType("never_defined")
    module.BACKEND = live.backend
    monkeypatch.setitem(sys.modules, "never_defined", module)
    exec(FORWARD.partition("class Home")[0], vars(module))
    with pytest.raises(InvalidModel, match="Early"):
        module.Early("1")


# ---- what else a class has


def test_methods_and_properties_are_the_class_s_own(live: Store) -> None:
    class Person(DObject):
        class Meta:
            backend = live.backend

        first_name = TextField()
        last_name = TextField()

        @property
        def full_name(self) -> str:
            return f"{self.first_name} {self.last_name}"

        @full_name.setter
        def full_name(self, value: str) -> None:
            self.first_name, self.last_name = value.split()

        def initials(self) -> str:
            return "".join(name[0] for name in self.full_name.split())

        @classmethod
        def of(cls, id: str, first: str) -> Person:
            made = cls(id)
            made.first_name = first
            return made

        def __len__(self) -> int:
            return len(self.full_name)

    person = Person.of("1", "Harry")
    person.full_name = "Ron Weasley"
    assert live.raw.hgetall("Person:1") == {b"first_name": b"Ron", b"last_name": b"Weasley"}
    assert (person.full_name, person.initials(), len(person)) == ("Ron Weasley", "RW", 11)


def test_a_class_may_have_a_constructor_of_its_own(live: Store) -> None:
    class Person(DObject):
        class Meta:
            backend = live.backend

        name = TextField()

        def __init__(self, id: str, name: str | None = None) -> None:
            super().__init__(id)
            if name is not None:
                self.name = name

    Person("1", "Harry")
    assert Person("1").name == "Harry"


def test_id_is_text_and_cannot_be_assigned(live: Store, student: Any) -> None:
    cls = type(student)
    assert (student.id, cls(7).id) == ("1", "7")
    with pytest.raises(AttributeError):
        student.id = "2"
    for bad, kind in (("", ValueError), (True, TypeError), (None, TypeError), (1.5, TypeError), ("\ud800", ValueError)):
        with pytest.raises(kind):
            cls(bad)


def test_clear_deletes_the_object(live: Store, student: Any) -> None:
    student.first_name = "Harry"
    assert student.clear() is None
    assert live.raw.exists("MyStudent:1") == 0
    assert student.first_name is None
    student.clear()


def test_an_unknown_name_is_refused_with_the_nearest_one(live: Store, student: Any) -> None:
    with live.counted() as trips:
        with pytest.raises(UnknownField, match="did you mean 'first_name'"):
            student.fist_name = "Harry"
        with pytest.raises(UnknownField, match="did you mean 'first_name'"):
            student.fist_name
        assert not hasattr(student, "_repr_html_")
    assert trips == [0]


def test_objects_of_a_class_are_equal_by_backend_and_key(live: Store, student: Any) -> None:
    cls = type(student)
    assert student == cls("1")
    assert hash(student) == hash(cls(1))
    assert student != cls("2")
    assert student != "1"
    assert isinstance(student, DObject)
    assert repr(student) == "<live MyStudent 'MyStudent:1'>"


def test_a_field_cannot_be_deleted(live: Store, student: Any) -> None:
    student.first_name = "Harry"
    with pytest.raises(AttributeError, match="first_name"):
        del student.first_name
    assert student.first_name == "Harry"


def test_fields_are_listed(student: Any) -> None:
    assert {"first_name", "last_name", "id", "clear"} <= set(dir(student))


def test_a_class_defined_anew_takes_the_place_of_the_old_one(live: Store) -> None:
    def cell(more: bool) -> Any:
        class Cell(DObject):
            class Meta:
                backend = live.backend

            name = TextField()
            if more:
                age = IntegerField()

        return Cell

    cell(more=False)("1").name = "x"
    again = cell(more=True)("1")
    again.age = 3
    assert (again.name, again.age) == ("x", 3)


# ---- what is refused


@pytest.mark.parametrize("name", ["id", "clear"])
def test_a_field_that_clashes_is_refused_by_name(live: Store, name: str) -> None:
    meta = type("Meta", (), {"backend": live.backend})
    with pytest.raises(InvalidModel, match=name):
        type("Marked", (DObject,), {"Meta": meta, name: TextField()})
    with pytest.raises(InvalidModel, match=name):
        type("Annotated", (DObject,), {"Meta": meta, "__annotations__": {name: str}})


def test_a_class_without_a_backend_is_told_when_it_is_used() -> None:
    class Homeless(DObject):
        name = TextField()

    with pytest.raises(InvalidModel, match=r"Homeless.*backend"):
        Homeless("1")


def test_a_class_that_was_used_too_early_is_none_the_worse(live: Store) -> None:
    class Homeless(DObject):
        name = TextField()
        age: int = 3

    with pytest.raises(InvalidModel):
        Homeless("1")

    class Housed(Homeless):
        class Meta:
            backend = live.backend

    assert (Housed("1").name, Housed("1").age) == (None, 3)
    Homeless.Meta = Housed.Meta  # type: ignore[attr-defined]
    assert (Homeless("1").name, Homeless("1").age) == (None, 3)


def test_two_classes_of_one_name_are_refused(live: Store) -> None:
    def one() -> None:
        class Same(DObject):
            class Meta:
                backend = live.backend

            name = TextField()

    def other() -> None:
        class Same(DObject):
            class Meta:
                backend = live.backend

            name = TextField()

    one()
    with pytest.raises(InvalidModel, match="Same"):
        other()


def test_a_field_without_an_annotation_is_refused(live: Store) -> None:
    with pytest.raises(InvalidModel, match=r"Bare\.age.*annotation"):

        class Bare(DObject):
            class Meta:
                backend = live.backend

            age = Field(default=0)


def test_a_type_that_cannot_be_stored_is_refused_by_name(live: Store) -> None:
    with pytest.raises(InvalidModel, match=r"Bad\.when"):

        class Bad(DObject):
            class Meta:
                backend = live.backend

            when: str | datetime = ""


def test_a_space_name_that_is_none_is_refused(live: Store) -> None:
    with pytest.raises(InvalidModel, match="a:b"):

        class Bad(DObject):
            class Meta:
                backend = live.backend
                key_space = "a:b"

            name = TextField()


def test_what_is_no_sync_backend_is_refused(live: Store) -> None:
    asynchronous = connect_async("memory://declared")
    for wrong in (asynchronous, live.raw):
        with pytest.raises(InvalidModel, match=r"Wrong.*Meta\.backend"):
            type("Wrong", (DObject,), {"Meta": type("Meta", (), {"backend": wrong}), "name": TextField()})


def test_a_decorator_of_pydantic_s_is_refused_and_never_ignored(live: Store) -> None:
    with pytest.raises(InvalidModel, match="checked"):

        class Validating(DObject):
            class Meta:
                backend = live.backend

            name = TextField()

            @field_validator("name")
            @classmethod
            def checked(cls, value: str) -> str:
                raise ValueError("never reached")


def test_the_class_form_works_on_memory_too() -> None:
    with connect("memory://declared") as memory:

        class Kept(DObject):
            class Meta:
                backend = memory

            name = TextField()

        Kept("1").name = "x"
        assert Kept("1").name == "x"
