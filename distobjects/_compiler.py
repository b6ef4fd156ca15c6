"""What pydantic has made of a model, made into a `Schema`: once per model, before any I/O. Decides what is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

from ._codecs import compile_codec, has_validators, is_original
from ._roundtrip import Lossy, walk
from ._rows import Rows
from ._schema import IDENTITY, Schema, StoredField
from .errors import InvalidModel


def compile_schema(model: type[BaseModel]) -> Schema:
    """Compile a model; the work is done once per class.

    Raises:
        InvalidModel: it cannot be stored so that it comes back the same.
    """
    candidate: Any = model
    if not (isinstance(candidate, type) and issubclass(candidate, BaseModel)) or candidate is BaseModel:
        raise TypeError(f"a pydantic model class is needed, not {model!r}")
    return _compile(model)


@functools.cache
def _compile(model: type[BaseModel]) -> Schema:
    name = model.__name__
    if not model.__pydantic_complete__:
        try:
            model.model_rebuild()
        except PydanticUndefinedAnnotation as error:
            raise InvalidModel(
                model=name, reason=f"an annotation names {error.name!r}, which is not defined"
            ) from error
    if issubclass(model, RootModel):
        raise InvalidModel(model=name, reason="a RootModel has no fields; make it a field of a model")
    if model.model_config.get("extra") == "allow":
        raise InvalidModel(model=name, reason="extra='allow' admits fields that nothing describes; declare them")
    stored = {each: info for each, info in model.model_fields.items() if each != IDENTITY}
    if not stored:
        raise InvalidModel(model=name, reason="it has no field but its identity, and Redis keeps no empty hash")
    decorated = _decorated_fields(model)
    fields = {each: _compile_field(model, each, info, decorated) for each, info in stored.items()}
    identity = _identity(model)
    rows = Rows(
        model, _dumps(model, fields, decorated), _loads(fields), identity and (IDENTITY, identity), *_columns(fields)
    )
    return Schema(model, name, fields, identity, _is_cross_field(model), rows)


def _dumps(
    model: type[BaseModel], fields: Mapping[str, StoredField], decorated: frozenset[str]
) -> Mapping[str, Callable[[Any], Any]] | None:
    if not _is_bare(model) or not all(_is_judged_by_type(model, name, decorated) for name in model.model_fields):
        return None
    dumps: dict[str, Callable[[Any], Any]] = {
        name: _or_absent(field.codec.dump) if field.none_is_absent else field.codec.dump
        for name, field in fields.items()
    }
    if IDENTITY in model.model_fields:
        try:
            dumps[IDENTITY] = compile_codec(model.model_fields[IDENTITY], model.model_config).validate
        except Lossy:  # it is not stored, so that it may be what cannot be
            return None
    return dumps


def _or_absent(dump: Callable[[Any], bytes]) -> Callable[[Any], bytes | None]:
    return lambda value: None if value is None else dump(value)


def _loads(fields: Mapping[str, StoredField]) -> Mapping[str, Callable[[bytes], Any]] | None:
    if any(field.none_is_absent for field in fields.values()):
        return None
    return {name: field.codec.load for name, field in fields.items()}


def _columns(fields: Mapping[str, StoredField]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what reads and what writes many values of each field."""
    dumps = {
        name: _all_or_absent(field.codec.dump) if field.none_is_absent else field.codec.dump_all
        for name, field in fields.items()
    }
    return dumps, {name: field.codec.load_all for name, field in fields.items()}


def _all_or_absent(dump: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], Sequence[bytes | None]]:
    dump_or_absent = _or_absent(dump)
    return lambda values: [*map(dump_or_absent, values)]


def _is_bare(model: type[BaseModel]) -> bool:
    """Say whether a model does nothing when an instance is made but to validate its fields, and set private ones."""
    schema: Any = model.__pydantic_core_schema__
    definitions = schema.get("definitions", [])
    if schema["type"] == "definitions":
        schema = schema["schema"]
    if schema["type"] == "definition-ref":  # a model that nests itself
        schema = next(each for each in definitions if each["ref"] == schema["schema_ref"])
    if schema["type"] != "model" or schema["schema"]["type"] != "model-fields" or schema.get("custom_init"):
        return False
    return not schema.get("post_init") or model.model_post_init.__name__ == "init_private_attributes"


def _compile_field(model: type[BaseModel], name: str, info: FieldInfo, decorated: frozenset[str]) -> StoredField:
    try:
        codec = compile_codec(info, model.model_config)
    except Lossy as error:
        raise InvalidModel(model=model.__name__, field=name, reason=str(error)) from error
    frozen: Any = "frozen_instance" if model.model_config.get("frozen") else "frozen_field" if info.frozen else None
    plain = frozen is None and _is_judged_by_type(model, name, decorated)
    return StoredField(name, info, codec, plain, is_original(info), frozen)


def _is_judged_by_type(model: type[BaseModel], name: str, decorated: frozenset[str]) -> bool:
    validated = name in decorated or has_validators(model.model_fields[name])
    return not (validated or _looks_at_the_clock(model, name))


def _decorated_fields(model: type[BaseModel]) -> frozenset[str]:
    """Name the fields with a validator of the model's own; `*` is all of them."""
    decorators = model.__pydantic_decorators__
    every: list[Any] = [*decorators.field_validators.values(), *decorators.validators.values()]
    named = {name for decorator in every for name in decorator.info.fields}
    return frozenset(model.model_fields if "*" in named else named)


def _is_cross_field(model: type[BaseModel]) -> bool:
    decorators = model.__pydantic_decorators__
    if decorators.model_validators or decorators.root_validators:
        return True
    return any(_looks_at_others(each["schema"]) for each in _fields_of(model).values())


def _fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of the model's fields, as pydantic made them, with the model's own validators."""
    schema: Any = model.__pydantic_core_schema__
    definitions: list[dict[str, Any]] = []
    while schema["type"] != "model-fields":
        definitions = schema.get("definitions", definitions)
        if schema["type"] == "definition-ref":  # a model that nests itself
            schema = next(each for each in definitions if each["ref"] == schema["schema_ref"])
        else:
            schema = schema["schema"]
    return cast(dict[str, Any], schema["fields"])


def _looks_at_the_clock(model: type[BaseModel], name: str) -> bool:
    """Say whether only the model itself can tell if a value may be written: `FutureDate` stays readable for ever."""
    return any("now_op" in node for node in walk(_fields_of(model)[name]["schema"]))


def _looks_at_others(schema: dict[str, Any]) -> bool:
    """Say whether one of the field's validators takes an `info`, which shows it the other fields."""
    while True:
        function = schema.get("function")
        if isinstance(function, dict) and cast(dict[str, Any], function)["type"] == "with-info":
            return "field_name" in function or not _of_pydantic(cast(dict[str, Any], function)["function"])
        if "schema" not in schema or schema["type"] in ("model", "dataclass", "typed-dict"):
            return False
        schema = schema["schema"]


def _of_pydantic(function: object) -> bool:
    """Say whether a function is pydantic's own: some of its types take an `info`, for the mode alone."""
    return getattr(function, "__module__", "").partition(".")[0] in ("pydantic", "pydantic_core")


def _identity(model: type[BaseModel]) -> Callable[[str], Any] | None:
    info = model.model_fields.get(IDENTITY)
    if info is None:
        return None
    adapter: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
    schema: Any = adapter.core_schema
    while schema["type"] not in ("str", "int", "uuid"):
        if "schema" not in schema or schema["type"] == "model":
            raise InvalidModel(model=model.__name__, field=IDENTITY, reason="an identity is text, an int or a UUID")
        schema = schema["schema"]
    return adapter.validate_strings
