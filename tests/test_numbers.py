"""A number of a live object: plain to everybody, and added up where it lives."""

from __future__ import annotations

import copy
import json
import math
import numbers
import operator
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from distobjects import CorruptData, DObject, F, FieldUnset, NotFound
from distobjects.fields import FloatField, IntegerField
from tests.fix_servers import Server, recorder
from tests.fix_stores import Store, connected


def even(value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value


class Stock(BaseModel):
    count: int = 0
    left: int = Field(default=10, ge=0, le=10000)
    price: float = 0.0
    cost: Decimal = Decimal(0)
    note: str = ""


class Limits(BaseModel):
    ge: int = Field(default=5, ge=5)
    gt: int = Field(default=6, gt=5)
    le: int = Field(default=5, le=5)
    lt: int = Field(default=4, lt=5)
    low: float = Field(default=5.0, ge=5)
    money: Decimal = Field(default=Decimal(5), ge=5)


class Special(BaseModel):
    """Numbers that no script can judge."""

    tens: int = Field(default=0, multiple_of=10)
    evens: Annotated[int, AfterValidator(even)] = 0
    maybe: int | None = None
    share: float = Field(default=0.0, ge=0, le=1)


class Span(BaseModel):
    """A cross-field model."""

    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Defaults(BaseModel):
    first: int = 2
    made: int = Field(default_factory=lambda: 7, ge=0)
    derived: int = Field(default_factory=lambda data: data["first"] * 10)
    price: float = 0.5
    needed: int
    empty: int | None = None


@pytest.fixture
def stock(live: Store) -> Any:
    """A live object that is stored."""
    return live.objects(Stock).create(Stock(count=5, price=1.5, cost=Decimal("2.50")), id="1")


def stored(live: Store, key: str, field: str) -> Any:
    return live.raw.hget(key, field)


# ---- in place


def test_adding_in_place_is_a_read_and_one_script(live: Store, stock: Any) -> None:
    assert live.server is not None
    stock.count += 1  # the server knows the script from here on
    with recorder(live.server) as seen:
        stock.count += 1
        stock.left -= 3
        stock.price += 0.25
    assert seen.commands == ["HGET", "EVALSHA"] * 3
    assert (stock.count, stock.left, stock.price) == (7, 7, 1.75)


@pytest.mark.parametrize(
    ("field", "by", "total"), [("count", 3, 103), ("price", 0.5, 100.5), ("cost", 2, Decimal(102))]
)
def test_an_update_of_somebody_else_between_read_and_write_is_not_lost(
    live: Store, stock: Any, field: str, by: Any, total: Any
) -> None:
    seen = getattr(stock, field)
    live.objects(Stock).update("1", {field: 100})
    seen += by
    setattr(stock, field, seen)
    assert getattr(stock, field) == total


@pytest.mark.parametrize(
    ("operation", "operand"),
    [
        (operator.iadd, 3),
        (operator.isub, 3),
        (operator.imul, 3),
        (operator.ifloordiv, 3),
        (operator.imod, 7),
        (operator.ipow, 2),
        (operator.ilshift, 2),
        (operator.irshift, 1),
        (operator.ior, 1),
        (operator.iand, 6),
        (operator.ixor, 5),
        (operator.itruediv, 2),
        (operator.iadd, True),
        (operator.iadd, 2.0),
        (operator.iadd, Decimal(4)),
    ],
)
def test_every_operator_in_place_is_replayed_on_what_is_stored_by_then(
    live: Store, stock: Any, operation: Callable[[Any, Any], Any], operand: Any
) -> None:
    seen = stock.count
    live.objects(Stock).update("1", {"count": 100})
    stock.count = operation(seen, operand)
    assert stock.count == operation(100, operand)


@pytest.mark.parametrize(
    ("field", "operation", "operand", "total"),
    [
        ("price", operator.imul, 2, 200.0),
        ("price", operator.itruediv, 8, 12.5),
        ("price", operator.ipow, 2, 10000.0),
        ("cost", operator.isub, Decimal("0.10"), Decimal("99.90")),
        ("cost", operator.imul, 3, Decimal(300)),
    ],
)
def test_so_are_those_of_floats_and_decimals(
    live: Store, stock: Any, field: str, operation: Callable[[Any, Any], Any], operand: Any, total: Any
) -> None:
    seen = getattr(stock, field)
    live.objects(Stock).update("1", {field: 100})
    setattr(stock, field, operation(seen, operand))
    assert getattr(stock, field) == total


def test_several_steps_on_one_number_are_all_replayed(live: Store, stock: Any) -> None:
    number, product = stock.count, stock.count
    number += 3
    number -= 1
    live.objects(Stock).update("1", {"count": 100})
    stock.count = number
    assert stock.count == 102
    product += 1
    product *= 2
    stock.count = product
    assert stock.count == 206


def test_a_number_replays_its_steps_once_and_is_a_value_from_then_on(live: Store, stock: Any) -> None:
    number = stock.count
    number += 1
    stock.count = number
    live.objects(Stock).update("1", {"count": 100})
    stock.count = number
    assert stock.count == 6


def test_the_result_of_an_expression_is_a_plain_value(live: Store, stock: Any) -> None:
    number = stock.count
    live.objects(Stock).update("1", {"count": 100})
    stock.count = number + 1
    assert stock.count == 6


def test_a_number_without_steps_is_a_plain_value(live: Store, stock: Any) -> None:
    number = stock.count
    live.objects(Stock).update("1", {"count": 100})
    stock.count = number
    assert stock.count == 5


def test_a_number_that_goes_to_another_field_or_object_is_a_plain_value(live: Store, stock: Any) -> None:
    other = live.objects(Stock).create(Stock(count=50, left=50), id="2")
    number, again = stock.count, stock.count
    number += 1
    again += 2
    stock.left, other.count = number, again
    assert (stock.count, stock.left, other.count) == (5, 6, 7)


def test_a_number_goes_back_through_any_live_object_of_the_same_id(live: Store, stock: Any) -> None:
    number = stock.count
    number += 1
    live.objects(Stock).update("1", {"count": 100})
    live.objects(Stock)["1"].count = number
    assert stock.count == 101


def test_numbers_of_live_objects_may_be_added(stock: Any) -> None:
    stock.count += stock.left
    stock.price += stock.price
    assert (stock.count, stock.price) == (15, 3.0)


def test_a_read_in_a_loop_gives_the_sum(stock: Any) -> None:
    for _ in range(20):
        stock.count += 1
        stock.cost += Decimal("0.01")
    assert (stock.count, stock.cost) == (25, Decimal("2.70"))


class Float64(float):
    """As numpy's: adding it to a float gives another of its kind."""

    def __radd__(self, other: float) -> Float64:
        return Float64(float(self) + other)


class Int64:
    """As numpy's: an integer, and no int."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __int__(self) -> int:
        return self.value

    def __radd__(self, other: int) -> Int64:
        return Int64(self.value + other)


numbers.Integral.register(Int64)


@pytest.mark.parametrize(("field", "by", "total"), [("count", Int64(3), 103), ("price", Float64(0.5), 100.5)])
def test_numbers_of_other_libraries_are_added_as_python_s_own(
    live: Store, stock: Any, field: str, by: Any, total: Any
) -> None:
    seen = getattr(stock, field)
    live.objects(Stock).update("1", {field: 100})
    seen += by
    setattr(stock, field, seen)
    assert getattr(stock, field) == total


def test_a_sum_that_is_no_int_any_more_is_refused(live: Store, stock: Any) -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        stock.count += 0.5
    assert stored(live, "Stock:1", "count") == b"5"


def test_adding_what_cannot_be_added_is_python_s_own_error(live: Store, stock: Any) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        stock.count += "1"
    with pytest.raises(TypeError, match="unsupported operand"):
        stock.price += Decimal(1)
    with pytest.raises(ZeroDivisionError):
        stock.count //= 0
    assert stock.count == 5


# ---- what a number is to everyone else


def test_a_number_is_a_number_to_everyone_else(stock: Any) -> None:
    assert (stock.count, stock.price, stock.cost) == (5, 1.5, Decimal("2.50"))
    assert isinstance(stock.count, int)
    assert isinstance(stock.price, float)
    assert isinstance(stock.cost, Decimal)
    assert (stock.count.__class__, stock.price.__class__, stock.cost.__class__) == (int, float, Decimal)
    assert (repr(stock.count), f"{stock.price:.2f}", str(stock.cost)) == ("5", "1.50", "2.50")
    assert {stock.count: "five"} == {5: "five"}
    assert [0] * stock.count == [0] * 5
    assert math.sqrt(stock.price) == math.sqrt(1.5)
    assert range(10)[stock.count] == 5


def test_its_type_is_a_subclass_which_arithmetic_leaves(stock: Any) -> None:
    assert type(stock.count) is not int
    assert [type(stock.count + 1), type(-stock.count), type(abs(stock.price)), type(stock.cost * 2)] == [
        int,
        int,
        float,
        Decimal,
    ]


@pytest.mark.parametrize("field", ["count", "price", "cost"])
def test_it_is_pickled_and_copied_as_a_plain_number(stock: Any, field: str) -> None:
    number = getattr(stock, field)
    again = [pickle.loads(pickle.dumps(number, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for made in [*again, copy.copy(number), copy.deepcopy(number), *copy.deepcopy([number])]:
        assert made == number
        assert type(made) in (int, float, Decimal)


def test_json_and_strict_pydantic_take_it(stock: Any) -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)

        count: int
        price: float
        cost: Decimal

    made = Strict(count=stock.count, price=stock.price, cost=stock.cost)
    assert made.model_dump_json() == '{"count":5,"price":1.5,"cost":"2.50"}'
    assert json.dumps([stock.count, stock.price]) == "[5, 1.5]"
    assert TypeAdapter(int).validate_python(stock.count, strict=True) == 5


def test_truth_is_no_number(live: Store) -> None:
    class Switch(BaseModel):
        on: bool = False

    switch = live.objects(Switch).create(Switch(), id="1")
    switch.on = not switch.on
    assert switch.on is True


# ---- constraints


@pytest.mark.parametrize(
    ("field", "by", "kind"),
    [
        ("ge", -1, "greater_than_equal"),
        ("gt", -1, "greater_than"),
        ("le", 1, "less_than_equal"),
        ("lt", 1, "less_than"),
        ("low", -0.5, "greater_than_equal"),
        ("money", Decimal(-1), "greater_than_equal"),
    ],
)
def test_a_bound_refuses_the_sum_where_the_value_lives(live: Store, field: str, by: Any, kind: str) -> None:
    limits = live.objects(Limits).create(Limits(), id="1")
    before = live.raw.hgetall("Limits:1")
    with pytest.raises(ValidationError) as failure:
        setattr(limits, field, operator.iadd(getattr(limits, field), by))
    [error] = failure.value.errors()
    assert (error["type"], error["loc"]) == (kind, (field,))
    assert live.raw.hgetall("Limits:1") == before


@pytest.mark.parametrize(
    ("field", "by"), [("ge", -1), ("gt", -1), ("le", 1), ("lt", 1), ("low", -1.0), ("money", Decimal(-1))]
)
def test_a_sum_that_reaches_its_bound_is_stored(live: Store, field: str, by: Any) -> None:
    objects = live.objects(Limits)
    limits = objects.create(Limits(), id="1")
    before = getattr(limits, field)
    objects.update("1", {field: before - by})
    setattr(limits, field, operator.iadd(getattr(limits, field), by))
    assert getattr(limits, field) == before


def test_a_bound_judges_what_is_stored_and_not_what_was_read(live: Store, stock: Any) -> None:
    seen = stock.left
    seen -= 8
    live.objects(Stock).update("1", {"left": 3})
    with pytest.raises(ValidationError):
        stock.left = seen
    assert stock.left == 3
    seen = stock.left
    seen -= 8
    live.objects(Stock).update("1", {"left": 30})
    stock.left = seen
    assert stock.left == 22


@pytest.mark.parametrize(
    ("field", "value", "by", "refused"),
    [("tens", 20, 10, 5), ("evens", 4, 2, 1), ("maybe", 5, 1, 0.5), ("share", 0.25, 0.5, 1)],
)
def test_what_no_script_can_judge_is_replayed_and_judged_by_the_model(
    live: Store, field: str, value: Any, by: Any, refused: Any
) -> None:
    objects = live.objects(Special)
    special = objects.create(Special(maybe=1), id="1")
    seen = getattr(special, field)
    objects.update("1", {field: value})
    seen += by
    setattr(special, field, seen)
    assert getattr(special, field) == value + by
    before = live.raw.hgetall("Special:1")
    with pytest.raises(ValidationError):
        setattr(special, field, operator.iadd(getattr(special, field), refused))
    assert live.raw.hgetall("Special:1") == before


def test_a_rule_across_fields_judges_the_sum(live: Store) -> None:
    objects = live.objects(Span)
    span = objects.create(Span(), id="1")
    seen = span.low
    seen += 5
    objects.update("1", {"low": 3, "high": 8})
    span.low = seen
    assert objects.get("1") == Span(low=8, high=8)
    with pytest.raises(ValidationError, match="low is above high"):
        span.low += 1
    assert objects.get("1") == Span(low=8, high=8)


def test_an_optional_number_that_somebody_emptied_cannot_be_added_to(live: Store) -> None:
    objects = live.objects(Special)
    special = objects.create(Special(maybe=1), id="1")
    seen = special.maybe
    seen += 1
    objects.update("1", {"maybe": None})
    with pytest.raises(TypeError, match="NoneType"):
        special.maybe = seen
    assert stored(live, "Special:1", "maybe") == b"null"


# ---- what is absent


@pytest.fixture
def defaults(live: Store) -> Any:
    """A live object of whose fields only one is stored."""
    made = live.objects(Defaults).create(Defaults(needed=1), id="1")
    live.raw.hdel("Defaults:1", "made", "derived", "price", "needed")
    return made


@pytest.mark.parametrize(
    ("field", "by", "total", "refused"),
    [("made", 3, 10, -8), ("derived", 1, 21, None), ("price", 0.25, 0.75, None)],
)
def test_an_absent_number_begins_with_its_default(
    live: Store, defaults: Any, field: str, by: Any, total: Any, refused: Any
) -> None:
    if refused is not None:
        with pytest.raises(ValidationError):
            setattr(defaults, field, operator.iadd(getattr(defaults, field), refused))
        assert stored(live, "Defaults:1", field) is None
    live.objects(Defaults).update("1", {"needed": 3})  # a factory that takes the data reads the whole object
    setattr(defaults, field, operator.iadd(getattr(defaults, field), by))
    assert float(stored(live, "Defaults:1", field)) == total


def test_a_default_made_from_the_data_is_made_from_what_is_stored_by_then(live: Store, defaults: Any) -> None:
    live.objects(Defaults).update("1", {"needed": 3})
    seen = defaults.derived
    live.raw.hset("Defaults:1", "first", 5)
    seen += 1
    defaults.derived = seen
    assert defaults.derived == 51


def test_an_absent_number_without_a_default_is_unset(live: Store, defaults: Any) -> None:
    with pytest.raises(FieldUnset, match="'needed'"):
        defaults.needed += 1
    with pytest.raises(FieldUnset, match="'needed'"):
        live.objects(Defaults).field("1", F(Defaults).needed).increment()
    assert stored(live, "Defaults:1", "needed") is None


def test_none_cannot_be_added_to(defaults: Any) -> None:
    with pytest.raises(TypeError, match="NoneType"):
        defaults.empty += 1


def test_an_object_that_is_deleted_meanwhile_is_not_brought_back(live: Store, stock: Any) -> None:
    for field, by in (("count", 1), ("price", 0.5), ("cost", Decimal(1)), ("count", 10**20)):
        seen = getattr(stock, field)
        value = live.objects(Stock).get("1")
        live.objects(Stock).delete("1")
        seen += by
        with pytest.raises(NotFound):
            setattr(stock, field, seen)
        assert live.raw.keys() == []
        live.objects(Stock).put(value, id="1")


# ---- large, small and foreign

EDGES = [1, 10**14, 10**15 - 1, 10**15, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30]


@pytest.mark.parametrize("value", [0, *EDGES, *(-each for each in EDGES)])
def test_ints_of_any_size_are_added_exactly(live: Store, value: int) -> None:
    class Counter(BaseModel):
        free: int = 0
        bound: int = Field(default=0, ge=-(2**52), le=2**52)

    counter = live.objects(Counter).create(Counter(), id="1")
    for by in (1, -1, 2**53, -(2**53), 2**63, 10**30):
        counter.free = value
        counter.free += by
        assert stored(live, "Counter:1", "free") == str(value + by).encode()
        if abs(value) <= 2**52 < abs(value + by):
            counter.bound = value
            with pytest.raises(ValidationError):
                counter.bound += by
            assert counter.bound == value


FLOATS = [0.0, -0.0, 1.0, 0.1, -0.3, 1e-20, 5e-324, 1.5e-7, 123456789.125, 2.0**53, 1e22, 1e300, -1.7e308, math.pi]


@pytest.mark.parametrize("value", [*FLOATS, math.inf, math.nan], ids=repr)
def test_floats_are_added_as_python_does_but_for_the_last_bit(live: Store, stock: Any, value: float) -> None:
    for by in (*FLOATS, math.inf, -math.inf, math.nan):
        stock.price = value
        stock.price += by
        if math.isfinite(value + by):
            # HINCRBYFLOAT adds the decimal texts, 0.1 and 0.2 to 0.3, where Python's sum is one bit off.
            assert abs(stock.price - (value + by)) <= math.ulp(value + by)
        else:
            assert str(stock.price) == str(value + by)


@pytest.mark.parametrize("raw", [b"007", b" 5", b"1e3", b"+5", b"0x10", b"-0", b"5.0", b"", b"null", b"abc", b"5 "])
@pytest.mark.parametrize("field", ["count", "left", "price"])
def test_bytes_of_others_are_added_to_as_they_are_read(live: Store, stock: Any, raw: bytes, field: str) -> None:
    live.raw.hset("Stock:1", field, raw)
    handle = live.objects(Stock).field("1", getattr(F(Stock), field))
    try:
        before = handle.get()
    except CorruptData as error:
        with pytest.raises(CorruptData, match=error.kind):
            handle.increment(1)
        assert stored(live, "Stock:1", field) == raw
    else:
        assert handle.increment(1) == before + 1
        assert handle.get() == before + 1


# ---- time to live


def test_the_object_s_time_to_live_stays(live: Store, stock: Any) -> None:
    live.objects(Stock).expire("1", seconds=100)
    stock.count += 1
    stock.count += 10**20
    stock.price += 0.5
    stock.cost += 1
    assert 90 < live.objects(Stock).ttl("1") <= 100


def test_a_field_s_time_to_live_stays(valkey_server: Server) -> None:
    with connected(valkey_server, "sync") as live:
        stock = live.objects(Stock).create(Stock(count=5, left=5, price=0.5), id="1")
        live.raw.hexpire("Stock:1", 100, "count", "left", "price")
        stock.count += 1
        stock.left -= 1
        stock.price += 0.25
        assert all(90 < left <= 100 for left in live.raw.httl("Stock:1", "count", "left", "price"))


# ---- handles, in both colours


def test_a_handle_adds_in_one_round_trip_and_returns_the_sum(store: Store) -> None:
    objects = store.objects(Stock)
    objects.create(Stock(count=5, price=1.5, cost=Decimal("2.50")), id="1")
    S = F(Stock)
    assert objects.field("1", S.count).increment() == 6  # the server knows the script from here on
    with store.counted() as trips:
        assert objects.field("1", S.count).increment(4) == 10
        assert objects.field("1", S.left).increment(-10) == 0
        assert objects.field("1", S.price).increment(0.25) == 1.75
        assert objects.field("1", S.price).increment(-1) == 0.75
    assert trips == [4]
    assert objects.field("1", S.cost).increment(Decimal("0.05")) == Decimal("2.55")
    assert objects.get("1") == Stock(count=10, left=0, price=0.75, cost=Decimal("2.55"))


def test_a_handle_obeys_the_constraints_and_needs_the_object(store: Store) -> None:
    objects = store.objects(Stock)
    objects.create(Stock(), id="1")
    handle = objects.field("1", F(Stock).left)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        handle.increment(-11)
    assert handle.get() == 10
    objects.delete("1")
    with pytest.raises(NotFound):
        handle.increment()
    assert store.raw.keys() == []


def test_a_sum_comes_about_through_every_kind_of_client(anywhere: Store) -> None:
    objects = anywhere.objects(Stock)
    objects.create(Stock(count=5, price=0.5), id="1")
    S = F(Stock)
    assert objects.field("1", S.count).increment(2) == 7
    assert objects.field("1", S.price).increment(0.25) == 0.75
    assert objects.field("1", S.count).increment(2**60) == 2**60 + 7
    assert objects.field("1", S.cost).increment(Decimal("0.1")) == Decimal("0.1")
    with pytest.raises(ValidationError):
        objects.field("1", S.left).increment(-11)


# ---- the class form


def test_the_class_form_adds_where_its_object_is_and_brings_it_into_being(live: Store) -> None:
    class Visits(DObject):
        class Meta:
            backend = live.backend

        total = IntegerField()
        ratio = FloatField()
        count: int = Field(default=0, le=5)

    visits = Visits("1")
    assert visits.total is None
    with pytest.raises(TypeError, match="NoneType"):
        visits.total += 1
    assert live.raw.keys() == []
    visits.count += 2
    assert live.raw.hgetall("Visits:1") == {b"count": b"2"}
    visits.total, visits.ratio = 3, 0.5
    visits.total += 1
    visits.ratio -= 0.25
    assert (visits.total, visits.ratio) == (4, 0.25)
    seen = visits.count
    seen += 3
    visits.clear()
    visits.count = seen
    assert live.raw.hgetall("Visits:1") == {b"count": b"3"}
    with pytest.raises(ValidationError):
        visits.count += 3


# ---- random sequences

NEAR = st.one_of(
    st.integers(-5, 5),
    *(st.integers(edge - 3, edge + 3) for edge in (2**53, -(2**53), 2**63, -(2**63), 10**15)),
    st.integers(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=NEAR, steps=st.lists(st.tuples(st.integers(0, 2), NEAR, st.booleans()), max_size=12))
def test_sums_of_several_live_objects_are_the_plain_sum(live: Store, start: int, steps: list[Any]) -> None:
    objects = live.objects(Stock)
    objects.put(Stock(count=start), id="1")
    writers = [objects["1"] for _ in range(3)]
    seen = [each.count for each in writers]
    for writer, by, adds in steps:
        seen[writer] = operator.iadd(seen[writer], by) if adds else operator.isub(seen[writer], by)
        writers[writer].count = seen[writer]
        start += by if adds else -by
        seen[writer] = writers[writer].count
        assert seen[writer] == start
    assert objects["1"].count == start


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(-12, 12)), max_size=25))
def test_no_sequence_of_sums_breaks_a_bound(live: Store, steps: list[Any]) -> None:
    objects = live.objects(Stock)
    objects.put(Stock(left=10), id="1")
    writers = [objects["1"] for _ in range(3)]
    seen = [each.left for each in writers]
    total = 10
    for writer, by in steps:
        seen[writer] += by
        if total + by < 0:
            with pytest.raises(ValidationError):
                writers[writer].left = seen[writer]
        else:
            writers[writer].left = seen[writer]
            total += by
        seen[writer] = writers[writer].left
        assert seen[writer] == total
