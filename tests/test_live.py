"""A live object is an instance of the user's model to everybody, holds no data, and asks only for what is a field."""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.version import version_short

from distobjects import (
    Conflict,
    CorruptData,
    DObject,
    FieldUnset,
    InvalidModel,
    NotFound,
    RedisBackend,
    UnknownField,
    _turns,
    _writes,
    connect,
)
from distobjects._flow import Done, Flow, advance
from tests.fix_servers import recorder
from tests.fix_stores import Store


class Address(BaseModel):
    city: str = "London"


class Person(BaseModel):
    name: str

    def greeting(self) -> str:
        return f"I am {self.name}"

    def __str__(self) -> str:
        return f"Person {self.name}"


class Student(Person):
    """Has every kind of member that a user's model may have."""

    kind: ClassVar[str] = "student"
    made: ClassVar[list[str]] = []

    age: int = Field(default=0, ge=0)
    tags: list[str] = []
    home: Address = Address()
    nickname: str | None = None

    _notes: list[str] = PrivateAttr(default_factory=list)
    _limit: int = 3
    _unset: int

    def is_adult(self) -> bool:
        return self.age >= 18

    def birthday(self) -> int:
        self.age = self.age + 1
        return self.age

    def greeting(self) -> str:
        return super().greeting() + f", {self.age}"

    @property
    def initial(self) -> str:
        return self.name[0]

    @property
    def upper(self) -> str:
        return self.name.upper()

    @upper.setter
    def upper(self, value: str) -> None:
        self.name = value.capitalize()

    @functools.cached_property
    def shout(self) -> str:
        return self.name.upper() + "!"

    @computed_field  # type: ignore[prop-decorator]  # pydantic documents this ignore
    @property
    def label(self) -> str:
        return f"{self.name}/{self.age}"

    @classmethod
    def anonymous(cls) -> Student:
        return cls(name="nobody")

    @staticmethod
    def double(value: int) -> int:
        return value * 2

    def __len__(self) -> int:
        return len(self.tags)

    def __contains__(self, tag: str) -> bool:
        return tag in self.tags

    def __call__(self, by: int) -> int:
        return self.age + by

    def __getitem__(self, index: int) -> str:
        return self.tags[index]

    def __lt__(self, other: Student) -> bool:
        return self.age < other.age

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *failure: object) -> None:
        self.tags = ["left"]


class Plain(BaseModel):
    """No computed fields: dumps are one round trip, whoever dumps."""

    name: str
    age: int = 0
    tags: list[str] = []


HARRY = Student(name="Harry", age=17, tags=["seeker", "captain"])


@pytest.fixture
def harry(live: Store) -> Student:
    student: Student = live.objects(Student).create(HARRY, id="1")
    return student


@pytest.fixture
def plain(live: Store) -> Plain:
    made: Plain = live.objects(Plain).create(Plain(name="Ron", age=1, tags=["a"]), id="1")
    return made


def stored(live: Store, field: str, key: str = "Student:1") -> bytes | None:
    raw: bytes | None = live.raw.hget(key, field)
    return raw


# ---- attributes


def test_attributes_are_read_where_they_are_stored(live: Store, harry: Student) -> None:
    assert (harry.name, harry.age, harry.tags, harry.nickname) == ("Harry", 17, ["seeker", "captain"], None)
    live.raw.hset("Student:1", "age", "40")
    assert harry.age == 40


def test_an_assigned_attribute_is_stored_and_every_other_live_object_shows_it(live: Store, harry: Student) -> None:
    harry.age = 18
    assert stored(live, "age") == b"18"
    with connect(live.server.url) as other:  # type: ignore[union-attr]  # a real server
        assert other.objects(Student)["1"].age == 18


def test_an_invalid_value_changes_nothing_and_sends_nothing(live: Store, harry: Student) -> None:
    with live.counted() as trips, pytest.raises(ValidationError) as caught:
        harry.age = -1
    assert trips == [0]
    assert stored(live, "age") == b"17"
    [error] = caught.value.errors()
    assert (error["type"], error["loc"]) == ("greater_than_equal", ("age",))


def test_a_value_is_coerced_as_the_model_does(live: Store, harry: Student) -> None:
    harry.age = "19"  # type: ignore[assignment]  # what pydantic takes
    assert harry.age == 19


def test_the_model_s_field_validators_run_on_a_write(live: Store) -> None:
    class Named(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def title(cls, value: str) -> str:
            if not value:
                raise ValueError("a name is needed")
            return value.title()

    named = live.objects(Named).create(Named(name="x"), id="1")
    named.name = "harry potter"
    assert stored(live, "name", "Named:1") == b"Harry Potter"
    with pytest.raises(ValidationError, match="a name is needed"):
        named.name = ""


def test_a_validator_that_transforms_runs_once_on_a_write_and_never_on_a_read(live: Store) -> None:
    class Hashed(BaseModel):
        password: str

        @field_validator("password")
        @classmethod
        def hashed(cls, value: str) -> str:
            return f"#{value}"

    objects = live.objects(Hashed)
    made = objects.create(Hashed(password="x"), id="1")
    assert (made.password, objects.get("1").password) == ("#x", "#x")
    made.password = "y"
    assert made.password == "#y"


@pytest.mark.parametrize("name", ["agee", "nmae", "xyz"])
def test_an_unknown_name_is_refused_in_both_directions_with_no_command(live: Store, harry: Student, name: str) -> None:
    hint = {"agee": "age", "nmae": "name", "xyz": None}[name]
    with live.counted() as trips:
        with pytest.raises(UnknownField) as read:
            getattr(harry, name)
        with pytest.raises(UnknownField) as written:
            setattr(harry, name, 1)
    assert trips == [0]
    assert (read.value.hint, written.value.hint) == (hint, hint)
    assert isinstance(read.value, AttributeError)
    assert str(read.value) == f"Student has no field {name!r}" + (f"; did you mean {hint!r}?" if hint else "")


def test_the_hint_for_an_unknown_name_may_be_a_method(harry: Student) -> None:
    with pytest.raises(UnknownField, match="did you mean 'birthday'"):
        harry.birtday  # type: ignore[attr-defined]


def test_an_attribute_cannot_be_deleted(live: Store, harry: Student) -> None:
    with pytest.raises(AttributeError, match="'age'"):
        del harry.age
    assert stored(live, "age") == b"17"


def test_a_live_object_holds_no_data(harry: Student) -> None:
    assert not hasattr(type(harry), "__dictoffset__") or type(harry).__dictoffset__ == 0
    assert type(harry).__slots__ == ()  # type: ignore[attr-defined]


# ---- absent objects, absent fields


def test_an_absent_object_is_not_found_on_read_and_write(live: Store) -> None:
    nobody = live.objects(Student)["nobody"]
    with pytest.raises(NotFound, match="'nobody'"):
        nobody.age
    with pytest.raises(NotFound):
        nobody.age = 3
    with pytest.raises(NotFound):
        nobody.model_dump()
    assert live.raw.keys("*") == []


def test_an_absent_field_reads_as_its_default_and_is_not_stored_by_that(live: Store, harry: Student) -> None:
    live.raw.hdel("Student:1", "age", "tags", "home")
    assert (harry.age, harry.tags, harry.home) == (0, [], Address())
    assert stored(live, "age") is None


def test_an_absent_field_without_a_default_is_unset_and_no_attribute_error(live: Store, harry: Student) -> None:
    live.raw.hdel("Student:1", "name")
    with pytest.raises(FieldUnset, match="'name'") as caught:
        harry.name
    assert isinstance(caught.value, LookupError)
    assert not isinstance(caught.value, AttributeError)
    with pytest.raises(FieldUnset):  # not masked by the property that reads it
        harry.initial


def test_an_absent_field_can_be_written(live: Store, harry: Student) -> None:
    live.raw.hdel("Student:1", "age")
    harry.age = 5
    assert harry.age == 5


def test_default_factories_give_a_fresh_value_each_time(live: Store) -> None:
    class Counted(BaseModel):
        count: ClassVar[Iterator[int]] = iter(range(100))
        n: int = Field(default_factory=lambda: next(Counted.count))
        stay: int = 0

    live.raw.hset("Counted:1", "stay", "1")
    counted = live.objects(Counted)["1"]
    assert [counted.n, counted.n] == [0, 1]


def test_default_factories_that_take_the_data_get_it(live: Store) -> None:
    class Mail(BaseModel):
        user: str
        host: str = "example.org"
        address: str = Field(default_factory=lambda data: f"{data['user']}@{data['host']}")

    live.raw.hset("Mail:1", mapping={"user": "ron", "host": "hogwarts"})
    mails = live.objects(Mail)
    assert mails["1"].address == "ron@hogwarts"
    assert mails.get("1").address == "ron@hogwarts"


def test_a_mutable_default_is_not_shared(live: Store, harry: Student) -> None:
    live.raw.hdel("Student:1", "tags")
    assert harry.tags is not harry.tags
    assert Student.model_fields["tags"].default == []


def test_corrupt_bytes_are_told_with_all_facts(live: Store, harry: Student) -> None:
    live.raw.hset("Student:1", "age", b"\xff?")
    with pytest.raises(CorruptData) as caught:
        harry.age
    error = caught.value
    assert (error.model, error.id, error.field, error.length) == ("Student", "1", "age", 2)


def test_a_key_of_another_type_is_corrupt_data(live: Store) -> None:
    live.raw.set("Student:1", "text")
    student = live.objects(Student)["1"]
    with pytest.raises(CorruptData, match="no hash"):
        student.age
    with pytest.raises(CorruptData, match="no hash"):
        student.age = 3
    assert live.raw.get("Student:1") == b"text"


def test_a_write_after_a_delete_is_not_found_and_brings_nothing_back(live: Store, harry: Student) -> None:
    assert live.objects(Student).delete("1")
    with pytest.raises(NotFound):
        harry.age = 18
    assert live.raw.exists("Student:1") == 0


def test_a_write_leaves_the_time_to_live_alone(live: Store, harry: Student) -> None:
    live.raw.expire("Student:1", 100)
    harry.age = 18
    harry.nickname = "H"
    assert 90 < live.raw.ttl("Student:1") <= 100


def test_a_cross_field_write_leaves_the_time_to_live_alone(live: Store) -> None:
    live.objects(Range).create(Range(), id="1")
    live.raw.expire("Range:1", 100)
    live.objects(Range)["1"].lo = 2
    assert 90 < live.raw.ttl("Range:1") <= 100


# ---- what the model defines


def test_methods_run_live(live: Store, harry: Student) -> None:
    assert not harry.is_adult()
    assert harry.birthday() == 18
    assert stored(live, "age") == b"18"
    assert harry.is_adult()


def test_inherited_methods_and_super_calls_run_live(harry: Student) -> None:
    assert harry.greeting() == "I am Harry, 17"


def test_properties_run_live_and_their_setters_write(live: Store, harry: Student) -> None:
    assert (harry.initial, harry.upper) == ("H", "HARRY")
    harry.upper = "ron"
    assert stored(live, "name") == b"Ron"


def test_a_property_without_a_setter_cannot_be_assigned(live: Store, harry: Student) -> None:
    with pytest.raises(AttributeError):
        harry.initial = "X"  # type: ignore[misc]  # that is what is tested
    with pytest.raises(AttributeError):
        harry.label = "X"  # type: ignore[misc]


def test_computed_fields_run_live(live: Store, harry: Student) -> None:
    live.raw.hset("Student:1", "age", 20)
    assert harry.label == "Harry/20"


def test_a_cached_property_is_computed_from_what_is_stored_now(live: Store, harry: Student) -> None:
    assert harry.shout == "HARRY!"
    live.raw.hset("Student:1", "name", "Ron")
    assert harry.shout == "RON!"


def test_class_variables_class_methods_and_static_methods_are_the_model_s(harry: Student) -> None:
    assert harry.kind == "student"
    assert harry.made is Student.made
    assert harry.anonymous() == Student(name="nobody")
    assert harry.double(4) == 8


def test_a_class_variable_cannot_be_assigned(harry: Student) -> None:
    with pytest.raises(AttributeError):
        harry.kind = "teacher"  # type: ignore[misc]
    assert Student.kind == "student"


def test_special_methods_of_the_model_run_live(live: Store, harry: Student) -> None:
    assert len(harry) == 2
    assert "seeker" in harry
    assert "keeper" not in harry
    assert harry(3) == 20
    assert harry[0] == "seeker"
    assert str(harry) == "Person Harry"
    assert f"{harry}" == "Person Harry"
    older = live.objects(Student).create(Student(name="Tom", age=60), id="2")
    assert harry < older
    assert sorted([older, harry]) == [harry, older]


def test_a_model_s_context_manager_runs_live(live: Store, harry: Student) -> None:
    with harry as name:
        assert name == "Harry"
    assert stored(live, "tags") == b'["left"]'


def test_a_model_s_own_iteration_and_truth_run_live(live: Store) -> None:
    class Bag(BaseModel):
        items: list[int] = []

        def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # the user's choice
            return iter(self.items)

        def __bool__(self) -> bool:
            return bool(self.items)

    bag = live.objects(Bag).create(Bag(items=[1, 2]), id="1")
    assert list(bag) == [1, 2]
    assert bag
    live.raw.hset("Bag:1", "items", "[]")
    assert not bag


def test_a_live_object_is_true_without_asking(live: Store) -> None:
    nobody = live.objects(Plain)["nobody"]
    with live.counted() as trips:
        assert nobody
    assert trips == [0]


def test_an_overridden_dump_of_the_model_is_used(live: Store) -> None:
    class Loud(BaseModel):
        name: str

        def model_dump(self, **options: Any) -> dict[str, Any]:
            return {"loud": super().model_dump(**options)}

        def exported(self) -> dict[str, Any]:
            return super().model_dump()

    loud = live.objects(Loud).create(Loud(name="x"), id="1")
    assert loud.model_dump() == {"loud": {"name": "x"}}
    assert loud.exported() == {"name": "x"}


def test_methods_see_the_live_object_as_self(live: Store) -> None:
    class Selfish(BaseModel):
        n: int = 0

        def me(self) -> Self:
            return self

        def chain(self) -> Self:
            self.n = self.n + 1
            return self

    selfish = live.objects(Selfish).create(Selfish(), id="1")
    assert selfish.me() is selfish
    assert selfish.chain().chain().n == 2


def test_private_attributes_answer_their_default_and_refuse_assignment(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        assert harry._notes == []
        assert harry._limit == 3
        with pytest.raises(AttributeError):
            harry._limit = 4
        assert not hasattr(harry, "_unset")  # it has no default
        assert not hasattr(harry, "_nothing")
    assert trips == [0]


@pytest.mark.parametrize("name", ["_id", "_binding", "_place"])
def test_a_private_name_that_a_live_object_needs_is_refused_when_the_model_is_bound(live: Store, name: str) -> None:
    private = type("Private", (BaseModel,), {"__annotations__": {"n": int}, "n": 0, name: PrivateAttr(default=3)})
    method = type("Method", (BaseModel,), {"__annotations__": {"n": int}, "n": 0, name: lambda self: 3})
    for model in (private, method):
        with pytest.raises(InvalidModel, match=name):
            live.objects(model)


# ---- passing for an instance


def test_a_live_object_is_an_instance_of_its_model_and_of_dobject(harry: Student) -> None:
    assert isinstance(harry, Student)
    assert isinstance(harry, Person)
    assert isinstance(harry, BaseModel)
    assert isinstance(harry, DObject)
    assert not isinstance(harry, Plain)
    assert harry.__class__ is Student
    assert type(harry).__name__ == "Student"


def test_a_snapshot_is_a_plain_instance(live: Store, harry: Student) -> None:
    snapshot = live.objects(Student).get("1")
    assert type(snapshot) is Student
    assert not isinstance(snapshot, DObject)
    assert snapshot == HARRY
    snapshot.age = 99
    assert harry.age == 17
    assert (snapshot._notes, snapshot._limit) == ([], 3)


def test_the_user_s_class_is_left_as_it_was() -> None:
    class Fresh(BaseModel):
        n: int = 0

    before = dict(vars(Fresh))
    with connect("memory://untouched") as backend:
        live = backend.objects(Fresh).create(Fresh(), id="1")
        live.n = 1
        live.model_dump()
    assert dict(vars(Fresh)) == before
    assert Fresh.__subclasses__() == []


DUMP = {
    "name": "Harry",
    "age": 17,
    "tags": ["seeker", "captain"],
    "home": {"city": "London"},
    "nickname": None,
    "label": "Harry/17",
}


def test_a_dump_is_that_of_a_snapshot_in_one_round_trip(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        assert harry.model_dump() == DUMP == HARRY.model_dump()
    assert trips == [1]
    with live.counted() as trips:
        assert harry.model_dump_json() == HARRY.model_dump_json()
    assert trips == [1]
    assert harry.model_dump(include={"age"}, mode="json") == {"age": 17}
    assert harry.model_dump(exclude_unset=True) == DUMP


def test_a_copy_made_by_pydantic_is_a_snapshot(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        copied = harry.model_copy(update={"age": 3})
    assert trips == [1]
    assert type(copied) is Student
    assert (copied.age, copied.name) == (3, "Harry")
    assert harry.age == 17


def test_a_type_adapter_takes_a_live_object_for_an_instance(harry: Student) -> None:
    adapter = TypeAdapter(Student)
    assert adapter.validate_python(harry) is harry
    assert adapter.dump_python(harry) == DUMP
    assert adapter.dump_json(harry) == HARRY.model_dump_json().encode()


def test_a_type_adapter_dumps_in_one_round_trip(live: Store, plain: Plain) -> None:
    adapter = TypeAdapter(Plain)
    least = 1 if version_short() >= "2.14" else 2  # before, pydantic asks an instance for its values twice
    with live.counted() as trips:
        assert adapter.dump_python(plain) == {"name": "Ron", "age": 1, "tags": ["a"]}
    assert trips == [least]
    with live.counted() as trips:
        assert adapter.dump_json(plain) == b'{"name":"Ron","age":1,"tags":["a"]}'
    assert trips == [least]


def test_validating_a_live_object_asks_for_nothing(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        TypeAdapter(Student).validate_python(harry)
        TypeAdapter(list[Student]).validate_python([harry])
        Student.model_validate(harry)
    assert trips == [0]


def test_a_list_of_live_objects_dumps_in_one_go(live: Store, harry: Student) -> None:
    ron = live.objects(Student).create(Student(name="Ron"), id="2")
    adapter = TypeAdapter(list[Student])
    assert adapter.dump_python(adapter.validate_python([harry, ron])) == [DUMP, Student(name="Ron").model_dump()]


def test_a_live_object_may_be_nested_in_another_model(harry: Student) -> None:
    class House(BaseModel):
        head: Student

    house = House(head=harry)
    assert house.head is harry
    assert house.model_dump() == {"head": DUMP}
    assert House.model_validate_json(house.model_dump_json()) == House(head=HARRY)


def test_a_live_object_is_returned_from_a_web_framework_s_response_model(harry: Student) -> None:
    class Shown(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        name: str
        label: str

    same: TypeAdapter[Any] = TypeAdapter(Student)
    value = same.validate_python(harry, from_attributes=True)
    assert same.dump_python(value, mode="json", by_alias=True, exclude_unset=False) == DUMP
    other: TypeAdapter[Any] = TypeAdapter(Shown)
    assert other.dump_python(other.validate_python(harry, from_attributes=True), mode="json") == {
        "name": "Harry",
        "label": "Harry/17",
    }


def test_serializers_and_aliases_shape_what_leaves_and_not_what_is_stored(live: Store) -> None:
    class Shaped(BaseModel):
        secret: str = Field(exclude=True)
        price: int = Field(alias="Price")
        code: str = Field(default="x", validation_alias=AliasChoices("c", "d"), serialization_alias="Code")

        @field_serializer("code")
        def masked(self, value: str) -> str:
            return "***"

    shaped = live.objects(Shaped).create(Shaped(secret="s", Price=3, c="abc"), id="1")
    assert live.raw.hgetall("Shaped:1") == {b"secret": b"s", b"price": b"3", b"code": b"abc"}
    assert (shaped.secret, shaped.price, shaped.code) == ("s", 3, "abc")
    assert shaped.model_dump() == {"price": 3, "code": "***"}
    assert shaped.model_dump(by_alias=True) == {"Price": 3, "Code": "***"}


def test_iteration_dict_and_vars_give_plain_values_in_one_round_trip(live: Store, harry: Student) -> None:
    values = {name: value for name, value in DUMP.items() if name != "label"} | {"home": Address()}
    for read in (dict, vars):
        with live.counted() as trips:
            assert read(harry) == values
        assert trips == [1]
    assert list(live.objects(Plain).create(Plain(name="x"), id="2")) == [("name", "x"), ("age", 0), ("tags", [])]


def test_what_pydantic_knows_of_an_instance_asks_for_nothing(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        assert harry.model_fields_set == set(Student.model_fields)
        assert harry.model_extra is None
        assert harry.model_config is Student.model_config
        assert harry.model_json_schema() == Student.model_json_schema()
    assert trips == [0]


def test_python_s_own_replace_gives_a_snapshot(harry: Student) -> None:
    replaced = harry.__replace__(age=5)
    assert type(replaced) is Student
    assert (replaced.age, harry.age) == (5, 17)


# ---- identity of live objects


def test_live_objects_are_equal_by_backend_and_key(live: Store, harry: Student) -> None:
    students = live.objects(Student)
    assert harry == students["1"]
    assert hash(harry) == hash(students["1"])
    assert harry != students["2"]
    assert len({harry, students["1"], students["2"]}) == 2
    with connect(live.server.url) as other:  # type: ignore[union-attr]  # a real server
        assert harry != other.objects(Student)["1"]
    assert harry != live.backend.objects(Student, name="elsewhere")["1"]


def test_a_live_object_and_a_snapshot_are_never_equal(live: Store, harry: Student, plain: Plain) -> None:
    for one, other in ((harry, HARRY), (plain, live.objects(Plain).get("1"))):
        with live.counted() as trips:
            assert not one == other  # noqa: SIM201  # both operators are tested
            assert not other == one  # noqa: SIM201
            assert one != other
            assert other != one
        assert trips == [0]


def test_copies_are_the_same_object(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        assert copy.copy(harry) is harry
        assert copy.deepcopy(harry) is harry
        assert copy.deepcopy([harry])[0] is harry
    assert trips == [0]


def test_repr_shows_class_and_key_and_no_data(live: Store, harry: Student) -> None:
    with live.counted() as trips:
        assert repr(harry) == "<live Student 'Student:1'>"
        assert str(live.objects(Plain)["1"]) == "<live Plain 'Plain:1'>"
    assert trips == [0]


def test_a_live_object_stands_for_its_id(live: Store, harry: Student) -> None:
    students = live.objects(Student)
    assert students.id_of(harry) == "1"
    assert students[harry] == harry
    assert students.get(harry) == HARRY
    assert students.exists(harry)
    assert students.get_many([harry]) == [HARRY]
    assert students.delete(harry)


def test_a_live_object_of_another_place_is_no_id(live: Store, harry: Student) -> None:
    elsewhere = live.backend.objects(Student, name="elsewhere")
    with pytest.raises(ValueError, match="does not live in 'elsewhere:'"):
        elsewhere[harry]
    with connect(live.server.url) as other, pytest.raises(ValueError, match="does not live"):  # type: ignore[union-attr]
        other.objects(Student).get(harry)


# ---- identity fields


class ByInt(BaseModel):
    id: int
    name: str = ""


class ByUuid(BaseModel):
    id: UUID
    name: str = ""


class ByText(BaseModel):
    id: str
    name: str = ""


GUID = UUID("0190f3a2-7c1e-7abc-8def-0123456789ab")


@pytest.mark.parametrize(("value", "text"), [(ByInt(id=7), "7"), (ByUuid(id=GUID), str(GUID)), (ByText(id="x"), "x")])
def test_a_field_called_id_is_the_identity(live: Store, value: Any, text: str) -> None:
    model = type(value)
    made = live.objects(model).create(value)
    assert live.raw.hgetall(f"{model.__name__}:{text}") == {b"name": b""}
    with live.counted() as trips:
        assert made.id == value.id
        assert type(made.id) is type(value.id)
    assert trips == [0]
    assert live.objects(model)[value.id] == live.objects(model)[text] == made
    assert live.objects(model).get(text) == value
    assert made.model_dump() == {"id": value.id, "name": ""}
    assert vars(made) == {"id": value.id, "name": ""}
    assert live.objects(model).ids() == [text]


@pytest.mark.parametrize("value", [ByInt(id=7), ByText(id="7")])
def test_the_identity_is_not_assignable(live: Store, value: Any) -> None:
    made = live.objects(type(value)).create(value)
    with live.counted() as trips, pytest.raises(AttributeError, match="identity"):
        made.id = 8
    assert trips == [0]
    with pytest.raises(AttributeError, match="identity"):
        live.objects(type(value)).update("7", {"id": 8})


def test_a_key_whose_id_the_model_refuses_is_corrupt_data(live: Store) -> None:
    live.raw.hset("ByInt:x", "name", "n")
    with pytest.raises(CorruptData, match=r"ByInt\.id"):
        live.objects(ByInt)["x"].id
    with pytest.raises(CorruptData):
        live.objects(ByInt).get("x")


def test_without_such_a_field_there_is_no_id_on_the_live_object(harry: Student) -> None:
    with pytest.raises(UnknownField):
        harry.id  # type: ignore[attr-defined]
    with pytest.raises(UnknownField):
        harry.clear  # type: ignore[attr-defined]


def test_a_write_to_a_cross_field_model_knows_the_identity(live: Store) -> None:
    class Twice(BaseModel):
        id: int
        n: int = 0

        @model_validator(mode="after")
        def below(self) -> Self:
            if self.n > self.id:
                raise ValueError("n is above the id")
            return self

    made = live.objects(Twice).create(Twice(id=7))
    made.n = 7
    with pytest.raises(ValidationError, match="n is above the id"):
        made.n = 8
    assert made.n == 7


# ---- names


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_fields_may_have_any_name_that_pydantic_allows(live: Store) -> None:
    names = (
        "get key update copy json dict id clear items keys values pop read field run backend space delete put".split()
    )
    Named: Any = type("Named", (BaseModel,), {"__annotations__": dict.fromkeys(names, str), "__module__": __name__})
    value = Named(**{name: name for name in names})
    made = live.objects(Named).create(value)
    for name in names:
        assert getattr(made, name) == name
        if name != "id":
            setattr(made, name, f"{name}!")
            assert live.raw.hget("Named:id", name) == f"{name}!".encode()
    assert live.objects(Named).get("id").model_dump() == {name: name if name == "id" else f"{name}!" for name in names}
    assert made.model_dump()["clear"] == "clear!"


# ---- cross-field models


class Range(BaseModel):
    lo: int = 0
    hi: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


def held_up(flow: Flow[Any], between: Callable[[], object], *, after: int = 1) -> Flow[Any]:
    """Run a flow; let something happen after so many of its round trips."""
    step = advance(flow)
    while not isinstance(step, Done):
        replies = yield step
        after -= 1
        if after == 0:
            between()
        step = advance(flow, replies)
    return step.value


def test_a_write_that_breaks_a_rule_over_fields_is_refused_and_changes_nothing(live: Store) -> None:
    bounds = live.objects(Range).create(Range(lo=1, hi=5), id="1")
    with pytest.raises(ValidationError, match="lo is above hi"):
        bounds.lo = 6
    assert live.raw.hgetall("Range:1") == {b"lo": b"1", b"hi": b"5"}


def test_two_hosts_writing_different_fields_never_leave_what_the_model_refuses(live: Store) -> None:
    assert live.server is not None
    live.objects(Range).create(Range(lo=1, hi=5), id="1")
    with connect(live.server.url) as other:
        theirs = other.objects(Range)["1"]
        ours = _writes.write(live.backend.objects(Range)._space, "1", {"lo": 4})
        with pytest.raises(ValidationError, match="lo is above hi"):
            live.backend.run(held_up(ours, lambda: setattr(theirs, "hi", 3)))
    assert live.raw.hgetall("Range:1") == {b"lo": b"1", b"hi": b"3"}


def test_a_write_that_met_another_is_replayed_on_its_result(live: Store) -> None:
    assert live.server is not None
    live.objects(Range).create(Range(lo=1, hi=5), id="1")
    with connect(live.server.url) as other:
        theirs = other.objects(Range)["1"]
        ours = _writes.write(live.backend.objects(Range)._space, "1", {"lo": 4})
        with live.counted() as trips:
            live.backend.run(held_up(ours, lambda: setattr(theirs, "hi", 8)))
    assert live.raw.hgetall("Range:1") == {b"lo": b"4", b"hi": b"8"}
    assert trips == [4]


def test_a_cross_field_write_to_what_is_deleted_meanwhile_brings_nothing_back(live: Store) -> None:
    live.objects(Range).create(Range(), id="1")
    ours = _writes.write(live.backend.objects(Range)._space, "1", {"lo": 4})
    with pytest.raises(NotFound):
        live.backend.run(held_up(ours, lambda: live.raw.delete("Range:1")))
    assert live.raw.exists("Range:1") == 0


def test_a_write_based_on_defaults_alone_brings_nothing_back_either(live: Store) -> None:
    live.raw.hset("Range:1", "unknown", "x")
    ours = _writes.write(live.backend.objects(Range)._space, "1", {"lo": 4})
    with pytest.raises(NotFound):
        live.backend.run(held_up(ours, lambda: live.raw.delete("Range:1"), after=2))
    assert live.raw.exists("Range:1") == 0


def test_a_validator_that_looks_at_other_fields_makes_a_model_cross_field(live: Store) -> None:
    class Booking(BaseModel):
        rooms: int = 5
        guests: int = 0

        @field_validator("guests")
        @classmethod
        def fit(cls, value: int, info: Any) -> int:
            if value > info.data["rooms"]:
                raise ValueError("too few rooms")
            return value

    booking = live.objects(Booking).create(Booking(), id="1")
    booking.guests = 5
    with pytest.raises(ValidationError, match="too few rooms"):
        booking.guests = 6
    with pytest.raises(ValidationError, match="too few rooms"):
        booking.rooms = 4
    assert live.raw.hgetall("Booking:1") == {b"rooms": b"5", b"guests": b"5"}


def test_every_field_that_a_model_validator_changes_is_written(live: Store) -> None:
    class Total(BaseModel):
        a: int = 0
        b: int = 0
        total: int = 0

        @model_validator(mode="after")
        def sums(self) -> Self:
            self.total = self.a + self.b
            return self

    total = live.objects(Total).create(Total(a=1, b=2), id="1")
    total.a = 5
    assert live.raw.hgetall("Total:1") == {b"a": b"5", b"b": b"2", b"total": b"7"}


def test_a_conflict_is_raised_where_others_never_stop(live: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_turns, "CONFLICT_SECONDS", 0.0)
    live.objects(Range).create(Range(), id="1")
    ours = _writes.write(live.backend.objects(Range)._space, "1", {"lo": 4})
    with pytest.raises(Conflict) as caught:
        live.backend.run(held_up(ours, lambda: live.raw.hset("Range:1", "hi", "9")))
    assert caught.value.fields == ("hi",)
    assert live.raw.hgetall("Range:1") == {b"lo": b"0", b"hi": b"9"}


def test_frozen_fields_and_models_refuse_assignment_and_can_be_replaced(live: Store) -> None:
    class Frozen(BaseModel):
        model_config = ConfigDict(frozen=True)
        n: int = 0

    class Partly(BaseModel):
        n: int = Field(default=0, frozen=True)
        m: int = 0

    for model in (Frozen, Partly):
        objects = live.objects(model)
        made = objects.create(model(n=1), id="1")
        with live.counted() as trips, pytest.raises(ValidationError, match="frozen"):
            made.n = 2
        assert trips == [0]
        objects.put(model(n=3), id="1")
        assert (made.n, objects.get("1").n) == (3, 3)
        assert objects.delete("1")


# ---- nothing is sent by looking


def probe_ipython(live: Any) -> None:
    from IPython.core.formatters import DisplayFormatter
    from IPython.core.oinspect import find_file, find_source_lines, getdoc
    from IPython.lib.pretty import pretty

    shown, _ = DisplayFormatter().format(live)
    assert shown["text/plain"] == pretty(live) == repr(live)
    assert getdoc(live) == Plain.__doc__
    find_file(live)
    find_source_lines(live)


def probe_rich(live: Any) -> None:
    from rich.abc import RichRenderable
    from rich.protocol import is_renderable, rich_cast

    assert not is_renderable(live)
    assert not isinstance(live, RichRenderable)
    assert rich_cast(live) is live


def probe_completion(live: Any) -> None:
    from IPython.core.completer import dir2, rectify_completions  # noqa: F401  # what completion is made of

    assert {"name", "age", "tags", "model_dump"} <= set(dir2(live))


def probe_copies(live: Any) -> None:
    assert copy.copy(live) is live
    assert copy.deepcopy({"a": live})["a"] is live


def probe_unittest_mock(live: Any) -> None:
    from unittest.mock import create_autospec

    create_autospec(type(live))


def probe_inspect(live: Any) -> None:
    import inspect

    inspect.getattr_static(live, "age")
    inspect.iscoroutinefunction(live)
    inspect.isawaitable(live)
    inspect.isgenerator(live)
    inspect.isclass(live)
    inspect.isroutine(live)
    inspect.getdoc(live)
    inspect.signature(type(live))


def probe_has(live: Any) -> None:
    names = "nope _repr_html_ __array__ __len__ __html__ __rich__ _ipython_display_ __fspath__ __float__ shape dtype"
    for name in names.split():
        assert not hasattr(live, name)


def probe_names(live: Any) -> None:
    """Look up all that the model has and is no field."""
    for name in dir(live):
        if name not in type(live)._binding.space.schema.fields and name != "__dict__":
            getattr(live, name, None)


PROBES: dict[str, Callable[[Any], object]] = {
    "dir": dir,
    "repr": repr,
    "str": str,
    "format": format,
    "bool": bool,
    "hash": hash,
    "id": id,
    "type": type,
    "callable": callable,
    "isinstance": lambda live: (isinstance(live, Plain), isinstance(live, int), isinstance(live, Iterator)),
    "equality": lambda live: (live == live, live != 3, live is None, live in [1, live], live == Plain(name="x")),
    "hasattr": probe_has,
    "names": probe_names,
    "copy": probe_copies,
    "inspect": probe_inspect,
    "mock": probe_unittest_mock,
    "IPython": probe_ipython,
    "IPython completion": probe_completion,
    "rich": probe_rich,
    "validation": lambda live: TypeAdapter(list[Plain]).validate_python([live]),
}


def test_no_probe_sends_a_command(live: Store) -> None:
    assert live.server is not None
    made = live.objects(Plain).create(Plain(name="x"), id="1")
    sent = {}
    for name, probe in PROBES.items():
        with recorder(live.server) as seen, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that pydantic has deprecated
            probe(made)
        sent[name] = seen.commands
    assert sent == {name: [] for name in PROBES}


def test_what_displays_show_is_a_snapshot_in_one_round_trip(live: Store, plain: Plain) -> None:
    from rich.pretty import pretty_repr

    with live.counted() as trips:
        assert pretty_repr(plain) == "Plain(name='Ron', age=1, tags=['a'])"
    assert trips == [1]


def test_making_a_live_object_sends_nothing(live: Store) -> None:
    assert live.server is not None
    students = live.objects(Student)
    with recorder(live.server) as seen:
        for n in range(10):
            students[n]
    assert seen.commands == []


# ---- loops, threads, processes


async def _read_thrice(student: Any) -> None:
    for _ in range(2):
        student.age
    student.age


def test_blocking_inside_of_a_running_loop_warns_once_for_each_call_site(harry: Student) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        asyncio.run(_read_thrice(harry))
    first = _read_thrice.__code__.co_firstlineno
    assert [(each.category, each.filename, each.lineno) for each in caught] == [
        (RuntimeWarning, __file__, first + 2),
        (RuntimeWarning, __file__, first + 3),
    ]
    assert "connect_async" in str(caught[0].message)


def test_blocking_outside_of_a_loop_does_not_warn(harry: Student) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        harry.age
        asyncio.run(asyncio.to_thread(lambda: harry.age))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_live_object_works_after_a_fork_in_both_processes(live: Store, harry: Student) -> None:
    assert harry.age == 17
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            harry.age = 18
            os.write(writer, str(harry.age).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "18"
    os.waitpid(child, 0)
    assert harry.age == 18
    harry.age = 19
    assert stored(live, "age") == b"19"


def test_threads_share_a_backend_and_none_gets_another_s_reply(live: Store) -> None:
    plains = live.objects(Plain)
    wrong: list[object] = []

    def work(me: int) -> None:
        mine = plains.create(Plain(name=str(me)), id=me)
        for n in range(50):
            mine.age = n
            if (mine.name, mine.age) != (str(me), n):
                wrong.append((me, n))
                return

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert plains.count() == 8


def test_a_closed_backend_says_so(live: Store, harry: Student) -> None:
    backend = connect(live.server.url)  # type: ignore[union-attr]  # a real server
    student = backend.objects(Student)["1"]
    backend.close()
    with pytest.raises(ConnectionError, match="closed"):
        student.age


def test_a_live_object_keeps_its_backend(live: Store, harry: Student) -> None:
    assert live.server is not None
    with live.server.client() as client:
        student = RedisBackend(client=client).objects(Student)["1"]
        assert student.age == 17
