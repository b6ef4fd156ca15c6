"""Where a copy belongs: the field that it was read from, and the steps that lead into that field's value. No I/O."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, Protocol

from pydantic import BaseModel

from ._roundtrip import same


class Attribute(NamedTuple):
    """A step to an attribute."""

    name: str

    def find(self, target: Any) -> Any:
        return getattr(target, self.name)

    def reach(self, target: Any) -> Any:
        return self.find(target)

    def assign(self, target: Any, value: Any) -> None:
        if isinstance(target, BaseModel) and not target.model_config.get("frozen"):  # which __setattr__ alone refuses
            type(target).__pydantic_validator__.validate_assignment(target, self.name, value)
        else:
            setattr(target, self.name, value)


class Key(NamedTuple):
    """A step to a key of a mapping."""

    key: Any

    def find(self, target: Any) -> Any:
        return target[self.key]

    def reach(self, target: Any) -> Any:
        return self.find(target)

    def assign(self, target: Any, value: Any) -> None:
        target[self.key] = value


class Moved(Exception):
    """A place in a list holds another element than the one that was seen there."""


class Index:
    """A step to a place in a list: good for as long as the element that was seen there is there."""

    __slots__ = ("index", "seen")

    def __init__(self, index: Any, seen: Any) -> None:
        self.index = index
        self.seen = copy.deepcopy(seen)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Index) and self.index == other.index

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def find(self, target: Any) -> Any:
        return target[self.index]

    def reach(self, target: Any) -> Any:
        try:
            found = self.find(target)
        except IndexError:
            raise Moved from None
        if not same(found, self.seen):
            raise Moved
        return found

    def assign(self, target: Any, value: Any) -> None:
        self.reach(target)
        target[self.index] = value


Step = Attribute | Key | Index
Path = tuple[Step, ...]


class Root(Protocol):
    """The field that a copy was read from."""

    def apply(self, path: Path, operation: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Do `operation` on what `path` leads to; return its result, and the field's value as it is now."""
        ...

    def extend(self, items: Iterable[Any]) -> Any:
        """Append to the field, which is a list; return its value as it is now."""
        ...


class FrozenRoot:
    """A field whose copies cannot write through: every change is refused."""

    __slots__ = ("_way_out",)

    def __init__(self, way_out: str) -> None:
        self._way_out = way_out

    def apply(self, path: Path, operation: Callable[[Any], Any]) -> NoReturn:
        self._refuse()

    def extend(self, items: Iterable[Any]) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError(f"this copy cannot write through, and the change would be lost; {self._way_out}")
