"""What a class of live objects is bound to."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from ._flow import Flow
from ._schema import Schema
from ._space import Space
from ._watching import Difference, Watching

if TYPE_CHECKING:
    from ._near_fields import Nearby
    from ._sync import Runner

T = TypeVar("T")


class Backend(Protocol):
    """What a live object needs of its backend."""

    @property
    def _short(self) -> Runner | None:
        """What sends a command that has been packed before; None where all must be a flow."""
        ...

    def run(self, flow: Flow[T]) -> T: ...
    def space(self, schema: Schema, name: str | None) -> Space: ...
    def lease(self, key: str, lease_seconds: float, wait_seconds: float) -> Any: ...
    def _nearby(self, space: Space) -> Nearby | None: ...
    def pickled(self, space: Space, id: str) -> tuple[Any, ...]: ...


class Home(Backend, Protocol):
    """What all objects of a model need of it."""

    def _each(self, flows: Iterable[Flow[T]]) -> Generator[T, None, None]: ...
    def _differences(self, watching: Watching, poll_seconds: float) -> Generator[Difference, None, None]: ...
    def _mirrored(
        self, space: Space, ids: Collection[str], lease_seconds: float, poll_seconds: float
    ) -> AbstractContextManager[Backend]: ...


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
