"""Markers for the fields of a `DObject` class, in the original library's way. No I/O.

Each keeps the original's bytes: as they are, without escapes, and None is an absent hash field.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar, overload

from ._codecs import Original

T = TypeVar("T")

__all__ = ["BooleanField", "DateTimeField", "FloatField", "IntegerField", "JSONField", "TextField"]


class Marker(Generic[T]):
    """A field that reads None where it is absent, and is deleted by assigning None."""

    annotation: Any = None

    def stored_as(self) -> Any:
        """Return the annotation of the model's field."""
        return Annotated[self.annotation | None, Original()]

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: object, owner: type) -> T | None: ...
        def __get__(self, instance: object, owner: type) -> Any: ...
        def __set__(self, instance: object, value: T | None) -> None: ...


class TextField(Marker[str]):
    """Text, stored as UTF-8."""

    annotation = str


class IntegerField(Marker[int]):
    """A whole number, stored as decimal text."""

    annotation = int


class FloatField(Marker[float]):
    """A number, stored as decimal text; `inf` and `nan` too."""

    annotation = float


class BooleanField(Marker[bool]):
    """True or False, stored as `true` or `false`."""

    annotation = bool


class DateTimeField(Marker[datetime]):
    """A point in time, stored in ISO 8601."""

    annotation = datetime


class JSONField(Marker[Any]):
    """Anything that JSON can hold, stored as JSON."""

    def stored_as(self) -> Any:
        return Annotated[Any, Original()]
