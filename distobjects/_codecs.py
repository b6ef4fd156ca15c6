"""How one field becomes bytes and comes back: the public byte format. Never talks to Redis, never pickles.

    text    UTF-8, no quotes     what pydantic writes as a string everywhere: str, datetimes, UUID, Decimal, ...
    bytes   as they are          bytes, SecretBytes
    float   decimal text         and inf, -inf, nan
    json    as pydantic writes   everything else; an int and a bool look the same in JSON and in text

None is `null`; in a nullable text or bytes field, a value that is `null` or begins with `\\` gets a `\\` in front.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import (
    VERSION,
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretBytes,
    SecretStr,
    WrapSerializer,
    WrapValidator,
    create_model,
)
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic.types import PathType
from pydantic_core import SchemaSerializer, SchemaValidator, TzInfo

from ._direct import LONGEST_NUMBER, NULL, REPLACEMENT, Long, short_dump, short_dump_all, short_load, short_load_all
from ._roundtrip import Lossy, is_encoded, is_exact, json_shapes, refuse, same, walk

Kind = Literal["text", "bytes", "float", "json"]

# What pydantic changes silently by default, and what of a model's configuration is about the outside, not the store.
_FAITHFUL = {
    "ser_json_inf_nan": "constants",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "ser_json_timedelta": "iso8601",
    "ser_json_temporal": "iso8601",
}
_OUTWARD = frozenset(
    "title extra frozen alias_generator json_schema_extra json_encoders json_schema_serialization_defaults_required "
    "serialize_by_alias validate_by_alias validate_by_name populate_by_name loc_by_alias plugin_settings "
    "defer_build use_attribute_docstrings model_title_generator field_title_generator validate_assignment "
    "protected_namespaces validate_default schema_generator".split()
)
# Run on write, through the model; what they made of the value is what is stored, so a read does not run them again.
# PathType asks the file system of one host.
_VALIDATORS = (AfterValidator, BeforeValidator, WrapValidator, PlainValidator, PathType)
# Shape what leaves towards the user, never what is stored.
_SERIALIZERS = (PlainSerializer, WrapSerializer)
# Python reads no longer number, and pydantic neither.
_LONG_NUMBER = re.compile(rb"[0-9]{4301}")
# Floats that are none in JSON. The last is how a script writes a large sum, and pydantic takes it since 2.12.
_FOR_PYTHON = re.compile(rb"-?inf|nan|-?[1-9][0-9]{18,308}")
# Before 2.13, pydantic-core takes the finished validator of a nested model class, whatever the schema says of it.
_REBUILDS = tuple(map(int, VERSION.split(".")[:2])) >= (2, 13)


@dataclass(frozen=True, slots=True)
class Codec:
    """The bytes of one field.

    Attributes:
        encode: a validated value to bytes; raises `Lossy`.
        encode_again: the same of a value that `revalidate` has returned, which may need fewer checks.
        decode: bytes to a value; raises ValueError, TypeError, ArithmeticError or RecursionError.
        dump: any value to bytes, validated and encoded in one step; raises anything where one of the two refuses.
        load: the same as `decode` of the bytes that are written most; raises anything for others, and for None.
        dump_all, load_all: the same of many values, of one field each.
        assignable: `dump` takes what is assigned as it takes what an instance holds: there is nothing in it that has an
            alias or is to be decoded.
        validate: check a value against the type and its constraints alone, without the model's own validators.
        revalidate: the same, into nested models too, which may have been changed since they were made.
        reopen: a validated value to what the validation accepts: another value for Json and the Base64 types.
        kind: the layout, as at the head of this file.
        summable: what a script can add up and judge: "int" or "float", else None.
        bounds: of a summable int: `ge`, `gt`, `le`, `lt`.
        itemwise: it is a list, or None, and a list is valid if each of its items is.
        secret: its value must show up in no message.
    """

    encode: Callable[[Any], bytes]
    encode_again: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]
    dump_all: Callable[[Sequence[Any]], Sequence[bytes]]
    load_all: Callable[[Sequence[bytes]], Sequence[Any]]
    assignable: bool
    validate: Callable[[Any], Any]
    revalidate: Callable[[Any], Any]
    reopen: Callable[[Any], Any]
    kind: Kind
    summable: Literal["int", "float"] | None
    bounds: Mapping[str, int]
    itemwise: bool
    secret: bool


class Original:
    """Marks a field, in its metadata, that keeps the original library's bytes: as written, and None is absent."""


def is_original(info: FieldInfo) -> bool:
    """Say whether the field keeps the original library's bytes."""
    return any(isinstance(item, Original) for item in info.metadata)


def has_validators(info: FieldInfo) -> bool:
    """Say whether the field's annotation carries functional validators."""
    return any(isinstance(item, _VALIDATORS) for item in info.metadata) or _bare(info.annotation) != info.annotation


def compile_codec(info: FieldInfo, config: ConfigDict) -> Codec:
    """Compile the codec of one field of a model with this configuration.

    Raises:
        Lossy: the type cannot be stored so that it comes back the same; the message says why.
    """
    annotation = _annotation(info)
    schema, core_config, definitions = _core_schema(annotation, info, config, _known(_FAITHFUL))
    secret = _secret(info.annotation)
    whole = _with(definitions, schema)
    refuse(whole, annotation, secret=secret is not None)
    inner = unwrapped(schema)
    encoded = inner["type"] != "json" and is_encoded(inner)
    if any(is_encoded(node) and node is not inner for node in walk(whole)):
        raise Lossy("Json and Base64 inside of another type would be decoded anew at each change; hold the plain value")
    shapes = json_shapes(whole)
    nullable = "null" in shapes and not is_original(info)
    # A root model or an enum may hide the null inside of a value, where only JSON keeps it apart from None.
    hides_null = (inner.get("root_model") or inner["type"] == "enum") and "null" in json_shapes(
        _with(definitions, inner)
    )
    kind = "json" if hides_null else _kind(inner["schema"] if encoded else inner, shapes, secret)
    validator, serializer = _build(whole, core_config)
    reopen = functools.partial(serializer.to_python, round_trip=True) if is_encoded(inner) else _unchanged
    encode, decode = _PAIRS[kind](validator, serializer)
    exact = secret is not None or is_exact(whole)
    if kind == "json" and exact:
        encode = _guarded(encode, decode)
    if encoded:
        encode = _reopened(reopen)
    if secret is not None:
        encode = _encode_secret
    if nullable and kind in ("text", "bytes"):
        encode, decode = _escaped(encode, decode)
    judged, judged_config, judge = whole, core_config, validator
    if not encoded and any(node["type"] == "bytes" for node in walk(whole)):
        # Text that stands for bytes is base64 in what is stored, and what the model says in what is assigned.
        own, judged_config, definitions = _core_schema(annotation, info, config, {})
        judged = _with(definitions, own)
        judge = _build(judged, judged_config)[0]
    validate: Callable[[Any], Any] = judge.validate_python
    revalidate = validate
    encode_again = encode
    if not exact:
        made_anew = kind == "json" and not encoded and is_exact(whole, revalidated=True)
        guarded, encode = _guarded(encode, decode), _verified(encode, decode)
        encode_again = guarded if made_anew and _REBUILDS else encode
        again = _build(_doubting(judged), judged_config)[0]
        # An instance holds its fields by name; what is new in a list may have them by alias.
        revalidate = functools.partial(again.validate_python, by_alias=True, by_name=True)
        if made_anew and not _REBUILDS:
            revalidate = _reopening(serializer, revalidate)
    _probe(schema, encode, decode)
    dump = _dumping(encode, validate, reopen) if exact else _dumping(encode, _by_name(validate), reopen)
    long = Long(
        node=inner,
        config=core_config,
        nullable=nullable and _holds_none(schema),
        exact=exact,
        validate=validate,
        validator=validator,
        serializer=serializer,
        dump=dump,
        encode=encode,
        decode=decode,
    )
    short, load = short_dump(long), short_load(long)
    summable, bounds = _summable(inner)
    return Codec(
        encode=encode,
        encode_again=encode_again,
        decode=decode,
        dump=short,
        load=load,
        dump_all=short_dump_all(long, short),
        load_all=short_load_all(long, load),
        assignable=reopen is _unchanged and not any(node["type"] in _NAMING for node in walk(whole)),
        validate=validate,
        revalidate=revalidate,
        reopen=reopen,
        kind=kind,
        summable=summable,
        bounds=bounds,
        itemwise=inner["type"] == "list" and inner.keys() <= _ITEMWISE,
        secret=secret is not None,
    )


_BOUNDS = frozenset({"ge", "gt", "le", "lt"})
# Types with fields of their own, which may have aliases.
_NAMING = frozenset({"model", "dataclass", "typed-dict"})
# Of the schema of a list: nothing that judges it as a whole.
_ITEMWISE = frozenset({"type", "items_schema", "metadata"})


def _summable(schema: dict[str, Any]) -> tuple[Literal["int", "float"] | None, Mapping[str, int]]:
    """Say what a script may add up: ints with bounds that a double holds exactly, floats without any."""
    limits = {name: value for name, value in schema.items() if name not in ("type", "strict", "metadata", "ref")}
    if schema["type"] == "float" and limits.keys() <= {"allow_inf_nan"}:
        return "float", {}
    small = all(type(value) is int and abs(value) < 2**53 for value in limits.values())
    return ("int", limits) if schema["type"] == "int" and limits.keys() <= _BOUNDS and small else (None, {})


def _reopening(serializer: SchemaSerializer, validate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Validate nested models by what they hold, where pydantic-core cannot be told to look into them."""

    def revalidate(value: Any) -> Any:
        with suppress(TypeError):  # a set has no room for what its models hold; they are judged by their bytes alone
            value = serializer.to_python(value, by_alias=False, round_trip=True, warnings=False)
        return validate(value)

    return revalidate


def _doubting(node: Any) -> Any:
    """Copy a core schema so that instances of nested models and dataclasses are validated again."""
    if isinstance(node, dict):
        tree = cast(dict[str, Any], node)
        copy = {name: value if name in ("metadata", "config") else _doubting(value) for name, value in tree.items()}
        if copy.get("type") in ("model", "dataclass"):
            copy["revalidate_instances"] = "always"
        return copy
    if isinstance(node, (list, tuple)):
        items = [_doubting(item) for item in cast(list[Any], node)]
        return items if isinstance(node, list) else tuple(items)
    return node


def _annotation(info: FieldInfo) -> Any:
    """Return the annotation that says what is stored."""
    annotation: Any = _bare(info.annotation)
    for item in info.metadata:
        if not isinstance(item, (*_VALIDATORS, *_SERIALIZERS)):
            annotation = Annotated[annotation, item]
    return annotation


def _with(definitions: list[dict[str, Any]], schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "definitions", "schema": schema, "definitions": definitions} if definitions else schema


def _core_schema(
    annotation: Any, info: FieldInfo, config: ConfigDict, faithful: Mapping[str, Any]
) -> tuple[dict[str, Any], Any, list[dict[str, Any]]]:
    """Return pydantic's own schema of the field, read off a bare model: same configuration, no decorators.

    Args:
        faithful: what is to hold in nested models too, whatever they are configured to.
    """
    inward = {name: value for name, value in config.items() if name not in _OUTWARD}
    settings = cast(ConfigDict, {**inward, **faithful, "protected_namespaces": ()})
    definition = Field(discriminator=info.discriminator) if info.discriminator is not None else Field()
    try:
        bare = create_model("Bare", __config__=settings, value=(annotation, definition))
    except PydanticSchemaGenerationError as error:
        raise Lossy(f"pydantic has no schema for {info.annotation!r}") from error
    schema: Any = _faithful(bare.__pydantic_core_schema__, faithful)
    definitions: list[dict[str, Any]] = []
    if schema["type"] == "definitions":
        definitions, schema = schema["definitions"], schema["schema"]
    if schema["type"] == "definition-ref":
        raise Lossy("Self names no class from the store's side; write the model's own name")
    return schema["schema"]["fields"]["value"]["schema"], schema["config"], definitions


def _bare(annotation: Any) -> Any:
    """Leave out validators and serializers: those of the whole annotation and of a union's arms."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_bare, get_args(annotation)))]  # noqa: UP007  # made of arms that are not spelled here
    if origin is not Annotated:
        return annotation
    bare = _bare(get_args(annotation)[0])
    for item in annotation.__metadata__:
        if not isinstance(item, (*_VALIDATORS, *_SERIALIZERS)):
            bare = Annotated[bare, item]
    return bare


def _unchanged(value: Any) -> Any:
    return value


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what this version of pydantic does not know yet (`ser_json_temporal` came with 2.12)."""
    return {name: value for name, value in settings.items() if name in ConfigDict.__annotations__}


def _faithful(node: Any, settings: Mapping[str, Any]) -> Any:
    """Copy a core schema so that nested models keep bytes, inf and nan too, and no constraint depends on the clock."""
    if isinstance(node, dict):
        tree = cast(dict[str, Any], node)
        copy = {name: value if name == "metadata" else _faithful(value, settings) for name, value in tree.items()}
        if copy.get("type") in ("model", "dataclass", "typed-dict"):
            copy["config"] = {**(copy.get("config") or {}), **settings}
        copy.pop("now_op", None)  # a date that was in the future when it was written stays readable
        return copy
    if isinstance(node, (list, tuple)):
        items = [_faithful(item, settings) for item in cast(list[Any], node)]
        return items if isinstance(node, list) else tuple(items)
    return node


def _build(schema: dict[str, Any], config: Any) -> tuple[SchemaValidator, SchemaSerializer]:
    """Build the validator and the serializer of a schema.

    pydantic-core reuses the finished validator of a nested model class and would skip what `_faithful` changed;
    from 2.13 on it can be told not to. Before, nested bytes that are no UTF-8 are refused when they are written.
    """
    build: Any = {"schema": schema, "config": config} | ({"_use_prebuilt": False} if _REBUILDS else {})
    return SchemaValidator(**build), SchemaSerializer(**build)


def _kind(inner: dict[str, Any], shapes: frozenset[str], secret: type | None) -> Kind:
    if inner["type"] == "bytes" or secret is SecretBytes:
        return "bytes"
    if shapes - {"null"} == frozenset({"string"}):
        return "text"
    return "float" if inner["type"] == "float" else "json"


def unwrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the non-null part, without defaults and constraints around it."""
    while schema["type"] in ("nullable", "default"):
        schema = schema["schema"]
    return schema


def _holds_none(schema: dict[str, Any]) -> bool:
    while schema["type"] == "default":
        schema = schema["schema"]
    return bool(schema["type"] == "nullable")


def _secret(annotation: Any) -> type | None:
    """Return SecretStr or SecretBytes where the annotation is that, or that or None."""
    if get_origin(annotation) is Annotated:
        return _secret(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not types.NoneType]
        return _secret(arms[0]) if len(arms) == 1 else None
    return annotation if annotation in (SecretStr, SecretBytes) else None


Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


def _text(validator: SchemaValidator, serializer: SchemaSerializer) -> tuple[Encode, Decode]:
    to_python, from_text = serializer.to_python, validator.validate_strings

    def encode(value: Any) -> bytes:
        if type(value) is str:
            return value.encode()
        text: str = to_python(value, mode="json", by_alias=False, round_trip=True, warnings=False)
        return text.encode()

    def decode(raw: bytes) -> Any:
        return from_text(cast(Any, raw.decode()))

    return encode, decode


def _bytes(validator: SchemaValidator, serializer: SchemaSerializer) -> tuple[Encode, Decode]:
    return bytes, validator.validate_python


def _json(validator: SchemaValidator, serializer: SchemaSerializer) -> tuple[Encode, Decode]:
    to_json, from_json = serializer.to_json, validator.validate_json

    def encode(value: Any) -> bytes:
        return to_json(value, by_alias=False, round_trip=True, warnings=False)

    def decode(raw: bytes) -> Any:
        return from_json(raw, by_alias=False, by_name=True)

    return encode, decode


def _float(validator: SchemaValidator, serializer: SchemaSerializer) -> tuple[Encode, Decode]:
    from_json, from_python = validator.validate_json, validator.validate_python

    def encode(value: float | None) -> bytes:
        return NULL if value is None else repr(float(value)).encode()

    def decode(raw: bytes) -> Any:
        return from_python(float(raw)) if _FOR_PYTHON.fullmatch(raw) else from_json(raw)

    return encode, decode


_PAIRS: Mapping[Kind, Callable[[SchemaValidator, SchemaSerializer], tuple[Encode, Decode]]] = {
    "text": _text,
    "bytes": _bytes,
    "json": _json,
    "float": _float,
}


def _reopened(reopen: Callable[[Any], Any]) -> Encode:
    def encode(value: Any) -> bytes:
        given: str | bytes = reopen(value)
        return given if isinstance(given, bytes) else given.encode()

    return encode


def _encode_secret(value: Any) -> bytes:
    shown: str | bytes = value.get_secret_value()
    return shown if isinstance(shown, bytes) else shown.encode()


def _escaped(encode: Encode, decode: Decode) -> tuple[Encode, Decode]:
    """Tell None from the text `null`."""

    def encode_nullable(value: Any) -> bytes:
        if value is None:
            return NULL
        raw = encode(value)
        return b"\\" + raw if raw == NULL or raw.startswith(b"\\") else raw

    def decode_nullable(raw: bytes) -> Any:
        if raw == NULL:
            return None
        return decode(raw[1:] if raw.startswith(b"\\") else raw)

    return encode_nullable, decode_nullable


def _guarded(encode: Encode, decode: Decode) -> Encode:
    """Check what JSON writes and does not read back, where the bytes give reason to."""
    verified = _verified(encode, decode)

    def encode_guarded(value: Any) -> bytes:
        raw = encode(value)
        long = len(raw) > LONGEST_NUMBER and _LONG_NUMBER.search(raw)
        return verified(value) if long or REPLACEMENT in raw else raw

    return encode_guarded


def _has_exact_zone(value: datetime) -> bool:
    """Say whether a datetime surely comes back the same: other offsets may have seconds, which get lost."""
    zone = value.tzinfo
    return zone is None or zone is UTC or type(zone) is TzInfo


def _verified(encode: Encode, decode: Decode) -> Encode:
    """Refuse a value whose bytes would not come back the same, such as a subclass with fields of its own.

    Only for types that leave room for it (a nested model, Any, a union): it doubles the cost of encoding.
    """

    def encode_verified(value: Any) -> bytes:
        if type(value) is datetime and _has_exact_zone(value):
            return encode(value)
        try:
            raw = encode(value)
            back = decode(raw)
        except Exception as error:  # whatever a validator of a nested model raises
            raise Lossy(f"{type(value).__name__} cannot be stored so that it comes back the same") from error
        if not same(value, back):
            raise Lossy(f"{type(value).__name__} would come back changed, as {type(back).__name__}")
        return raw

    return encode_verified


def _dumping(encode: Encode, validate: Callable[[Any], Any], reopen: Callable[[Any], Any]) -> Encode:
    if reopen is _unchanged:
        return lambda value: encode(validate(value))
    return lambda value: encode(validate(reopen(value)))


def _by_name(validate: Callable[..., Any]) -> Callable[[Any], Any]:
    """Validate nested models by the names of their fields, as the model's own validator is asked to."""
    return functools.partial(validate, by_alias=False, by_name=True)


def _probe(schema: dict[str, Any], encode: Encode, decode: Decode) -> None:
    """Try every value of an enum or a literal, whose members may be of any type."""
    inner = unwrapped(schema)
    for value in inner.get("members", inner.get("expected", ())):
        try:
            survives = same(decode(encode(value)), value)
        except (ValueError, TypeError, LookupError):
            survives = False
        if not survives:
            raise Lossy(f"its value {value!r} would not come back the same")
