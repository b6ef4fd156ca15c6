"""The short ways give what the long ones give, or leave it to them."""

from __future__ import annotations

import gc
import os
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import TzInfo

from distobjects._compiler import compile_schema
from distobjects._numbers import Origin, mark
from distobjects._roundtrip import same
from distobjects._schema import Schema
from tests.test_codecs import TYPES, Colour, Home, Level, Mixed, Size, Unknown, model_of

REFUSED = object()


class Shouting(str):
    """Text that is written otherwise than it reads."""

    __slots__ = ()

    def encode(self, *settings: Any) -> bytes:
        return self.upper().encode()


class Count(int):
    pass


class Ratio(float):
    def __repr__(self) -> str:
        return "a ratio"


class Today(date):
    pass


LIMITED: dict[str, Any] = {
    "int with bounds": Annotated[int, Field(ge=0, lt=10)],
    "int with other bounds": Annotated[int, Field(gt=-3, le=2**70)],
    "int with a step": Annotated[int, Field(multiple_of=5)],
    "str with a length": Annotated[str, Field(min_length=1, max_length=4)],
    "str with a length or None": Annotated[str | None, Field(max_length=4)],
    "str with a pattern": Annotated[str, Field(pattern="^a")],
    "float with a bound": Annotated[float, Field(gt=0)],
    "finite float": Annotated[float, Field(allow_inf_nan=False)],
    "Decimal with digits": Annotated[Decimal, Field(max_digits=3, decimal_places=1)],
    "any Decimal": Annotated[Decimal, Field(allow_inf_nan=True)],
    "short list": Annotated[list[int], Field(max_length=2)],
    "datetime after": Annotated[datetime, Field(gt=datetime(2000, 1, 1, tzinfo=UTC))],
    "date before": Annotated[date, Field(lt=date(2000, 1, 1))],
    "strict int": Annotated[int, Field(strict=True)],
    "strict datetime": Annotated[datetime, Field(strict=True)],
    "strict str or None": Annotated[str | None, Field(strict=True)],
    "enum or None": Mixed | None,
    "enum with a null": Unknown,
    "one of two": Literal["null", "a"] | None,
    "UUID": UUID,
    "UUID or None": UUID | None,
    "bool or None": bool | None,
    "datetime or None": datetime | None,
    "timedelta or None": timedelta | None,
    "bytes or None": bytes | None,
    "model": Home | None,
    "int or str": int | str,
    "str or int": str | int,
    "bool or int or str": bool | int | str,
    "bool or str": bool | str,
    "int or str or None": int | str | None,
    "int or str, the first that fits": Annotated[int | str, Field(union_mode="left_to_right")],
    "small int or str": Annotated[int, Field(lt=3)] | str,
    "int or float": int | float,
}
CONFIGURED: dict[str, ConfigDict] = {
    "strict": ConfigDict(strict=True),
    "stripped": ConfigDict(str_strip_whitespace=True),
    "lowered": ConfigDict(str_to_lower=True),
    "short": ConfigDict(str_max_length=2),
    "finite": ConfigDict(allow_inf_nan=False),
    "spelled": ConfigDict(coerce_numbers_to_str=True),
    "valued": ConfigDict(use_enum_values=True),
    "in numbers": ConfigDict(ser_json_timedelta="float"),
}
PLAIN: dict[str, Any] = {
    each.__name__: each for each in (str, int, float, bool, bytes, Decimal, datetime, date, timedelta, Colour, Level)
}

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, 5, -1, 2**63, -(2**63) - 1, 2**70, 10**5000, Count(3), mark(3, Origin(None, "x"))),
    *(0.0, -0.0, 1.0, 2.5, 1e300, float("inf"), float("nan"), Ratio(0.5), mark(2.5, Origin(None, "x"))),
    *(Decimal("1"), Decimal("1E+5"), Decimal("-0.0"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
    *(
        "",
        "a",
        "null",
        "\\",
        "\\null",
        " a ",
        "A",
        "abcde",
        "1",
        "true",
        "\ud800",
        "ü\x00",
        Shouting("abc"),
        "b" * 5000,
    ),
    *(b"", b"a", b"null", b"\\x", b"\xff", bytearray(b"a")),
    *(*Colour, *Level, *Size, *Mixed, *Unknown),
    *(date(1, 1, 1), date(2026, 2, 3), Today(2026, 2, 3), time(1, 2), timedelta(-1), timedelta(days=3, microseconds=7)),
    *(datetime(1, 1, 1), datetime(2026, 2, 3, 4, 5, 6, 7, UTC), datetime(2026, 2, 3, tzinfo=TzInfo(3600))),
    *(
        datetime(2026, 2, 3, tzinfo=timezone(timedelta(seconds=30))),
        datetime(2026, 8, 3, tzinfo=ZoneInfo("Europe/Rome")),
    ),
    *(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Rome"), fold=1), "2026-02-03T04:05:06Z", "P1D", 86400),
    *(
        UUID(int=7),
        str(UUID(int=7)),
        UUID(int=7).bytes,
        [],
        [1, 2, 3],
        ["1"],
        [None],
        (1,),
        {1, 2},
        {"a": 1},
        {"\ud800": 1},
    ),
    *(["3" * 5000], [10**5000], {"a\ufffd": 1}, Home(Street="x"), {"street": "x"}, {"Street": "x"}, object()),
]
ODD_BYTES: list[bytes] = [
    *(b"", b" ", b"null", b"\\", b"\\null", b"\\\\", b"\\x", b"\xff", b'"a"', b"a", b"[]", b"[1]", b"{}", b'{"a":1}'),
    *(b"1", b"01", b" 1", b"1 ", b"+1", b"-1", b"1_0", b"1.0", b"1.5", b"1e3", b"9" * 4400, b"12", b"\xd9\xa1"),
    *(b"true", b"True", b"false ", b"inf", b"-inf", b"nan", b"NaN", b"Infinity", b"-0.0", b"sNaN", b"red", b"low"),
    *(b"2026-02-03", b"2026-02-03T04:05:06Z", b"2026-02-03 04:05", b"2026-02-03T04:05:06.1234567+01:00", b"1700000000"),
    *(b"P1D", b"PT3S", b"-P1DT2H", b"1 00:00:00", b"00:00:07", b"3.5", UUID(int=7).bytes, str(UUID(int=7)).encode()),
]


def schema_of(annotation: Any, **config: Any) -> Schema:
    return compile_schema(model_of(annotation, **config))


def result(step: Any, *given: Any) -> Any:
    try:
        return step(*given)
    except BaseException:  # noqa: BLE001  # any of them refuses; pydantic 2.11 panics at an int that no complex holds
        return REFUSED


def encoded_the_long_way(schema: Schema, value: BaseModel) -> list[bytes | None]:
    return [*schema.encode_all(schema.check_instance(value)).values()]


def agree(schema: Schema, value: Any) -> None:
    """Take any value through the short way, and through all that is done for an instance that holds it."""
    short = result(schema.fields["value"].codec.dump, value)
    assert short is REFUSED or [short] == result(
        encoded_the_long_way, schema, schema.model.model_construct(value=value)
    ), value


def agree_on_bytes(schema: Schema, raw: bytes) -> None:
    codec = schema.fields["value"].codec
    short = result(codec.load, raw)
    assert short is REFUSED or same(short, result(codec.decode, raw)), raw


def agree_on_columns(schema: Schema, values: list[Any], raws: list[bytes]) -> None:
    """Take a field of many objects through the short ways, and each value by itself."""
    codec = schema.fields["value"].codec
    dumped = result(codec.dump_all, values)
    assert dumped is REFUSED or [*dumped] == [result(codec.dump, each) for each in values]
    loaded = result(codec.load_all, raws)
    assert loaded is REFUSED or same([*loaded], [result(codec.load, each) for each in raws])


@pytest.mark.parametrize("annotation", LIMITED.values(), ids=LIMITED)
def test_constraints_hold_on_the_short_ways(annotation: Any) -> None:
    schema = schema_of(annotation)
    for value in ODD_VALUES:
        agree(schema, value)
    for raw in ODD_BYTES:
        agree_on_bytes(schema, raw)


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("config", CONFIGURED)
def test_the_configuration_holds_on_the_short_ways(kind: str, config: str) -> None:
    for annotation in (PLAIN[kind], PLAIN[kind] | None, list[PLAIN[kind]]):  # type: ignore[name-defined]  # data here
        schema = schema_of(annotation, **CONFIGURED[config])
        for value in ODD_VALUES:
            agree(schema, value)
            agree(schema, [value])
        for raw in ODD_BYTES:
            agree_on_bytes(schema, raw)


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_dumped_and_loaded_as_by_the_long_ways(name: str) -> None:
    annotation, strategy = TYPES[name]
    model = model_of(annotation)
    schema = compile_schema(model)
    for value in ODD_VALUES:
        agree(schema, value)
    for raw in ODD_BYTES:
        agree_on_bytes(schema, raw)

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy, st.binary(max_size=12), st.integers(0, 40))
    def check(given_value: Any, junk: bytes, at: int) -> None:
        value = model(value=given_value).value  # type: ignore[attr-defined]  # made at run time
        raw = schema.fields["value"].codec.dump(value)
        assert [raw] == encoded_the_long_way(schema, model(value=given_value))
        agree_on_bytes(schema, raw)
        agree_on_bytes(schema, raw[:at] + junk + raw[at + 1 :])
        agree_on_bytes(schema, junk)

    check()


COLUMNS: dict[str, Any] = {**PLAIN, **LIMITED, "float or None": float | None, "int or None": int | None}


@pytest.mark.parametrize("annotation", COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_dumped_and_loaded_as_its_values_are(annotation: Any) -> None:
    schema = schema_of(annotation)
    numbers = st.integers(-3, 12) | st.sampled_from([2**63 - 1, 2**63, -(2**63), True, Count(3), 1.5, None])
    pieces = st.integers(-3, 12).map(str) | st.sampled_from(
        ["", "null", "1.5", "[1", "2]", '"a', 'b"', "\n", ",", "1,2"]
    )
    raw = st.lists(pieces, min_size=1, max_size=2).map(lambda each: "".join(each).encode())

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.integers(-3, 12), max_size=4) | st.lists(numbers | st.sampled_from(ODD_VALUES), max_size=4),
        st.lists(pieces.map(str.encode), max_size=4) | st.lists(raw | st.sampled_from(ODD_BYTES), max_size=4),
    )
    def check(values: list[Any], raws: list[bytes]) -> None:
        agree_on_columns(schema, values, raws)

    check()


@pytest.mark.parametrize("raws", [[b"1,2"], [b"1", b"2,3"], [b"1", b""], [b"1", b"null"], [b"[1", b"2]"], [b"1", b"x"]])
@pytest.mark.parametrize("annotation", [int, float])
def test_a_column_with_something_else_than_numbers_is_refused(annotation: Any, raws: list[bytes]) -> None:
    assert result(schema_of(annotation).fields["value"].codec.load_all, raws) is REFUSED


@pytest.mark.parametrize(
    ("annotation", "values", "raws"),
    [
        (int, [1, 2**63 - 1, -(2**63)], [b"1", b"9223372036854775807", b"-9223372036854775808"]),
        (int, [1, True], None),
        (Annotated[int, Field(strict=True)], [1, True], None),
        (Annotated[int, Field(strict=True)], [1, Count(3)], None),
        (int, [2**63, 10**30], [b"9223372036854775808", b"1" + b"0" * 30]),
        (Annotated[int, Field(ge=0)], [1, -1], None),
        (Annotated[int, Field(lt=3)], [1, 3], None),
        (int | str, [1, "a", "1", 10**30], [b"1", b'"a"', b'"1"', b"1" + b"0" * 30]),
        (int | str, ["\ud800"], None),
    ],
)
def test_columns_of_plain_values(annotation: Any, values: list[Any], raws: list[bytes] | None) -> None:
    schema = schema_of(annotation)
    agree_on_columns(schema, values, raws or [])
    if raws is not None:
        codec = schema.fields["value"].codec
        assert [*codec.dump_all(values)] == raws
        assert same([*codec.load_all(raws)], values)


@pytest.mark.parametrize("annotation", [str, int, bool, datetime, Decimal, Colour, list[str], str | None, bytes | None])
def test_what_is_absent_is_never_loaded(annotation: Any) -> None:
    assert result(schema_of(annotation).fields["value"].codec.load, None) is REFUSED


# ---- whole instances


class Stamped(BaseModel):
    """A model of all kinds of plain fields."""

    id: int | None = None
    name: str
    age: int = Field(default=0, ge=0)
    seen: datetime | None = None
    tags: list[str] = []
    _seen: int = PrivateAttr(default=3)


class Cold(BaseModel, frozen=True):
    name: str
    age: int = 0


class Totalled(BaseModel):
    low: int = 0
    total: int = 0

    def model_post_init(self, context: Any) -> None:
        self.total = self.low + 1


class Doubled(BaseModel):
    low: int = 0

    def __init__(self, low: int) -> None:
        super().__init__(low=2 * low)


class Even(BaseModel):
    low: int = 0

    @field_validator("low")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value


class EvenId(BaseModel):
    id: int
    low: int = 0

    @field_validator("id")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value


class Ordered(BaseModel):
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.mark.parametrize(
    "value",
    [
        Stamped(name="a", seen=datetime.now(UTC)),
        Stamped.model_construct(id=1, name="a", age="7"),
        Cold(name="a"),
        Totalled(low=4).model_copy(update={"total": 9}),
        Doubled(2),
        Even(low=2),
        Ordered(low=2),
    ],
)
def test_an_instance_is_encoded_as_it_is_checked(value: BaseModel) -> None:
    schema = compile_schema(type(value))
    assert schema.encode_instance(value) == encoded_the_long_way(schema, value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Stamped.model_construct(name=3), "name"),
        (Stamped.model_construct(name="a", age=-1), "age"),
        (Stamped.model_construct(name="a", tags=["a", 1]), "tags"),
        (Stamped.model_construct(name="a", id="x"), "id"),
        (Stamped.model_construct(age=1), "name"),
        (Cold.model_construct(name="a", age="x"), "age"),
        (Even.model_construct(low=3), "low"),
        (EvenId.model_construct(id=3), "id"),
        (Ordered.model_construct(low=30), None),
    ],
)
def test_an_instance_that_was_made_past_validation_is_refused(value: BaseModel, place: str | None) -> None:
    schema = compile_schema(type(value))
    with pytest.raises(ValidationError) as caught:
        schema.encode_instance(value)
    assert [each["loc"][:1] for each in caught.value.errors()] == [(place,) if place else ()]


def test_all_that_is_wrong_with_an_instance_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        compile_schema(Stamped).encode_instance(Stamped.model_construct(name=3, age=-1))
    assert [each["loc"] for each in caught.value.errors()] == [("name",), ("age",)]


@pytest.mark.parametrize("model", [Stamped, Cold])
def test_a_plain_model_takes_the_short_way(model: type[BaseModel]) -> None:
    assert compile_schema(model).rows.dumps is not None


@pytest.mark.parametrize("model", [Totalled, Doubled, Even, EvenId, Ordered])
def test_a_model_that_does_more_takes_the_long_way(model: type[BaseModel]) -> None:
    assert compile_schema(model).rows.dumps is None


class Posted(BaseModel):
    """It does something with each instance, and carries its id."""

    id: int
    n: int
    tags: list[str] = []
    _times: int = PrivateAttr(default=0)

    def model_post_init(self, context: Any, /) -> None:
        self._times += 1


def test_a_whole_object_is_loaded_as_it_is_decoded() -> None:
    schema = compile_schema(Stamped)
    raws = schema.encode_instance(Stamped(name="a", seen=datetime.now(UTC), tags=["x"]))
    values = schema.load("1", raws)
    assert values == schema.decode_all("1", dict(zip(schema.fields, raws, strict=True)))
    assert [*(values or ())] == ["id", "name", "age", "seen", "tags"]


@pytest.mark.parametrize("raws", [[None, b"1", b"null", b"[]"], [b"a", b"x", b"null", b"[]"], [b"a"], []])
def test_what_is_not_plainly_there_is_left_to_the_long_way(raws: list[bytes | None]) -> None:
    assert compile_schema(Stamped).load("1", raws) is None


@pytest.mark.parametrize("annotation", [datetime | None, date | None, timedelta | None, str | None, int | None])
def test_an_absent_field_is_not_none(annotation: Any) -> None:
    rows = compile_schema(model_of(annotation)).rows
    assert rows.load("1", [None]) is None
    assert rows.load_all(["1"], [[None]]) is None
    assert rows.load("1", [b"null"]) == {"value": None}


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_rests_while_many_are_loaded_and_is_as_before_then(on: bool) -> None:
    seen: list[bool] = []

    class Seen(BaseModel):
        n: int

        def model_post_init(self, context: Any, /) -> None:
            seen.append(gc.isenabled())
            if self.n < 0:
                raise KeyError(self.n)

    rows, before = compile_schema(Seen).rows, gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        [made] = cast(Any, rows.load_all(["1"], [(b"7",)]))
        assert (made.n, seen, gc.isenabled()) == (7, [False], on)
        assert rows.load_all(["1"], [(b"no number",)]) is None
        assert gc.isenabled() is on
        with pytest.raises(KeyError):
            rows.load_all(["1"], [(b"-1",)])
    finally:
        after = gc.isenabled()
        (gc.enable if before else gc.disable)()
    assert after is on


def test_the_garbage_collector_stays_on_where_another_thread_has_turned_it_on_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def off_until_then() -> bool:
        gc.enable()
        return False

    before, rows = gc.isenabled(), compile_schema(Posted).rows
    with monkeypatch.context() as patched:
        patched.setattr(gc, "isenabled", off_until_then)
        rows.load_all(["7"], [[b"1", b"[]"]])
    after = gc.isenabled()
    (gc.enable if before else gc.disable)()
    assert after


def test_a_child_that_is_forked_while_many_are_loaded_has_its_garbage_collected() -> None:
    children: list[int] = []

    class Forking(BaseModel):
        n: int

        def model_post_init(self, context: Any, /) -> None:
            if not (child := os.fork()):
                os._exit(0 if gc.isenabled() else 1)
            children.append(child)

    before, rows = gc.isenabled(), compile_schema(Forking).rows
    gc.enable()
    rows.load_all(["1"], [[b"1"]])
    (gc.enable if before else gc.disable)()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0]


def test_many_are_loaded_as_one_is() -> None:
    rows, value = compile_schema(Posted).rows, Posted(id=7, n=1)
    row = compile_schema(Posted).encode_instance(value)
    [one, other] = cast(Any, rows.load_all(["7", "8"], [row, row]))
    assert one == value == rows.snapshot(cast(Any, rows.load("7", row)))
    assert [*vars(one)] == [*vars(rows.snapshot(cast(Any, rows.load("7", row))))] == ["id", "n", "tags"]
    assert (other.id, one.model_fields_set, one.tags, one._times) == (8, {"id", "n", "tags"}, [], 1)
    one.model_fields_set.add("x")
    one.tags.append("x")
    assert (other.model_fields_set, other.tags) == ({"id", "n", "tags"}, [])
    assert rows.load_all(["7"], [row[:-1]]) is None
