"""The descriptors that turn attribute access on a live object into commands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from . import _appends, _writes
from ._binding import Binding, Bound
from ._containers import ATOMS, is_echo, plain, wrap
from ._numbers import MARKABLE, Step, marked_read, pending, replay, sum_of
from ._schema import IDENTITY
from ._shortcut import Shortcut
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


class LiveField(property):
    """One field: reading it is `HGET`, assigning it is validate and write. A property: it is called without detour.

    What is read writes its own changes through: see `_numbers` and `_containers`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(self._read, self._write)
        self.name = name
        self._shortcut: Shortcut | None = None

    def _shortcut_of(self, binding: Binding) -> Shortcut:
        """Return the short way for a class of live objects; subclasses of a declared class share its fields."""
        shortcut = self._shortcut
        if shortcut is None or shortcut.binding is not binding:
            self._shortcut = shortcut = Shortcut(binding, self.name)
        return shortcut

    def _read(self, live: Bound) -> Any:
        id, binding, shortcut = live._id, live._binding, self._shortcut
        if shortcut is None or shortcut.binding is not binding:
            shortcut = self._shortcut_of(binding)
        raw, value = shortcut.read(id)
        kind = cast(Any, type(value))
        if kind in MARKABLE:
            return marked_read(value, live, self.name, raw)
        if kind in ATOMS:
            return value
        return wrap(LiveRoot(binding, id, self.name, raw, value), (), None, value)

    def _write(self, live: Bound, value: Any) -> None:
        kind = cast(Any, type(value))
        if kind in ATOMS:
            self._shortcut_of(live._binding).write(live._id, value)
        elif (steps := pending(value, live, self.name, alike=_one_object)) is not None:
            self._replay(live, steps, value._origin.raw)
        else:
            root = getattr(value, "_copy_root", None)
            if not (isinstance(root, LiveRoot) and root.is_of(live, self.name) and is_echo(value, root, ())):
                self._shortcut_of(live._binding).write(live._id, plain(value))

    def _replay(self, live: Bound, steps: tuple[Step, ...], raw: bytes | None) -> None:
        """Apply to what is stored the operations of a number that was read from here."""
        backend, space, creating = live._binding
        if (by := sum_of(steps)) is not None:
            backend.run(_writes.increment(space, live._id, self.name, by, creating=creating))
        else:
            step = partial(replay, steps)
            backend.run(_writes.change(space, live._id, self.name, step, basis=raw, creating=creating))


def _one_object(owner: object, live: Bound) -> bool:
    return owner is live or (type(owner) is type(live) and owner == live)


class LiveIdentity:
    """The model's `id` field: decoded from the key, never stored, never assigned. No I/O."""

    def __get__(self, live: Bound | None, owner: type) -> Any:
        return self if live is None else live._binding.space.schema.identity_of(live._id)

    def __set__(self, live: Bound, value: object) -> None:
        raise live._binding.space.schema.unknown(IDENTITY)
