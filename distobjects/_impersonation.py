"""How an object passes for an instance of the user's class without being one. Never touches that class. No I/O.

1. `__class__` answers the class, so that isinstance, pydantic and FastAPI take the object for an instance.
2. What the user defines (methods, properties, computed fields, class variables, special methods) runs on the object
   itself, and so sees and changes what the object stands for.
3. What pydantic defines (`model_dump`, `model_copy`, iteration, ...) runs on a plain instance, and gives plain values.
4. Looking a name up does nothing; only calling what was found may.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import ModelPrivateAttr
from pydantic_core import PydanticUndefined

MISSING: Any = object()

# What stands for another object answers by itself, whatever the user's class says.
_OWN = frozenset(
    "__class__ __dict__ __dir__ __init__ __new__ __del__ __eq__ __ne__ __hash__ __repr__ __copy__ __deepcopy__ "
    "__replace__ __reduce__ __reduce_ex__ __getstate__ __setstate__ __getattr__ __getattribute__ __setattr__ "
    "__delattr__ __slots__ __weakref__ __init_subclass__ __class_getitem__ __set_name__ __module__ __qualname__ "
    "__doc__ __annotations__ __annotate__ __annotate_func__ __annotations_cache__ __abstractmethods__ __parameters__ "
    "__orig_bases__ __signature__ __static_attributes__ __firstlineno__ __post_init__ __match_args__".split()
)
# Unlike the private attributes of any instance: BaseModel.__eq__ then says that no plain instance equals the object.
_NO_PRIVATE = {"": None}
_STATE: dict[str, Callable[[type[BaseModel]], Any]] = {
    "__pydantic_fields_set__": lambda model: set(model.model_fields),
    "model_fields_set": lambda model: set(model.model_fields),
    "__pydantic_extra__": lambda model: None,
    "model_extra": lambda model: None,
    "__pydantic_private__": lambda model: _NO_PRIVATE,
}


def namespace(cls: type) -> dict[str, Any]:
    """Return what a class that passes for `cls` begins with."""
    return {
        "__slots__": (),
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
        "__class__": property(lambda self: cls),
        **_special_methods(cls),
    }


def _special_methods(cls: type) -> dict[str, Any]:
    """Return what the user defines for operators and built-in functions, which Python looks up on the type."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is object or base.__module__.partition(".")[0] in ("pydantic", "typing", "abc"):
            continue
        for name, member in vars(base).items():
            special = name.startswith("__") and name.endswith("__") and not name.startswith("__pydantic")
            if special and callable(member) and name not in _OWN:
                found[name] = member
    return found


def member(cls: type, name: str) -> Any:
    """Return what a class or its bases define under this name, unbound; `MISSING` where none does."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), MISSING)


def lookup(stand_in: object, model: type[BaseModel], name: str, plain: Callable[[], BaseModel]) -> Any:
    """Return what an instance of the model has under a name that is no field; `MISSING` where it has nothing.

    Args:
        stand_in: what passes for the instance.
        plain: makes the plain instance that pydantic's own methods run on.
    """
    if name in _STATE:
        return _STATE[name](model)
    if name in model.__private_attributes__:
        return _private_default(model.__private_attributes__[name], name, plain)
    if (inherited := member(BaseModel, name)) is not MISSING:
        if isinstance(inherited, types.FunctionType):
            return functools.partial(_call, plain, name)
        return getattr(model, name)
    return bound(stand_in, model, name)


def _private_default(attribute: ModelPrivateAttr, name: str, plain: Callable[[], BaseModel]) -> Any:
    factory: Callable[[], Any] | None = cast(Any, attribute).default_factory
    if factory is None:
        default = attribute.get_default()
        return MISSING if default is PydanticUndefined else default
    if getattr(attribute, "default_factory_takes_validated_data", False):  # from pydantic 2.14 on
        return getattr(plain(), name)
    return factory()


def bound(stand_in: object, cls: type, name: str) -> Any:
    """Return a member of a class, bound to the stand-in; `MISSING` where there is none."""
    found = member(cls, name)
    if isinstance(found, functools.cached_property):
        return cast(Any, found).func(stand_in)  # caches nothing: what it computes from changes elsewhere
    return found.__get__(stand_in, cls) if hasattr(found, "__get__") else found


def _call(plain: Callable[[], BaseModel], name: str, *args: Any, **options: Any) -> Any:
    return getattr(plain(), name)(*args, **options)


def setter(cls: type, name: str) -> Callable[[Any, Any], None] | None:
    """Return the setter of a property of the user's, if this is one."""
    found = member(cls, name)
    return found.fset if isinstance(found, property) else None
