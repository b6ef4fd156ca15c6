"""Live objects of a pydantic model: a generated class whose instances pass for the model's. Never touches the model.

1. `__class__` answers the model, so that isinstance, pydantic and FastAPI take a live object for an instance;
   `__dict__` answers one fresh read of the whole hash, which is what pydantic's serializers ask for.
2. What the user's model defines (methods, properties, computed fields, class variables, special methods) runs on the
   live object. What pydantic defines (`model_dump`, `model_copy`, iteration, ...) runs on a snapshot.
3. Looking a name up sends nothing; only calling what was found may.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, cast

from pydantic import BaseModel

from . import _objects
from ._binding import Binding, LiveField, LiveIdentity
from ._live import DObject, unknown
from ._schema import IDENTITY

# What a live object answers by itself, whatever the model says: identity, copying, pickling, repr, attribute access.
_OWN = frozenset(vars(DObject)) | frozenset(
    "__class__ __dict__ __dir__ __init__ __new__ __del__ __ne__ __reduce_ex__ __getstate__ __setstate__ __slots__ "
    "__getattribute__ __init_subclass__ __class_getitem__ __set_name__ __module__ __qualname__ __doc__ __annotations__ "
    "__annotate__ __annotate_func__ __annotations_cache__ __abstractmethods__ __parameters__ __orig_bases__ "
    "__signature__ __weakref__ __static_attributes__ __firstlineno__ __replace__ __iter__ __str__".split()
)
_MISSING = object()
# Unlike the private attributes of any instance: BaseModel.__eq__ then says that a snapshot equals no live object.
_NO_PRIVATE = {"": None}


class Generated(DObject):
    """The common part of the generated classes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Answer for what is no field, from the model, bound to this live object."""
        model = self._binding.space.schema.model
        if name in _INSTANCE_STATE:
            return _INSTANCE_STATE[name](model)
        if name in model.__private_attributes__:
            return model.__private_attributes__[name].get_default()
        if (inherited := _member(BaseModel, name)) is not _MISSING:
            if isinstance(inherited, types.FunctionType):
                return functools.partial(_on_snapshot, self, name)
            return getattr(model, name)
        member = _member(model, name)
        if member is _MISSING:
            raise unknown(self, name)
        if isinstance(member, functools.cached_property):
            return cast(Any, member).func(self)  # caches nothing: what it computes from changes elsewhere
        return member.__get__(self, model) if hasattr(member, "__get__") else member

    def __setattr__(self, name: str, value: object) -> None:
        setter = _member(self._binding.space.schema.model, name)
        if isinstance(setter, property) and setter.fset is not None:
            setter.fset(self, value)
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return dir(self._binding.space.schema.model) + list(self._binding.space.schema.fields)

    def __iter__(self) -> Iterator[Any]:
        return iter(cast(Any, _snapshot(self)))

    def __replace__(self, **changes: Any) -> BaseModel:
        return _snapshot(self).model_copy(update=changes)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._binding.backend.pickled(self._binding.space, self._id)


def _member(cls: type, name: str) -> Any:
    """Return what a class or its bases define under this name, unbound."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), _MISSING)


_INSTANCE_STATE: dict[str, Callable[[type[BaseModel]], Any]] = {
    "__pydantic_fields_set__": lambda model: set(model.model_fields),
    "model_fields_set": lambda model: set(model.model_fields),
    "__pydantic_extra__": lambda model: None,
    "model_extra": lambda model: None,
    "__pydantic_private__": lambda model: _NO_PRIVATE,
}


def _snapshot(live: DObject) -> BaseModel:
    """Return a plain instance of the model. One round trip."""
    return live._binding.backend.run(_objects.get(live._binding.space, live._id))


def _on_snapshot(live: DObject, name: str, *args: Any, **options: Any) -> Any:
    return getattr(_snapshot(live), name)(*args, **options)


def live_class(binding: Binding) -> type[Generated]:
    """Generate the class of a model's live objects."""
    schema = binding.space.schema
    model = schema.model
    namespace: dict[str, Any] = {"__slots__": (), "__module__": model.__module__, "__doc__": model.__doc__}
    for name in ("id", "clear"):  # public on a declared class only: here they are the model's, or nobody's
        namespace[name] = _NotOurs(name)
    namespace |= _special_methods(model)
    namespace |= {name: LiveField(name) for name in schema.fields}
    if schema.identity:
        namespace[IDENTITY] = LiveIdentity()
    namespace |= {
        "_binding": binding,
        "__class__": property(lambda live: model),
        "__dict__": property(lambda live: vars(_snapshot(live))),
    }
    return type(model.__name__, (Generated,), namespace)


class _NotOurs:
    """Hands a name of `DObject` back to the model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, live: Generated | None, owner: type) -> Any:
        return self if live is None else Generated.__getattr__(live, self.name)


def _special_methods(model: type[BaseModel]) -> dict[str, Any]:
    """Return what the user's classes define for operators and built-in functions, which Python looks up on the type."""
    found: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        if base in (object, BaseModel) or base.__module__.partition(".")[0] in ("pydantic", "typing", "abc"):
            continue
        for name, member in vars(base).items():
            special = name.startswith("__") and name.endswith("__") and not name.startswith("__pydantic")
            if special and callable(member) and (name not in _OWN or name in ("__iter__", "__str__")):
                found[name] = member
    return found


def make_live(cls: type[Generated], id: str) -> Any:
    """Return the live object of a canonical id. No I/O."""
    live = object.__new__(cls)
    object.__setattr__(live, "_id", id)
    return live
