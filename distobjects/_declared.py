"""The class form: a `DObject` subclass with markers and annotations becomes a model, and from there on a schema."""

from __future__ import annotations

import inspect
import typing
from typing import Any, cast

from pydantic import Field, create_model
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

from ._binding import Backend, Binding
from ._compiler import compile_schema
from ._live_fields import LiveField
from ._near_fields import NearField
from .errors import InvalidModel
from .fields import Marker

Declared = dict[str, tuple[Any, Any]]


def declare(cls: type, taken: frozenset[str]) -> Binding | None:
    """Bind a class by what it declares and replace its markers and defaults by live fields.

    Args:
        taken: public names of `DObject`, which no field can have.

    Returns:
        None where the class has no backend yet, or an annotation cannot be resolved yet.

    Raises:
        InvalidModel: a field cannot be stored, or has a name that is taken.
    """
    if "_declared" not in vars(cls):
        try:
            own = _own_fields(cls)
        except (NameError, PydanticUndefinedAnnotation):
            return None
        for name in own:
            if name in taken:
                reason = f"DObject itself has {name!r}; rename the field"
                raise InvalidModel(model=cls.__name__, field=name, reason=reason)
        type.__setattr__(cls, "_declared", own)
        for name in own:
            type.__setattr__(cls, name, LiveField(name))
    backend = _backend(cls)
    if backend is None:
        return None
    declared: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        declared.update(vars(base).get("_declared", {}))
    model: Any = create_model(cls.__name__, __module__=cls.__module__, **declared)
    model.__qualname__ = cls.__qualname__  # what tells two classes of one name apart
    schema = compile_schema(model)
    key_space = getattr(vars(cls).get("Meta"), "key_space", None) or cls.__name__
    space = backend.space(schema, key_space)
    if (nearby := backend._nearby(space)) is not None:
        for name in schema.fields:  # inherited ones too: what is near is kept by space
            if isinstance(inspect.getattr_static(cls, name), (LiveField, NearField)):
                type.__setattr__(cls, name, NearField(name, nearby))
    return Binding(backend, space, creating=schema.all_default)


def _own_fields(cls: type) -> Declared:
    annotated = [name for name in inspect.get_annotations(cls) if not name.startswith("_")]
    hints = typing.get_type_hints(cls, include_extras=True) if annotated else {}
    own: Declared = {
        name: (hints[name], vars(cls).get(name, ...))
        for name in annotated
        if typing.get_origin(hints[name]) is not typing.ClassVar and hints[name] is not typing.ClassVar
    }
    # Markers come from plain mixins too; annotations there are no fields, as in pydantic.
    for name, value in {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}.items():
        if isinstance(value, Marker):
            own[name] = (value.stored_as(), Field(default=None))
        elif type(value).__name__ == "PydanticDescriptorProxy":  # of field_validator, computed_field, ...
            reason = f"{name!r} has a decorator of pydantic's, which works in a BaseModel only; use objects(Model)"
            raise InvalidModel(model=cls.__name__, reason=reason)
        elif isinstance(value, FieldInfo) and name in vars(cls) and name not in own:
            raise InvalidModel(model=cls.__name__, field=name, reason="a Field() needs an annotation beside it")
    return own


def _backend(cls: type) -> Backend | None:
    """Return the backend of the nearest `Meta`; `key_space` is not inherited, the backend is."""
    for base in cls.__mro__:
        backend = getattr(vars(base).get("Meta"), "backend", None)
        if backend is not None:
            if not hasattr(backend, "space") or inspect.iscoroutinefunction(backend.run):
                reason = f"Meta.backend is to be a RedisBackend, as of connect(), not {backend!r}"
                raise InvalidModel(model=cls.__name__, reason=reason)
            return cast(Backend, backend)
    return None
