"""The descriptors that turn attribute access on a live object into commands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from . import _appends, _objects, _writes
from ._binding import Binding, Bound
from ._containers import ATOMS, is_echo, plain, wrap
from ._flow import Flow
from ._numbers import Origin, mark, pending, replay, sum_of
from ._schema import IDENTITY
from ._steps import Moved, Path
from ._writes import Changed
from .errors import Conflict


class LiveRoot:
    """A field of a live object: changes are committed."""

    __slots__ = ("_binding", "_held", "_id", "_name")

    def __init__(self, binding: Binding, id: str, name: str, raw: bytes | None, value: Any) -> None:
        self._binding = binding
        self._id = id
        self._name = name
        self._held = Changed(raw, value)  # in one piece: another thread may change the field through the same copy

    def apply(self, path: Path, operation: Callable[[Any], Any]) -> tuple[Any, Any]:
        result: Any = None

        def step(value: Any) -> Any:
            nonlocal result
            result = operation(functools.reduce(lambda target, each: each.reach(target), path, value))
            return value

        backend, space, creating = self._binding
        flow = _writes.change(space, self._id, self._name, step, basis=self._held.raw, creating=creating)
        try:
            changed = backend.run(flow)
        except Moved as error:
            raise Conflict(model=space.schema.name, id=self._id, fields=[self._name]) from error
        self._held = changed
        return result, changed.value

    def extend(self, items: Iterable[Any]) -> Any:
        backend, space, creating = self._binding
        flow = _appends.extend(space, self._id, self._name, items, known=self._held, creating=creating)
        changed = backend.run(flow)
        assert changed is not None  # since it has said what it knew
        self._held = changed
        return changed.value

    def is_of(self, live: Bound, name: str) -> bool:
        """Say whether this is the field of this name of this live object."""
        return self._name == name and self._id == live._id and self._binding == live._binding


class LiveField:
    """One field: reading it is `HGET`, assigning it is validate and write.

    What is read writes its own changes through: see `_numbers` and `_containers`.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, live: Bound | None, owner: type) -> Any:
        if live is None:
            return self
        backend, space, creating = live._binding
        raw, value = backend.run(_objects.fetch(space, live._id, self.name, creating=creating))
        marked = mark(value, Origin(live, self.name, raw))
        if marked is not value or type(value) in ATOMS:
            return marked
        return wrap(LiveRoot(live._binding, live._id, self.name, raw, value), (), None, value)

    def __set__(self, live: Bound, value: Any) -> None:
        backend, space, creating = live._binding
        id, name = live._id, self.name
        if type(value) in ATOMS:
            flow: Flow[Any] = _writes.write(space, id, {name: value}, creating=creating)
        elif (steps := pending(value, live, name, alike=_one_object)) is None:
            root = getattr(value, "_copy_root", None)
            if isinstance(root, LiveRoot) and root.is_of(live, name) and is_echo(value, root, ()):
                return
            flow = _writes.write(space, id, {name: plain(value)}, creating=creating)
        elif (by := sum_of(steps)) is not None:
            flow = _writes.increment(space, id, name, by, creating=creating)
        else:
            raw = value._origin.raw
            flow = _writes.change(space, id, name, partial(replay, steps), basis=raw, creating=creating)
        backend.run(flow)


def _one_object(owner: object, live: Bound) -> bool:
    return owner is live or (type(owner) is type(live) and owner == live)


class LiveIdentity:
    """The model's `id` field: decoded from the key, never stored, never assigned. No I/O."""

    def __get__(self, live: Bound | None, owner: type) -> Any:
        return self if live is None else live._binding.space.schema.identity_of(live._id)

    def __set__(self, live: Bound, value: object) -> None:
        raise live._binding.space.schema.unknown(IDENTITY)
