"""What a class of live objects is bound to, and the descriptors that turn attribute access into commands."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

from . import _objects
from ._flow import Flow
from ._schema import IDENTITY, Schema
from ._space import Space

T = TypeVar("T")


class Backend(Protocol):
    """What a live object needs of its backend."""

    def run(self, flow: Flow[T]) -> T: ...
    def space(self, schema: Schema, name: str | None) -> Space: ...
    def pickled(self, space: Space, id: str) -> tuple[Any, ...]: ...


class Binding(NamedTuple):
    """Where the live objects of one class live.

    Attributes:
        backend: what runs their flows; two live objects are equal if this is the same, and so is their key.
        creating: assignment brings an absent object into being, and reading one gives its defaults.
    """

    backend: Backend
    space: Space
    creating: bool = False


class Bound(Protocol):
    """A live object, as its descriptors see it."""

    _binding: Binding
    _id: str


class LiveField:
    """One field: reading it is `HGET`, assigning it is validate and write."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, live: Bound | None, owner: type) -> Any:
        if live is None:
            return self
        backend, space, creating = live._binding
        return backend.run(_objects.read(space, live._id, self.name, lenient=creating))

    def __set__(self, live: Bound, value: object) -> None:
        backend, space, creating = live._binding
        backend.run(_objects.write(space, live._id, {self.name: value}, creating=creating))


class LiveIdentity:
    """The model's `id` field: decoded from the key, never stored, never assigned. No I/O."""

    def __get__(self, live: Bound | None, owner: type) -> Any:
        return self if live is None else live._binding.space.schema.identity_of(live._id)

    def __set__(self, live: Bound, value: object) -> None:
        raise live._binding.space.schema.unknown(IDENTITY)
