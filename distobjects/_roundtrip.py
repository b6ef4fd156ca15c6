"""What cannot come back from bytes as the same value: told when a model is bound, or when such a value is written.

Works on pydantic's core schemas, which show what a type really does, nested models and dataclasses included.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from itertools import chain
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ImportString, PlainSerializer, Secret, SecretBytes, SecretStr, WrapSerializer
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic.types import EncodedBytes, EncodedStr

# Schemas of these alone admit only values whose bytes come back the same. Not datetime and time: pydantic drops the
# seconds of an offset from UTC.
_MODEL = frozenset({"model", "model-fields", "model-field"})
_EXACT = frozenset(
    "str int float bool bytes date timedelta decimal uuid list set frozenset tuple dict nullable default none "
    "definitions".split()
)
# What JSON can carry as the key of an object and pydantic reads back from there.
_KEYS = frozenset("str int bool date time datetime timedelta decimal uuid enum literal".split())
_WRAPPERS = frozenset("default function-before function-after function-wrap".split())
# What bytes are never read by, or no part of what is stored.
_OPAQUE = frozenset(
    "metadata default expected members serialization config cls function ref python_schema strict_schema".split()
)


# pydantic-core's schemas are nested dicts, told apart by their "type".
Node = dict[str, Any]


# These are the same if they are equal and of one type, and most values are of them.
_ATOMS = frozenset({str, int, bool, bytes, type(None)})


class Lossy(ValueError):
    """A type or a value whose bytes would not come back the same."""


def walk(node: Any) -> Iterator[Node]:
    """Yield every schema within a core schema, from the outside in."""
    if isinstance(node, dict):
        tree = cast(Node, node)
        if isinstance(tree.get("type"), str):
            yield tree
        for name, value in tree.items():
            if name not in _OPAQUE:
                yield from walk(value)
    elif isinstance(node, (list, tuple)):
        for item in cast(list[Any], node):
            yield from walk(item)


def is_exact(schema: Node, *, revalidated: bool = False) -> bool:
    """Say whether every value that the schema admits comes back the same, so that none needs a check of its own.

    Args:
        revalidated: instances of nested models have been made anew, so that none is of a subclass.
    """
    return all(
        node["type"] in _EXACT
        or (bool(members := listed(node)) and {type(each) for each in members} <= {str, int})
        or (revalidated and node["type"] in _MODEL and not _has_more(node))
        for node in walk(schema)
    )


def _has_more(model: Node) -> bool:
    """Say whether instances hold more than their fields, or are not made of them alone."""
    config = model.get("config", {})
    return config.get("extra_fields_behavior") == "allow" or any(
        model.get(each) for each in ("root_model", "custom_init", "post_init", "computed_fields")
    )


def listed(node: Node) -> list[Any]:
    """Return what the values of a literal or an enum are written as; nothing for any other schema."""
    if node["type"] == "literal":
        return list(node["expected"])
    return [member.value for member in node["members"]] if node["type"] == "enum" else []


def same(value: Any, other: Any) -> bool:
    """Say whether two values are equal and of equal types, all the way down; nan equals nan.

    An instant is the same in any class of time zone, and in a subclass of datetime, as pendulum has them. What passes
    for a value, as the numbers and copies of a live object do, is the same as that value.
    """
    if type(value) in _ATOMS and type(value) is type(other):
        return bool(value == other)
    if value.__class__ is not other.__class__ or isinstance(value, (datetime, time)):
        return _same_moment(value, other)
    if isinstance(value, BaseModel):
        return _same_pairs(value.__dict__, other.__dict__) and same(value.model_extra, other.model_extra)
    if dataclasses.is_dataclass(value):
        return all(same(getattr(value, each.name), getattr(other, each.name)) for each in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return _same_pairs(cast(Any, value), other)
    if isinstance(value, (list, tuple, deque)):
        items = cast(Sequence[Any], value)
        bounded = getattr(items, "maxlen", None) == getattr(other, "maxlen", None)
        return bounded and _all_same([*items], [*other])
    if isinstance(value, (set, frozenset)):
        members = cast(set[Any], value)
        return {(type(each), each) for each in members} == {(type(each), each) for each in other}
    if isinstance(value, Decimal):
        return str(value) == str(other)  # a signalling nan refuses to be compared
    return bool(value == other) or (value != value and other != other)


def _all_same(values: list[Any], others: list[Any]) -> bool:
    """Compare one by one; what is alike all at once, which takes a fifth of the time."""
    if len(values) != len(others):
        return False
    kinds = {*map(type, values)}
    if kinds <= _ATOMS:
        return [*map(type, values)] == [*map(type, others)] and values == others
    if len(kinds) == 1 and {*map(type, others)} == kinds and issubclass(kinds.pop(), BaseModel):
        fields, extras = [each.__dict__ for each in values], [each.model_extra for each in values]
        return _all_pairs_same(fields, [each.__dict__ for each in others]) and _all_same(
            extras, [each.model_extra for each in others]
        )
    return all(map(same, values, others))


def _all_pairs_same(mappings: list[dict[str, Any]], others: list[dict[str, Any]]) -> bool:
    same_lengths = [*map(len, mappings)] == [*map(len, others)]
    return same_lengths and [*chain(*mappings)] == [*chain(*others)] and _all_same(_values(mappings), _values(others))


def _values(mappings: list[dict[str, Any]]) -> list[Any]:
    return [value for each in mappings for value in each.values()]


def _same_pairs(mapping: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Compare mappings, in the order of their keys."""
    return _all_same([*mapping], [*other]) and _all_same([*mapping.values()], [*other.values()])


def _same_moment(value: Any, other: Any) -> bool:
    if not isinstance(value, (datetime, time)) or not isinstance(other, (datetime, time)):
        return False
    naive: bool = value.replace(tzinfo=None) == other.replace(tzinfo=None)
    return naive and value.utcoffset() == other.utcoffset()


def refuse(schema: Node, annotation: Any, *, secret: bool) -> None:
    """Raise `Lossy` where a type surely loses something; what depends on the value is checked when it is written.

    Args:
        schema: pydantic's core schema of the field.
        annotation: the field's annotation, without the metadata of the field itself.
        secret: the field as a whole is a secret, which is stored unmasked; deeper ones have no such place.
    """
    _refuse_annotation(annotation)
    definitions: list[Node] = schema["definitions"] if schema["type"] == "definitions" else []
    own_unions: list[Node] = []
    for node in walk(schema):
        kind = node["type"]
        if kind in ("generator", "callable", "is-subclass"):
            raise Lossy(f"a {kind.replace('is-subclass', 'class')} has no value to store")
        if kind in ("dict", "counter", "defaultdict"):
            _refuse_keys(node.get("keys_schema"), definitions)
        if kind == "lax-or-strict":  # one type, whatever pydantic makes its parts of
            own_unions.append(node["lax_schema"])
        if kind == "union" and not any(node is each for each in own_unions):
            _refuse_ambiguity([_choice(each) for each in node["choices"]], definitions)
        if not secret and _is_secret(node):
            raise Lossy("a secret inside of another type is stored masked; make it a field of its own")
        _refuse_own_form(node)


def is_encoded(node: Node) -> bool:
    """Say whether what is validated is not yet the value: Json and the Base64 types decode it, once."""
    owner = getattr(_function(node), "__self__", None)
    return node["type"] == "json" or isinstance(owner, (EncodedBytes, EncodedStr))


def _is_secret(node: Node) -> bool:
    """Say whether a schema makes a secret, by the class that wraps the value."""
    made = _function(node)
    return made is SecretStr or made is SecretBytes or (isinstance(made, type) and issubclass(made, Secret))


def _refuse_annotation(annotation: Any) -> None:
    """Look where the core schema shows only a function: Pattern, ImportString, annotated serializers."""
    parts: tuple[Any, ...] = (annotation, get_origin(annotation))
    for part in parts:
        if part is Secret:
            raise Lossy("a Secret is stored masked; SecretStr and SecretBytes are kept, as fields of their own")
        if part is re.Pattern or part is ImportString or type(part).__name__ == "ImportString":
            raise Lossy("bytes from a store must not be compiled or imported; store the text")
    if isinstance(annotation, (PlainSerializer, WrapSerializer)):
        raise Lossy("a serializer inside of it decides what would be stored; nothing stored may depend on one")
    for part in get_args(annotation):
        _refuse_annotation(part)
    for item in getattr(annotation, "__metadata__", ()):
        _refuse_annotation(item)


def _refuse_own_form(node: Node) -> None:
    """Refuse nested models that write themselves otherwise than field by field."""
    owner = getattr(node.get("cls"), "__name__", "it")
    form: Node = node.get("serialization") or {}
    if form.get("is_field_serializer") or (node["type"] in ("model", "dataclass", "typed-dict") and form):
        raise Lossy(f"a serializer of {owner} decides what would be stored; nothing stored may depend on one")
    fields = node.get("fields")
    for name, field in cast(Node, fields).items() if isinstance(fields, dict) else ():
        if field.get("serialization_exclude") or field.get("serialization_exclude_if"):
            raise Lossy(f"its nested field {name!r} is excluded from dumps and would be lost")
        form = cast(Node, field.get("schema", {})).get("serialization") or {}
        if form.get("is_field_serializer"):
            raise Lossy(f"a serializer of {name!r} decides what would be stored; nothing stored may depend on one")
    if node["type"] == "model" and not node.get("root_model"):
        for info in cast(type[BaseModel], node["cls"]).model_fields.values():
            for item in (info.annotation, *info.metadata):
                _refuse_annotation(item)


def _refuse_keys(schema: Node | None, definitions: list[Node]) -> None:
    inner = _resolved(schema, definitions) if schema else {"type": "str"}
    if inner["type"] == "any":
        return
    kinds: set[type] = {type(each) for each in listed(inner)}
    if inner["type"] not in _KEYS or not (kinds <= {str} or (kinds == {int} and inner["type"] == "enum")):
        raise Lossy(f"JSON has no key of type {inner['type']!r} that comes back; use text, numbers, dates or UUIDs")


def _choice(choice: Any) -> Node:
    """A choice of a union may come with a label."""
    return cast(Node, choice[0] if isinstance(choice, tuple) else choice)


def _resolved(schema: Node, definitions: list[Node]) -> Node:
    """Return the innermost schema that decides on the Python type."""
    while True:
        if schema["type"] == "definition-ref":
            schema = next(each for each in definitions if each.get("ref") == schema["schema_ref"])
        elif schema["type"] == "lax-or-strict":
            schema = schema["lax_schema"]
        elif schema["type"] == "json-or-python":
            schema = schema["json_schema"]
        elif schema["type"] in _WRAPPERS and not callable(schema.get("cls")):
            schema = schema["schema"]
        else:
            return schema


def _refuse_ambiguity(choices: list[Node], definitions: list[Node]) -> None:
    """Refuse a union of two types whose values look the same in JSON, such as `str | datetime`."""
    taken: dict[str, tuple[object, Node]] = {}
    for choice in choices:
        inner = _resolved(choice, definitions)
        label = _python_type(choice, inner)
        for shape in json_shapes({"type": "definitions", "schema": choice, "definitions": definitions}):
            other_label, other = taken.setdefault(shape, (label, inner))
            if label == other_label or shape in ("null", "any"):
                continue
            if inner["type"] == other["type"] == "model" and _told_apart(inner["cls"], other["cls"]):
                continue
            raise Lossy(f"{_spell(other_label)} and {_spell(label)} look the same when stored ({shape})")


def _python_type(choice: Node, inner: Node) -> object:
    """Name what a choice of a union makes of JSON: a class, or the name of a core schema."""
    if "cls" in inner:
        return inner["cls"]
    if inner["type"] == "literal":
        kinds: set[str] = {type(each).__name__ for each in inner["expected"]}
        return kinds.pop() if len(kinds) == 1 else "literal"
    return choice["type"] if _function(choice) is not None else inner["type"]


def _spell(label: object) -> str:
    return label.__name__ if isinstance(label, type) else str(label)


def _told_apart(one: type[BaseModel], other: type[BaseModel]) -> bool:
    """Say whether pydantic's union tells two models apart, by a field that each has and the other has not."""
    mine, theirs = set(one.model_fields), set(other.model_fields)
    if not (mine <= theirs or theirs <= mine):
        return True
    return any(
        not set(get_args(one.model_fields[name].annotation)) & set(get_args(other.model_fields[name].annotation))
        for name in mine & theirs
        if _is_literal(one, name) and _is_literal(other, name)
    )


def _is_literal(model: type[BaseModel], name: str) -> bool:
    return str(get_origin(model.model_fields[name].annotation)) == "typing.Literal"


def _function(node: Node) -> object:
    """Return the function of a validator's schema, None for any other."""
    function: Any = node.get("function")
    return cast(Node, function).get("function") if isinstance(function, dict) else None


class _Shapes(GenerateJsonSchema):
    """JSON schemas without pydantic's remarks on defaults that JSON cannot show."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        pass


def json_shapes(schema: Node) -> frozenset[str]:
    """Return the JSON types that the schema's values are written as: `string`, `integer`, ..., `any`.

    Raises:
        Lossy: there is no JSON for it.
    """
    try:
        described: Node = _Shapes(by_alias=False).generate(cast(Any, schema), mode="serialization")
    except PydanticInvalidForJsonSchema as error:
        raise Lossy(f"it has no form in JSON ({error.message.splitlines()[0]})") from error
    return frozenset(_shapes_of(described, described.get("$defs", {}), frozenset()))


def _shapes_of(described: Node, definitions: Node, seen: frozenset[str]) -> set[str]:
    if "$ref" in described:
        name = described["$ref"].rsplit("/", 1)[-1]
        return set() if name in seen else _shapes_of(definitions[name], definitions, seen | {name})
    for branches in ("anyOf", "oneOf", "allOf"):
        if branches in described:
            return {shape for each in described[branches] for shape in _shapes_of(each, definitions, seen)}
    if "type" in described:
        return {described["type"]}
    values: list[object] = described.get("enum", [described["const"]] if "const" in described else [...])
    names: dict[type, str] = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    return {names.get(type(value), "any") for value in values}
