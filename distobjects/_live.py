"""The live object: attribute access that reads and writes one Redis hash field. It holds an id and no data.

Only names of stored fields reach Redis. Whatever else is asked for, by hasattr, dir, copy, repr or a debugger, is
answered from the class.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from . import _objects
from ._binding import Binding
from ._declared import declare
from ._live_fields import LiveField, LiveIdentity
from ._schema import nearest
from ._space import Id, canonical
from .errors import InvalidModel, UnknownField

_PUBLIC = frozenset({"id", "clear"})


class DObject:
    """A live object. As a base class: the original library's way to declare one.

    The class form creates by assignment where every field has a default. Its `Meta` names the backend, which
    subclasses inherit, and may name a `key_space`, which they don't; the default is the name of the class.

    Examples:
        >>> from distobjects import DObject, connect
        >>> from distobjects.fields import TextField
        >>> class MyStudent(DObject):
        ...     class Meta:
        ...         backend = connect("memory://")
        ...     first_name = TextField()
        ...     nickname: str | None = None
        >>> student = MyStudent("1")
        >>> student.first_name = "Harry"
        >>> MyStudent("1").first_name
        'Harry'
    """

    __slots__ = ("__weakref__", "_id")

    _id: str
    _binding: ClassVar[Binding]

    def __init__(self, id: Id) -> None:
        cls = type(self)
        if "_binding" not in vars(cls):
            binding = declare(cls, _PUBLIC)
            if binding is None:
                reason = "its Meta names no backend, or an annotation names what does not exist"
                raise InvalidModel(model=cls.__name__, reason=reason)
            cls._binding = binding
        object.__setattr__(self, "_id", canonical(id))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_binding" not in vars(cls) and (binding := declare(cls, _PUBLIC)) is not None:
            cls._binding = binding

    @property
    def id(self) -> str:
        """The object's id, as text."""
        return self._id

    def clear(self) -> None:
        """Delete the object with all its fields. One round trip: `DEL`."""
        self._binding.backend.run(_objects.delete(self._binding.space, self._id))

    if not TYPE_CHECKING:  # a declared __getattr__ would make every misspelt name valid to a type checker

        def __getattr__(self, name: str) -> Any:
            raise unknown(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        member = inspect.getattr_static(type(self), name, None)
        if not isinstance(member, (LiveField, LiveIdentity)) and getattr(member, "fset", None) is None:
            raise unknown(self, name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name!r} of {self!r} cannot be deleted; assign it, or delete the whole object")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DObject) and self._place() == other._place()

    def __hash__(self) -> int:
        return hash(self._place())

    def _place(self) -> tuple[int, str]:
        return id(self._binding.backend), self._binding.space.key(self._id)

    def __repr__(self) -> str:
        return f"<live {self._binding.space.schema.name} {self._binding.space.key(self._id)!r}>"

    def __copy__(self) -> DObject:
        return self

    def __deepcopy__(self, memo: object) -> DObject:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._id,)


def unknown(live: DObject, name: str) -> Exception:
    """Make the error for an attribute that a live object does not have; nothing is sent."""
    schema = live._binding.space.schema
    if name.startswith("_"):  # a probe, or a private attribute: no field is near it
        return UnknownField(model=schema.name, field=name)
    public = (each for each in dir(schema.model) if not each.startswith(("_", "model_")))
    return UnknownField(model=schema.name, field=name, hint=nearest(name, (*schema.fields, *public)))
