"""`F(Student).home.city`: a field named so that type checkers see its type. No I/O."""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel

from ._schema import Schema, nearest
from .errors import UnknownField

M = TypeVar("M", bound=BaseModel)


class Reference:
    """A field of a model, or a path into one: at run time what `F(Student).age` gives, the same one each time."""

    def __init__(self, model: type[BaseModel], path: tuple[str, ...], inner: Any) -> None:
        self._model = model
        self._path = path
        self._inner = inner

    def __getattr__(self, name: str) -> Reference:
        nested = _model_in(self._inner)
        if nested is None or name not in nested.model_fields:
            hint = None if nested is None else nearest(name, nested.model_fields)
            raise UnknownField(model=".".join((self._model.__name__, *self._path)), field=name, hint=hint)
        made = Reference(self._model, (*self._path, name), nested.model_fields[name].annotation)
        return cast(Reference, self.__dict__.setdefault(name, made))  # where the next access finds it without a call

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} names a field and has no truth; read it, or compare what read() gives")

    def __repr__(self) -> str:
        return ".".join((f"F({self._model.__name__})", *self._path))


def F(model: type[M]) -> M:
    """Return references to the fields of a model, statically an instance of it.

    Examples:
        >>> from pydantic import BaseModel
        >>> class Student(BaseModel):
        ...     name: str
        >>> F(Student).name
        F(Student).name
    """
    return cast(M, _root(model))


@functools.cache
def _root(model: type[BaseModel]) -> Reference:
    return Reference(model, (), model)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation is, or is beside None."""
    if get_origin(annotation) is Annotated:
        return _model_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not types.NoneType]
        return _model_in(arms[0]) if len(arms) == 1 else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def path_of(schema: Schema, reference: object) -> tuple[str, ...]:
    """Return the path that a reference names in this model.

    Raises:
        TypeError: it is no reference, or one of another model.
    """
    if not isinstance(reference, Reference) or not reference._path:
        raise TypeError(
            f"a field reference such as F({schema.name}).{next(iter(schema.fields))} is needed, not {reference!r}"
        )
    if reference._model is not schema.model:
        raise TypeError(f"{reference!r} is no field of {schema.name}")
    return reference._path


def field_of(schema: Schema, reference: object) -> str:
    """Return the stored field that a reference names.

    Raises:
        TypeError: it names a part of a field, which is no hash field of its own, or the identity.
    """
    name, *rest = path_of(schema, reference)
    if rest:
        raise TypeError(f"{reference!r} is a part of field {name!r}; name the whole field")
    return schema.field(name).name


def select(value: Any, path: Sequence[str]) -> Any:
    """Follow the rest of a path into a decoded value; None stays None."""
    for name in path:
        if value is None:
            return None
        value = getattr(value, name)
    return value
