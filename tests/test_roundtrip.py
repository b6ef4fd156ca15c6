"""What cannot come back is refused when the model is bound: by name, with the field and the reason."""

from __future__ import annotations

import collections
import dataclasses
import enum
import re
import uuid
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import pytest
from pydantic import (
    Base64Bytes,
    BaseModel,
    Field,
    ImportString,
    Json,
    NameEmail,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    WrapSerializer,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
)

from distobjects import InvalidModel, RedisBackend, connect
from distobjects._compiler import compile_schema
from distobjects._roundtrip import is_exact, same


@pytest.fixture
def db() -> RedisBackend:
    """A store that is never reached: binding a model costs no I/O."""
    return connect("redis://127.0.0.1:1")


def refusal(db: RedisBackend, model: type[BaseModel], **options: Any) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        db.objects(model, **options)
    assert caught.value.model == model.__name__
    assert caught.value.reason in str(caught.value)
    return caught.value


class Text(RootModel[str]):
    pass


class Tuples(enum.Enum):
    ONE = (1, 2)


class Numbers(enum.Enum):
    ONE = 1
    ONE_AS_TEXT = "1"


class Nothing(enum.Enum):
    NOTHING = None
    SOMETHING = "something"


class WithSecret(BaseModel):
    password: SecretStr = SecretStr("")


class WithMaskedInt(BaseModel):
    pin: Secret[int]


class FieldSerializer(BaseModel):
    name: str

    @field_serializer("name")
    def shown(self, value: str) -> str:
        return "***"


class ModelSerializer(BaseModel):
    name: str

    @model_serializer
    def shown(self) -> str:
        return self.name


class AnnotatedSerializer(BaseModel):
    name: Annotated[str, PlainSerializer(str.upper)]


class Excluded(BaseModel):
    name: str
    hidden: int = Field(default=0, exclude=True)


@dataclasses.dataclass
class SecretPoint:
    secret: SecretStr


class One(BaseModel):
    x: int


class Other(BaseModel):
    x: int


class Wider(BaseModel):
    x: int
    y: int = 0


MASKED = "a secret inside of another type is stored masked"
SERIALIZED = "decides what would be stored"
ALIKE = "look the same when stored"
KEYED = "JSON has no key of type"
REFUSED: list[tuple[str, Any, str]] = [
    ("Pattern", re.Pattern, "must not be compiled or imported"),
    ("Pattern of text", re.Pattern[str], "must not be compiled or imported"),
    ("Pattern deeper", dict[str, re.Pattern[str] | None], "must not be compiled or imported"),
    ("ImportString", ImportString, "must not be compiled or imported"),
    ("ImportString of a type", ImportString[Any], "must not be compiled or imported"),
    ("ImportString deeper", list[ImportString[Any]], "must not be compiled or imported"),
    ("Callable", Callable[[], int], "a callable has no value"),
    ("generator", Iterable[int], "a generator has no value"),
    ("class", type[int], "a class has no value"),
    ("str | datetime", str | datetime, ALIKE),
    ("str | UUID", str | uuid.UUID | None, ALIKE),
    ("str | bytes", str | bytes, ALIKE),
    ("str | Path", str | Path, ALIKE),
    ("str | Decimal", str | Decimal, ALIKE),
    ("date | datetime", date | datetime, ALIKE),
    ("float | Decimal | str", float | Decimal | str, ALIKE),
    ("Enum | str", Literal["a"] | uuid.UUID, ALIKE),
    ("list | tuple", list[int] | tuple[int, ...], ALIKE),
    ("list | set", list[int] | set[int], ALIKE),
    ("dict | model", dict[str, int] | One, ALIKE),
    ("a union deeper", list[dict[str, str | datetime]], ALIKE),
    ("models of the same fields", One | Other, ALIKE),
    ("a model and a wider one", One | Wider, ALIKE),
    ("secret in a list", list[SecretStr], MASKED),
    ("secret in a dict", dict[str, SecretBytes], MASKED),
    ("secret in a union", SecretStr | int, MASKED),
    ("secret in a model", WithSecret, MASKED),
    ("secret in a model, deeper", list[WithSecret | None], MASKED),
    ("secret in a dataclass", SecretPoint, MASKED),
    ("Secret of an int", Secret[int], "stored masked"),
    ("Secret in a model", WithMaskedInt, "stored masked"),
    ("serializer of a nested field", FieldSerializer, SERIALIZED),
    ("serializer of a nested model", ModelSerializer, SERIALIZED),
    ("serializer in a nested annotation", AnnotatedSerializer, SERIALIZED),
    ("serializer within a list", list[Annotated[int, PlainSerializer(str)]], SERIALIZED),
    ("wrap serializer within a list", list[Annotated[int, WrapSerializer(lambda v, nxt: nxt(v))]], SERIALIZED),
    ("excluded nested field", Excluded, "'hidden' is excluded from dumps"),
    ("excluded nested field, deeper", dict[str, list[Excluded]], "'hidden' is excluded from dumps"),
    ("Json deeper", list[Json[int]], "decoded anew at each change"),
    ("Base64 deeper", dict[str, Base64Bytes], "decoded anew at each change"),
    ("tuple as a key", dict[tuple[int, int], int], KEYED),
    ("None as a key", dict[str | None, int], KEYED),
    ("None as a key of numbers", dict[int | None, int], KEYED),
    ("float as a key", dict[float, int], KEYED),
    ("bytes as a key", dict[bytes, int], KEYED),
    ("Path as a key", dict[Path, int], KEYED),
    ("union as a key", dict[int | str, int], KEYED),
    ("mixed Enum as a key", dict[Numbers, int], KEYED),
    ("Literal of numbers as a key", dict[Literal[1, 2], int], KEYED),
    ("Literal of bool as a key", dict[Literal[True], int], KEYED),
    ("a key deeper", list[dict[float, int]], KEYED),
    ("a key of a defaultdict", collections.defaultdict[float, int], KEYED),
    ("a key of a Counter", collections.Counter[float], KEYED),
    ("Literal of bytes", Literal[b"x"], r"its value b'x' would not come back"),
    ("Enum of tuples", Tuples, "its value <Tuples.ONE"),
    ("Enum with None, or None", Nothing | None, "its value <Nothing.NOTHING"),
]


@pytest.mark.parametrize(("annotation", "reason"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_a_type_that_does_not_come_back_is_refused_by_name(db: RedisBackend, annotation: Any, reason: str) -> None:
    model = create_model("Holder", fine=(int, 0), culprit=(annotation, ...))
    found = refusal(db, model)
    assert found.field == "culprit"
    assert "Holder.culprit cannot be stored" in str(found)
    assert re.search(reason, found.reason)


class Arbitrary:
    pass


def test_an_arbitrary_type_is_refused(db: RedisBackend) -> None:
    class Holder(BaseModel, arbitrary_types_allowed=True):
        culprit: Arbitrary

    found = refusal(db, Holder)
    assert found.field == "culprit"
    assert "no form in JSON" in found.reason


def test_self_is_refused_with_the_way_out(db: RedisBackend) -> None:
    class Holder(BaseModel):
        culprit: Self | None = None

    found = refusal(db, Holder)
    assert found.field == "culprit"
    assert "write the model's own name" in found.reason


def test_extra_fields_are_refused(db: RedisBackend) -> None:
    class Holder(BaseModel, extra="allow"):
        fine: int = 0

    assert "declare them" in refusal(db, Holder).reason


def test_a_root_model_is_refused_as_the_model(db: RedisBackend) -> None:
    assert "make it a field" in refusal(db, Text).reason


def test_a_model_of_nothing_but_an_identity_is_refused(db: RedisBackend) -> None:
    class Holder(BaseModel):
        id: int

    assert "no empty hash" in refusal(db, Holder).reason


def test_a_model_without_fields_is_refused(db: RedisBackend) -> None:
    class Holder(BaseModel):
        pass

    assert "no empty hash" in refusal(db, Holder).reason


@pytest.mark.parametrize("annotation", [float, bytes, list[int], bool, datetime, Text, One, Literal["a"], SecretStr])
def test_an_identity_of_another_type_is_refused(db: RedisBackend, annotation: Any) -> None:
    found = refusal(db, create_model("Holder", id=(annotation, ...), fine=(int, 0)))
    assert found.field == "id"
    assert "an identity is text, an int or a UUID" in found.reason


@pytest.mark.parametrize(
    "annotation",
    [str, int, uuid.UUID, str | None, Annotated[int, Field(ge=0)], Annotated[str, Field(max_length=3)]],
    ids=str,
)
def test_an_identity_of_text_numbers_and_uuids_is_taken(db: RedisBackend, annotation: Any) -> None:
    db.objects(create_model("Holder", id=(annotation, ...), fine=(int, 0)))


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    held: T


def test_a_generic_needs_a_name(db: RedisBackend) -> None:
    assert "pass name=" in refusal(db, Box[int]).reason
    db.objects(Box[int], name="IntBox")


@pytest.mark.parametrize(
    "name", ["a:b", "a{b", "a}b", "a*b", "a?b", "a[b", "a]b", "a^b", "a\\b", "a\nb", "", "~a", "\ud800"]
)
def test_a_name_that_breaks_the_key_grammar_is_refused(db: RedisBackend, name: str) -> None:
    assert "is no name for a space" in refusal(db, One, name=name).reason


def test_two_models_under_one_name_are_refused(db: RedisBackend) -> None:
    db.objects(One, name="shared")
    assert "stored as 'shared' here already" in refusal(db, Other, name="shared").reason


def test_the_same_model_is_bound_twice(db: RedisBackend) -> None:
    assert db.objects(One) is db.objects(One)


def test_a_name_that_is_not_defined_is_refused_and_may_come_later(db: RedisBackend) -> None:
    class Holder(BaseModel):
        later: Later | None = None

    assert "'Later', which is not defined" in refusal(db, Holder).reason

    class Later(BaseModel):
        x: int = 0

    Holder.model_rebuild(_types_namespace={"Later": Later})
    db.objects(Holder)


@pytest.mark.parametrize("model", [int, BaseModel, "One", None, list[int]])
def test_what_is_no_model_is_a_type_error(db: RedisBackend, model: Any) -> None:
    with pytest.raises(TypeError, match="a pydantic model class is needed"):
        db.objects(model)


# ---- what looks like it and is fine


class Account(BaseModel):
    """Serializers and exclude of the model itself shape what leaves, not what is stored."""

    name: Annotated[str, PlainSerializer(lambda value: "***")]
    hidden: int = Field(default=0, exclude=True)
    shown: int = 0
    nickname: Annotated[str, PlainSerializer(str.upper)] | None = None

    @field_serializer("shown")
    def blank(self, value: int) -> str:
        return "-"


class Whole(BaseModel):
    name: str

    @model_serializer
    def shown(self) -> str:
        return "whole"


def test_the_models_own_serializers_and_exclude_do_not_change_what_is_stored(url: str) -> None:
    with connect(url) as db:
        account = Account(name="x", hidden=5, shown=7, nickname="n")
        db.objects(Account).create(account, id="1")
        stored = {b"name": b"x", b"hidden": b"5", b"shown": b"7", b"nickname": b"n"}
        assert db.client.hgetall("Account:1") == stored
        assert same(db.objects(Account).get("1"), account)
        db.objects(Account)["1"].hidden = 6
        assert db.client.hget("Account:1", "hidden") == b"6"
        assert "hidden" not in db.objects(Account)["1"].model_dump()
        db.objects(Whole).create(Whole(name="x"), id="1")
        assert db.client.hgetall("Whole:1") == {b"name": b"x"}


NAMED: list[Any] = [NameEmail, NameEmail | None]


@pytest.mark.parametrize("annotation", NAMED, ids=str)
def test_a_type_with_a_union_of_its_own_is_one_type(annotation: Any) -> None:
    schema = compile_schema(create_model("Holder", value=(annotation, ...)))
    value = schema.check("value", "Ann <ann@example.com>")
    assert schema.encode("value", value) == b"Ann <ann@example.com>"
    assert schema.decode("1", "value", b"Ann <ann@example.com>") == value


class Plain(BaseModel):
    name: str


class Open(Plain, extra="allow"):
    pass


class Prepared(Plain):
    def model_post_init(self, context: object) -> None:
        self.name = self.name.strip()


class Judged(Plain):
    @field_validator("name")
    @classmethod
    def shout(cls, value: str) -> str:
        return value + "!"


class Odd(Plain):
    name: Any  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("model", "exact"), [(Plain, True), (Open, False), (Prepared, False), (Judged, False), (Odd, False)]
)
def test_only_plain_models_that_were_made_anew_need_no_check_of_their_bytes(model: type, exact: bool) -> None:
    schema: Any = TypeAdapter(list[model]).core_schema  # type: ignore[valid-type]
    assert not is_exact(schema)
    assert is_exact(schema, revalidated=True) is exact
