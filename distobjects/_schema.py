"""What a model means in Redis: compiled once per model, before any I/O. Never touches the user's class."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticSerializationError

from ._codecs import Codec
from ._roundtrip import Lossy
from ._rows import Row, Rows, instance
from ._space import canonical
from .errors import CorruptData, FieldUnset, UnknownField

IDENTITY = "id"


@dataclass(frozen=True, slots=True)
class StoredField:
    """One field of a model: one field of the Redis hash, of the same name.

    Attributes:
        plain: no validator of the model's own looks at it, so its type decides alone whether a value is valid.
        none_is_absent: None is stored by deleting the field, as the original library's fields have it.
        frozen: what forbids assigning it. Of a whole model, pydantic asks for that in `__setattr__` alone.
    """

    name: str
    info: FieldInfo
    codec: Codec
    plain: bool
    none_is_absent: bool
    frozen: Literal["frozen_instance", "frozen_field"] | None

    @property
    def default_reads_others(self) -> bool:
        """Whether the default is made from the values of the other fields."""
        return bool(self.info.default_factory_takes_validated_data)


@dataclass(frozen=True, slots=True)
class Schema:
    """The compiled model.

    Attributes:
        fields: what is stored, by name, in the model's order; the identity is not among it.
        identity: reads the id as the model's own `id` field has it; None where the model has no such field.
        cross_field: a write to one field may be refused because of another one, so each is validated whole.
        rows: the short ways of whole objects.
    """

    model: type[BaseModel]
    name: str
    fields: Mapping[str, StoredField]
    identity: Callable[[str], Any] | None
    cross_field: bool
    rows: Rows

    @property
    def all_default(self) -> bool:
        """Whether an object may come into being field by field, since it is valid with none of them."""
        return not any(each.info.is_required() for each in self.fields.values())

    def field(self, name: str) -> StoredField:
        """Return the field of this name, or raise `UnknownField` with the nearest one."""
        try:
            return self.fields[name]
        except KeyError:
            raise self.unknown(name) from None

    def unknown(self, name: str) -> Exception:
        """Make the error for a name that is no stored field."""
        if name == IDENTITY and self.identity:
            return AttributeError(f"{self.name}.id is the object's identity: it is not stored and cannot be changed")
        return UnknownField(model=self.name, field=name, hint=nearest(name, self.fields))

    def decode(self, id: str, name: str, raw: bytes) -> Any:
        """Return the value of a field's bytes.

        Raises:
            CorruptData: they are not what the type and its constraints admit. A secret's bytes are in no message.
        """
        codec = self.fields[name].codec
        try:
            return codec.decode(raw)
        except Exception as error:  # noqa: BLE001  # a nested model's validator may raise anything; raised on below
            cause = error
        corrupt = CorruptData(model=self.name, id=id, field=name, length=len(raw), kind=_kind(cause))
        if codec.secret:  # raised here, it has no context either, which would hold the bytes
            raise corrupt
        raise corrupt from cause

    def decode_all(self, id: str, raws: Mapping[str, bytes | None]) -> dict[str, Any]:
        """Return the values of a whole object; a default stands for what is absent.

        Raises:
            CorruptData: bytes that do not decode.
            FieldUnset: an absent field has no default.
        """
        values: dict[str, Any] = {} if self.identity is None else {IDENTITY: self.identity_of(id)}
        for name in self.fields:
            raw = raws.get(name)
            values[name] = self.default(id, name, values) if raw is None else self.decode(id, name, raw)
        return values

    def load(self, id: str, row: Row) -> dict[str, Any] | None:
        """Return the values of a whole object by the short way; None where it takes `decode_all` to tell them."""
        return self.rows.load(id, row)

    def default(self, id: str, name: str, others: Mapping[str, Any]) -> Any:
        """Return what an absent field reads as; `others` are the values of the fields before it.

        Raises:
            FieldUnset: it has no default.
        """
        info = self.fields[name].info
        if info.is_required():
            raise FieldUnset(model=self.name, id=id, field=name)
        value = info.get_default(call_default_factory=True, validated_data=dict(others))
        asked = info.validate_default
        if not (self.model.model_config.get("validate_default") if asked is None else asked):
            return value
        return self.fields[name].codec.validate(value) if self.fields[name].frozen else self.check(name, value)

    def identity_of(self, id: str) -> Any:
        """Return the id as the model's own `id` field has it.

        Raises:
            CorruptData: the key holds an id that the field refuses.
        """
        assert self.identity is not None
        try:
            return self.identity(id)
        except ValidationError as error:
            kind = f"the id is no {self.name}.id"
            raise CorruptData(model=self.name, id=id, field=IDENTITY, length=None, kind=kind) from error

    def misspells(self, id: str) -> bool:
        """Say whether a number or a UUID is written otherwise than ids are: `01` reads as 1, whose id is `1`."""
        if self.identity is None:
            return False
        try:
            value = self.identity(id)
        except ValidationError:
            return False  # no id of this model at all: who reads it is told
        return not isinstance(value, str) and canonical(value) != id

    def snapshot(self, values: dict[str, Any]) -> BaseModel:
        """Return an instance of the model that holds these values, which are valid already."""
        return self.rows.snapshot(values)

    def scratch(self, values: dict[str, Any]) -> BaseModel:
        """Return a throw-away instance that a failing validator may leave in any state."""
        return instance(self.model, values, set())

    def check(self, name: str, value: Any) -> Any:
        """Validate one value through the model; return what the model makes of it.

        In a cross-field model only the type is judged here, and nothing where the field has validators of its own,
        which may look at other fields: such a model is validated whole, with `check_whole`.

        Raises:
            ValidationError: the model refuses it.
        """
        stored = self.field(name)
        if stored.frozen:
            self._refuse_frozen(name, value)
        if self.cross_field:
            return self._of_type(name, value, stored.codec.validate) if stored.plain else value
        if stored.plain:
            try:
                return stored.codec.validate(value)
            except ValidationError:
                pass  # said again below, by the model, which adds the field's place
        scratch = self.scratch({})
        self.model.__pydantic_validator__.validate_assignment(scratch, name, value)
        return self._typed(name, scratch.__dict__[name])

    def _typed(self, name: str, value: Any) -> Any:
        """Check what a validator of the model's own has returned, which pydantic does not."""
        codec = self.fields[name].codec
        try:
            return codec.validate(codec.reopen(value))
        except ValidationError as error:
            raise self._refusal(_within(name, each) for each in _details(error)) from None

    def check_changed(self, name: str, value: Any) -> Any:
        """Validate a value that was changed in place, into the models nested in it, then through the model.

        Cross-field validators see nothing here, as in `check`.
        """
        again = self._of_type(name, value, self.field(name).codec.revalidate)
        return again if self.cross_field or self.fields[name].plain else self.check(name, again)

    def _of_type(self, name: str, value: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            raise self._refusal(_within(name, each) for each in _details(error)) from None

    def check_many(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Validate several fields, each for itself; report all that is wrong in one error."""
        checked: dict[str, Any] = {}
        errors: list[InitErrorDetails] = []
        for name, value in changes.items():
            try:
                checked[name] = self.check(name, value)
            except ValidationError as error:
                errors += _details(error)
        if errors:
            raise self._refusal(errors)
        return checked

    def check_whole(self, values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Validate the object that `changes` would make of `values`, by all of the model's validators.

        Returns:
            Every stored field's value, as the validators leave it. A field with validators of its own that is not
            among the changes keeps its value: one that transforms (hashes a password, say) must not run twice.
        """
        for name in changes:
            self._refuse_frozen(name, changes[name])
        merged = {**self._reopened(values), **changes}
        # What is given for a nested model may be by its aliases. The model's own would take one field for another.
        by_alias = all(info.validation_alias is None for info in self.model.model_fields.values())
        whole: BaseModel = self.model.__pydantic_validator__.validate_python(merged, by_alias=by_alias, by_name=True)
        return {
            name: whole.__dict__[name] if field.plain or name in changes or name not in values else values[name]
            for name, field in self.fields.items()
        }

    def _reopened(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return validated values as what validation accepts, so that it may run again."""
        fields = self.fields
        return {name: fields[name].codec.reopen(value) if name in fields else value for name, value in values.items()}

    def _refuse_frozen(self, name: str, value: Any) -> None:
        if kind := self.field(name).frozen:
            raise self._refusal([{"type": kind, "loc": (name,), "input": value}])

    def check_instance(self, value: BaseModel) -> Mapping[str, Any]:
        """Check a whole instance, which may have been changed since it was made; return what is to be stored.

        The model's own validators judge it, and what they make of it is dropped: they ran when it was made, and
        one that transforms (hashes a password, say) must not run twice. One that fails with no verdict, because it
        takes only raw input (splits a text, say), has judged when the instance was made.

        Raises:
            TypeError: it is no instance of the model, or one of a subclass with fields of its own.
            ValidationError: the model refuses it.
        """
        names = self.model.model_fields.keys()  # asked for once: pydantic makes it a third of a microsecond
        if not isinstance(value, self.model) or value.__class__.model_fields.keys() != names:
            raise TypeError(f"an instance of {self.name} is needed, not of {type(value).__name__}")
        held = {name: each for name, each in vars(value).items() if name in names}
        judged: BaseModel | None = None
        try:
            judged = self.model.__pydantic_validator__.validate_python(
                self._reopened(held), by_alias=False, by_name=True
            )
        except ValidationError:
            raise
        except Exception:
            if self.cross_field or not self.fields.keys() <= held.keys():
                raise
        if judged is not None and not self.cross_field and all(field.plain for field in self.fields.values()):
            return {name: judged.__dict__[name] for name in self.fields}
        return {name: self._typed(name, held[name]) for name in self.fields}

    def encode(self, name: str, value: Any, *, revalidated: bool = False) -> bytes | None:
        """Return the bytes of a validated value; None where the field is to be absent.

        Args:
            revalidated: `check_changed` has returned it, of a field without validators of the model's own.

        Raises:
            ValidationError: the bytes would not come back as the same value.
        """
        field = self.fields[name]
        if value is None and field.none_is_absent:
            return None
        try:
            return field.codec.encode_again(value) if revalidated and field.plain else field.codec.encode(value)
        except (Lossy, UnicodeEncodeError, PydanticSerializationError) as error:
            reason = str(error) if not isinstance(error, UnicodeEncodeError) else "a lone surrogate has no UTF-8 form"
        kind = PydanticCustomError("not_storable", "{reason}", {"reason": reason})
        raise self._refusal([{"type": kind, "loc": (name,), "input": value}])

    def encode_all(self, values: Mapping[str, Any]) -> dict[str, bytes | None]:
        """Return the bytes of several validated values."""
        return {name: self.encode(name, value) for name, value in values.items()}

    def encode_instance(self, value: BaseModel) -> Row:
        """Check a whole instance, as `check_instance` does, and return the bytes of its fields in their order.

        Raises:
            TypeError: it is no instance of the model, or one of a subclass with fields of its own.
            ValidationError: the model refuses it, or the bytes would not come back as the same value.
        """
        row = self.rows.dump(value)
        return [*self.encode_all(self.check_instance(value)).values()] if row is None else row

    def located(self, refused: Iterable[tuple[str, ValidationError]]) -> ValidationError:
        """Make one error of those of several objects, each of which begins its place with the object's id."""
        return self._refusal(_within(id, detail) for id, error in refused for detail in _details(error))

    def _refusal(self, details: Iterable[InitErrorDetails]) -> ValidationError:
        """Make an error that shows no value where the model's own errors show none."""
        hide = bool(self.model.model_config.get("hide_input_in_errors"))
        return ValidationError.from_exception_data(self.name, list(details), hide_input=hide)


def _kind(error: Exception) -> str:
    """Name what is wrong with bytes, without them."""
    if isinstance(error, ValidationError):
        return error.errors(include_input=False)[0]["type"]
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else type(error).__name__


def _details(error: ValidationError) -> list[InitErrorDetails]:
    return [_as_detail(each) for each in error.errors(include_url=False)]


def _within(name: str, detail: InitErrorDetails) -> InitErrorDetails:
    """Place an error of a field's own validator below the field."""
    return {**detail, "loc": (name, *detail.get("loc", ()))}


def _as_detail(error: Any) -> InitErrorDetails:
    """Turn one of an error's details back into what a ValidationError is made of."""
    detail = InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"], ctx=error.get("ctx", {}))
    try:
        ValidationError.from_exception_data("", [detail])
    except (KeyError, TypeError, ValueError):  # a custom error: pydantic-core knows no text for its type
        detail["type"] = PydanticCustomError(error["type"], error["msg"].replace("{", "{{"))
    return detail


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)


def id_in(schema: Schema, value: BaseModel) -> str | None:
    """Return the id that a value of the model carries; None where it carries none."""
    carried = getattr(value, IDENTITY, None) if schema.identity else None
    return None if carried is None else canonical(carried)
