"""The short ways of plain values: checked by exact type and encoded in one step, decoded in one call. Decides nothing.

1. What a short way gives, the long one gives too: a validator and a serializer of pydantic's, and our own checks.
2. What is not surely plain, a dump hands to the long way. A load raises, and the long way says what is wrong, if it is.

For an object of ten fields, the long ways take about as long as a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast
from uuid import UUID

from pydantic_core import SchemaSerializer, SchemaValidator, TzInfo

Dump = Callable[[Any], bytes]
Load = Callable[[bytes], Any]
# The same for one field of many objects, whose values are most often of one type.
DumpAll = Callable[[Sequence[Any]], Sequence[bytes]]
LoadAll = Callable[[Sequence[bytes]], Sequence[Any]]

NULL = b"null"
# What pydantic writes in place of a lone surrogate in the key of a dict.
REPLACEMENT = "\ufffd".encode()
# The longest text that may be a number which Python reads.
LONGEST_NUMBER = 4300

# Of a configuration, what changes no value of a plain type; `strict` asks for the exact type, as is done here anyway.
_NEUTRAL = frozenset(
    "title strict ser_json_inf_nan ser_json_bytes val_json_bytes ser_json_timedelta ser_json_temporal".split()
)
_NO_LIMIT = frozenset({"type", "strict", "metadata", "ref", "microseconds_precision"})
_QUOTED: Mapping[str, type] = {"date": date, "timedelta": timedelta, "uuid": UUID}
_CONTAINERS = frozenset({"list", "set", "frozenset", "tuple", "dict"})
_BOUNDS = frozenset({"ge", "gt", "le", "lt"})
_SMALL = 2**63


class Long(NamedTuple):
    """A type, and the long ways.

    Attributes:
        node: its core schema, without None and defaults around it.
        config: the core configuration.
        nullable: None is stored as `null`.
        exact: values that are valid come back the same, so that none needs a check of its own.
        validator, serializer: of what is stored.
        validate, encode, decode: of the codec.
        dump: any value to bytes, validated and encoded.
    """

    node: Mapping[str, Any]
    config: Mapping[str, Any]
    nullable: bool
    exact: bool
    validator: SchemaValidator
    serializer: SchemaSerializer
    validate: Callable[[Any], Any]
    dump: Dump
    encode: Dump
    decode: Load

    @property
    def kind(self) -> str:
        """The type's name, "" where the configuration may change its values."""
        return str(self.node["type"]) if self.config.keys() <= _NEUTRAL else ""

    @property
    def strict(self) -> bool:
        """Whether Python's values are not converted."""
        return bool(self.node.get("strict", self.config.get("strict")))

    @property
    def limits(self) -> dict[str, Any]:
        """The constraints."""
        return {name: value for name, value in self.node.items() if name not in _NO_LIMIT}


# ---- values to bytes


def short_dump(long: Long) -> Dump:
    """Return the shortest way to do what `long.dump` does."""
    kind, limits = long.kind, long.limits
    if kind == "str" and limits.keys() <= {"min_length", "max_length"}:
        return _dump_text(long, limits)
    dump: Dump | None = None
    if _is_int(long):
        dump = _dump_int(long.dump, limits)
    elif kind == "union":
        dump = _dump_one_of(long)
    elif kind == "enum":
        dump = _dump_member(long)
    elif kind in _SHORT_DUMPS and not limits:
        dump = _SHORT_DUMPS[kind](long)
    elif long.node["type"] in _CONTAINERS and long.exact:
        return _dump_json(long)
    if dump is None:
        return long.dump
    return _dump_or_null(dump) if long.nullable else dump


def _dump_or_null(dump: Dump) -> Dump:
    return lambda value: NULL if value is None else dump(value)


def _dump_text(long: Long, limits: Mapping[str, int]) -> Dump:
    if not limits and not long.nullable:
        return str.encode  # of a subclass too, which pydantic makes plain text of
    otherwise, shortest, longest = long.dump, limits.get("min_length", 0), limits.get("max_length", _SMALL)

    def dump(value: Any) -> bytes:
        if type(value) is str and shortest <= len(value) <= longest:
            return value.encode()
        return otherwise(value)

    def dump_nullable(value: Any) -> bytes:
        if type(value) is str and shortest <= len(value) <= longest and value != "null" and value[:1] != "\\":
            return value.encode()
        return NULL if value is None else otherwise(value)

    return dump_nullable if long.nullable else dump


def _is_int(long: Long) -> bool:
    limits = long.limits
    return long.kind == "int" and limits.keys() <= _BOUNDS and all(type(each) is int for each in limits.values())


def _range(limits: Mapping[str, int]) -> tuple[int, int]:
    lowest = max(-_SMALL, limits.get("ge", -_SMALL), limits.get("gt", -_SMALL) + 1)
    return lowest, min(_SMALL, limits.get("le", _SMALL), limits.get("lt", _SMALL) - 1)


def _dump_int(otherwise: Dump, limits: Mapping[str, int]) -> Dump:
    lowest, highest = _range(limits)

    def dump(value: Any) -> bytes:
        return b"%d" % value if type(value) is int and lowest <= value <= highest else otherwise(value)

    return dump


def _dump_bool(long: Long) -> Dump:
    otherwise = long.dump

    def dump(value: Any) -> bytes:
        return b"true" if value is True else b"false" if value is False else otherwise(value)

    return dump


def _dump_float(long: Long) -> Dump:
    otherwise = long.dump

    def dump(value: Any) -> bytes:
        return repr(value).encode() if type(value) is float else otherwise(value)

    return dump


def _dump_one_of(long: Long) -> Dump | None:
    """Return a dump for a union of plain types: what is exactly of one of them stays that, there and back."""
    arms: list[Any] = long.node["choices"]
    if long.limits.keys() != {"choices"} or not all(isinstance(arm, dict) and arm.keys() <= _NO_LIMIT for arm in arms):
        return None
    types = {arm["type"] for arm in arms}
    if not types <= {"int", "str", "bool"}:
        return None
    otherwise = long.dump
    table: dict[Any, Dump] = {**_PLAIN_ARMS, int: _dump_int(otherwise, {})}
    table = {each: dump for each, dump in table.items() if each.__name__ in types}

    def dump(value: Any) -> bytes:
        return table.get(type(value), otherwise)(value)

    return dump


_PLAIN_ARMS: Mapping[type, Dump] = {
    str: SchemaSerializer({"type": "str"}).to_json,
    bool: {False: b"false", True: b"true"}.__getitem__,
}


def _dump_decimal(long: Long) -> Dump:
    otherwise = long.dump

    def dump(value: Any) -> bytes:
        return str(value).encode() if type(value) is Decimal and value.is_finite() else otherwise(value)

    return dump


def _dump_datetime(long: Long) -> Dump:
    otherwise, to_json = long.dump, long.serializer.to_json

    def dump(value: Any) -> bytes:
        if type(value) is datetime:
            zone = value.tzinfo
            if zone is UTC or zone is None or type(zone) is TzInfo:  # other offsets may have seconds, which get lost
                return to_json(value)[1:-1]
        return otherwise(value)

    return dump


def _dump_quoted(long: Long) -> Dump:
    """Return a dump for what is written as a JSON string without an escape in it."""
    otherwise, to_json, exact = long.dump, long.serializer.to_json, _QUOTED[long.kind]

    def dump(value: Any) -> bytes:
        return to_json(value)[1:-1] if type(value) is exact else otherwise(value)

    return dump


def _dump_member(long: Long) -> Dump:
    otherwise, members = long.dump, list(long.node["members"])
    # By identity: an enum's own hash is a Python function. The members live as long as the table.
    table = {id(member): long.encode(member) for member in members}

    def dump(value: Any, _kept: object = members) -> bytes:
        return table.get(id(value)) or otherwise(value)

    return dump


def _dump_json(long: Long) -> Dump:
    otherwise, validate, to_json = long.dump, long.validate, long.serializer.to_json

    def dump(value: Any) -> bytes:
        raw = to_json(validate(value))
        return raw if len(raw) <= LONGEST_NUMBER and REPLACEMENT not in raw else otherwise(value)

    return dump


_SHORT_DUMPS: Mapping[str, Callable[[Long], Dump]] = {
    "bool": _dump_bool,
    "float": _dump_float,
    "decimal": _dump_decimal,
    "datetime": _dump_datetime,
    **dict.fromkeys(_QUOTED, _dump_quoted),
}


def short_dump_all(long: Long, dump: Dump) -> DumpAll:
    """Return the shortest way to do what `dump` does with each of many values."""
    if not _is_int(long) or long.nullable:
        return lambda values: [*map(dump, values)]
    lowest, highest = _range(long.limits)

    def dump_all(values: Sequence[Any]) -> Sequence[bytes]:
        if {*map(type, values)} == {int} and lowest <= min(values) and max(values) <= highest:
            return (b"%d " * len(values) % (*values,)).split()
        return [*map(dump, values)]

    return dump_all


# ---- bytes to values


def short_load(long: Long) -> Load:
    """Return the shortest way to do what `long.decode` does with the bytes that are written most."""
    kind, limits = long.kind, long.limits
    if kind == "str" and not limits:
        return _load_nullable_text if long.nullable else bytes.decode
    if kind in ("datetime", "date", "timedelta") and not limits and not long.strict:
        if not long.nullable:
            return long.validator.validate_python  # reads bytes as it reads text
        # Without the None around it: that is what came for an absent field, and not what is stored for None.
        return _load_or_null(SchemaValidator(cast(Any, long.node), cast(Any, long.config)).validate_python)
    if kind == "enum":
        return _table({long.encode(member): member for member in long.node["members"]}, long)
    if kind == "bool" and not limits:
        return _table({b"true": True, b"false": False}, long)
    if long.exact and long.node["type"] in ("int", "float", *_CONTAINERS):
        return long.validator.validate_json
    return long.decode


def _table(values: dict[bytes, Any], long: Long) -> Load:
    return ({NULL: None, **values} if long.nullable else values).__getitem__


def _load_or_null(load: Load) -> Load:
    return lambda raw: None if raw == NULL else load(raw)


def _load_nullable_text(raw: bytes) -> Any:
    if raw == NULL:
        return None
    if raw.startswith(b"\\"):
        return raw[1:].decode()
    return raw.decode()


def short_load_all(long: Long, load: Load) -> LoadAll:
    """Return the shortest way to do what `load` does with each of many: numbers are read as one JSON array.

    Neither a list nor text with a comma in it is a number. So each comma is between two items, and where there are as
    many items as raws, each of them is what was between two commas.
    """
    if not long.exact or long.node["type"] not in ("int", "float"):
        return lambda raws: [*map(load, raws)]
    items: Any = {"type": "nullable", "schema": long.node} if long.nullable else long.node
    validate = SchemaValidator({"type": "list", "items_schema": items}, cast(Any, long.config)).validate_json

    def load_all(raws: Sequence[bytes]) -> Sequence[Any]:
        values: list[Any] = validate(b"[%b]" % b",".join(raws))
        if len(values) != len(raws):
            raise ValueError("one of them is several")
        return values

    return load_all
