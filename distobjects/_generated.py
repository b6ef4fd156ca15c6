"""Live objects of a pydantic model: a generated class whose instances pass for the model's.

`__dict__` answers one fresh read of the whole hash: it is what pydantic's serializers ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from . import _objects
from ._binding import Binding
from ._impersonation import MISSING, lookup, member, namespace, setter
from ._live import DObject, unknown
from ._live_fields import LiveField, LiveIdentity
from ._near_fields import Nearby, NearField
from ._schema import IDENTITY
from .errors import InvalidModel


class Generated(DObject):
    """The common part of the generated classes."""

    __slots__ = ()

    # What assigns each field: looking a descriptor up takes as long as a write has to spare.
    _writers: ClassVar[Mapping[str, Callable[[Any, Any], None]]]

    def __getattr__(self, name: str) -> Any:
        """Answer for what is no field, from the model, bound to this live object."""
        model = self._binding.space.schema.model
        found = lookup(self, model, name, lambda: snapshot(self))
        if found is MISSING:
            raise unknown(self, name)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if (write := self._writers.get(name)) is not None:
            write(self, value)
        elif set_property := setter(self._binding.space.schema.model, name):
            set_property(self, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return dir(self._binding.space.schema.model) + list(self._binding.space.schema.fields)

    def __iter__(self) -> Iterator[Any]:
        return iter(cast(Any, snapshot(self)))

    def __replace__(self, **changes: Any) -> BaseModel:
        return snapshot(self).model_copy(update=changes)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._binding.backend.pickled(self._binding.space, self._id)


def snapshot(live: DObject) -> BaseModel:
    """Return a plain instance of the model. One round trip."""
    return live._binding.backend.run(_objects.get(live._binding.space, live._id))


def live_class(binding: Binding, nearby: Nearby | None = None) -> type[Generated]:
    """Generate the class of a model's live objects."""
    schema = binding.space.schema
    _refuse_clashes(schema.model)
    members: dict[str, Any] = {name: _NotOurs(name) for name in ("id", "clear")}
    members |= namespace(schema.model)
    fields = {name: NearField(name, nearby) if nearby else LiveField(name) for name in schema.fields}
    members |= fields
    members["_writers"] = {name: field.fset for name, field in fields.items()}
    if schema.identity:
        members[IDENTITY] = LiveIdentity()
    members["_binding"] = binding
    members["__dict__"] = property(lambda live: vars(snapshot(live)))
    return type(schema.model.__name__, (Generated,), members)


# What a live object needs for itself; no field can have such a name, but a private attribute or a method can.
_PRIVATE = frozenset(name for base in Generated.__mro__ for name in vars(base) if name[0] == "_" != name[1]) | {
    "_binding",
    "_writers",
}


def _refuse_clashes(model: type[BaseModel]) -> None:
    for name in sorted(_PRIVATE):
        if name in model.__private_attributes__ or member(model, name) is not MISSING:
            raise InvalidModel(
                model=model.__name__, field=name, reason=f"live objects need {name!r} themselves; rename it"
            )


class _NotOurs:
    """Hands a name that `DObject` has for declared classes back to the model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, live: Generated | None, owner: type) -> Any:
        return self if live is None else live.__getattr__(self.name)


def make_live(cls: type[Generated], id: str) -> Any:
    """Return the live object of a canonical id. No I/O."""
    live = object.__new__(cls)
    object.__setattr__(live, "_id", id)
    return live
