"""Containers and nested models read from a live object: local copies that write every change through, at any depth.

1. Reading costs nothing more: a copy holds what was read, and after each change of its own what was committed. So do
   the copies above and below it; the same place in a copy gives the same copy, as in a container of Python's.
2. A change is replayed on what is stored now, validated, and committed by compare-and-set (`_writes.change`). What
   goes by value, key or attribute replays on anything. What goes through a place in a list replays only while the
   element that was seen there still is there; else it is a `Conflict`.
3. A container assigned back by its own operator (`s.tags += [x]`) is written once, by the operator.
4. What cannot be written through, such as a deque, or anything read through asyncio, refuses every change: none is
   ever lost silently.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, MappingView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from operator import methodcaller
from typing import Any, Self, cast
from uuid import UUID
from weakref import WeakValueDictionary

from pydantic import BaseModel

from ._impersonation import MISSING, bound, lookup, namespace, setter
from ._numbers import Origin, mark, pending, plain_number, replay, type_of
from ._roundtrip import same
from ._steps import Attribute, FrozenRoot, Index, Key, Moved, Path, Root, Step


class Copy:
    """What all copies share; a mixin of the classes below. Its names are none that a nested model may have itself."""

    __slots__ = ()

    _copy_root: Root
    _copy_path: Path
    _copy_parent: Copy | None
    _copy_children: WeakValueDictionary[Any, Copy]
    _copy_echo: bool

    def _copy_change(self, operation: Callable[[Any], Any]) -> Any:
        """Do `operation` on what is stored; show here, and in the copies above and below, what was committed."""
        result, value = self._copy_root.apply(self._copy_path, operation)
        self._copy_show_all(value)
        return result

    def _copy_show_all(self, value: Any) -> None:
        """Show here, and in the copies above and below, what became of the field."""
        chain: list[Copy] = [self]
        while (holder := chain[-1]._copy_parent) is not None:
            chain.append(holder)
        for each in reversed(chain):
            each._copy_show(value, chain)

    def _copy_show(self, value: Any, chain: list[Copy]) -> None:
        """Show what became of the field; `chain` are the copies from the one that was changed upwards."""
        for step in self._copy_path:
            try:
                value = step.find(value)
            except (AttributeError, LookupError):
                return  # it was taken out, as from any container of Python's
            if isinstance(step, Index):
                step.seen = copy.deepcopy(value)
        self._copy_show_below(value, chain)

    def _copy_show_below(self, value: Any, chain: list[Copy]) -> None:
        self._copy_hold(value)
        for key, child in list(self._copy_children.items()):
            if any(child is each for each in chain):  # shows it by itself; `in` would compare by value
                continue
            step = child._copy_path[-1]
            try:
                found = step.reach(value)
            except (AttributeError, LookupError, Moved):
                found = MISSING
            if type_of(found) is cast(Any, child).__class__:
                child._copy_show_below(found, chain)
            else:
                del self._copy_children[key]

    def _copy_hold(self, value: Any) -> None:
        """Take a value in as what this copy shows."""
        raise NotImplementedError

    def _copy_assign(self, step: Step, value: Any) -> None:
        """Assign below this copy: a value, or what an operator made of what was read from there."""
        if is_echo(value, self._copy_root, (*self._copy_path, step)):
            return
        key = step.index if isinstance(step, Index) else step[0]
        if (steps := pending(value, self, key)) is not None:
            self._copy_change(lambda target: step.assign(target, replay(steps, step.reach(target))))
        else:
            value = plain(value)
            self._copy_change(lambda target: step.assign(target, value))

    def _copy_child(self, step: Step, value: Any) -> Any:
        key = step.index if isinstance(step, Index) else step[0]
        marked = mark(value, Origin(self, key))
        if marked is not value:
            return marked
        known = self._copy_children.get(key)
        if known is not None and (not isinstance(step, Index) or same(cast(Index, known._copy_path[-1]).seen, value)):
            return known
        made = wrap(self._copy_root, (*self._copy_path, step), self, value)
        if isinstance(made, Copy):
            self._copy_children[key] = made
        return made

    def __copy__(self) -> Any:
        return copy.copy(plain(self))

    def __deepcopy__(self, memo: Any) -> Any:
        return plain(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return plain(self).__reduce_ex__(protocol)


def is_echo(value: Any, root: object, path: Path) -> bool:
    """Say whether a copy comes back from its own operator, which has written already; once."""
    if (
        not isinstance(value, Copy)
        or value._copy_root is not root
        or value._copy_path != path
        or not cast(Any, value)._copy_echo
    ):
        return False
    cast(Any, value)._copy_echo = False
    return True


# ---- the containers

# The built-in methods, called on what a type checker cannot see is one of them.
_LIST: Any = list
_DICT: Any = dict
_SET: Any = set
_DEQUE: Any = deque
_ORDERED_DICT: Any = OrderedDict
_DEFAULT_DICT: Any = defaultdict
# Their copies are only read.
_REFUSING = (deque, OrderedDict, defaultdict, Counter)


class _ListCopy(Copy):
    def _copy_hold(self, value: Any) -> None:
        _LIST.__setitem__(self, slice(None), value)

    def __getitem__(self, index: Any) -> Any:
        found: Any = _LIST.__getitem__(self, index)
        if isinstance(index, slice):
            places = range(*index.indices(len(cast(Any, self))))
            return [self._copy_child(Index(at, each), each) for at, each in zip(places, found, strict=True)]
        return self._copy_child(Index(index, found), found)

    def __iter__(self) -> Iterator[Any]:
        at = 0
        while at < len(cast(Any, self)):
            found: Any = _LIST.__getitem__(self, at)
            yield found if type(found) in ATOMS else self._copy_child(Index(at, found), found)
            at += 1

    def __reversed__(self) -> Iterator[Any]:
        yield from reversed([*self])

    def __add__(self, other: Any) -> list[Any]:
        return [*self, *other]

    def __radd__(self, other: Any) -> list[Any]:
        return [*other, *self]

    def __mul__(self, count: Any) -> list[Any]:
        return [*self] * count

    __rmul__ = __mul__

    def copy(self) -> list[Any]:
        return [*self]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            values: list[Any] = [plain(each) for each in value]
            self._at(index, lambda target: target.__setitem__(index, values))
        else:
            self._copy_assign(Index(index, _LIST.__getitem__(self, index)), value)

    def __delitem__(self, index: Any) -> None:
        self._at(index, lambda target: target.__delitem__(index))

    def append(self, item: Any) -> None:
        self.extend([item])

    def extend(self, items: Any) -> None:
        if self._copy_path:
            self._copy_change(methodcaller("extend", [plain(each) for each in items]))
        else:
            self._copy_show_all(self._copy_root.extend(items))

    def __iadd__(self, items: Any) -> Self:
        self.extend(items)
        self._copy_echo = True
        return self

    def pop(self, *index: Any) -> Any:
        """Without an index, take what is last by then; with one, the element that was seen there."""
        if not index:
            return self._copy_change(lambda target: target.pop())
        return self._at(index[0], lambda target: target.pop(index[0]))

    def insert(self, index: Any, value: Any) -> None:
        value = plain(value)
        self._at(slice(index, index + 1 or None), lambda target: target.insert(index, value))

    def _at(self, index: Any, operation: Callable[[Any], Any]) -> Any:
        """Do what goes by places, provided that they hold what was seen there."""
        seen = copy.deepcopy(_LIST.__getitem__(self, index))

        def checked(target: Any) -> Any:
            try:
                there = same(target[index], seen)
            except IndexError:
                there = False
            if not there:
                raise Moved
            return operation(target)

        return self._copy_change(checked)


class _DictCopy(Copy):
    def _copy_hold(self, value: Any) -> None:
        _DICT.clear(self)
        _DICT.update(self, value)

    def __getitem__(self, key: Any) -> Any:
        return self._copy_child(Key(key), _DICT.__getitem__(self, key))

    def __iter__(self) -> Iterator[Any]:  # seen by dict(copy), which would else take the values as they lie here
        yield from _DICT.__iter__(self)

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in cast(Any, self) else default

    def items(self) -> Any:
        return {key: self[key] for key in self}.items()

    def values(self) -> Any:
        return {key: self[key] for key in self}.values()

    def copy(self) -> dict[Any, Any]:
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        self._copy_assign(Key(key), value)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        self._copy_change(methodcaller("setdefault", key, plain(default)))
        return self[key]


class _SetCopy(Copy):
    def _copy_hold(self, value: Any) -> None:
        _SET.clear(self)
        _SET.update(self, value)


def _as_plain(name: str) -> Callable[..., Any]:
    """Make the method of a set that gives something new, as a plain set does."""

    def make(self: Any, *others: Any) -> Any:
        return getattr(set(self), name)(*others)

    return make


for _name in "copy union intersection difference symmetric_difference __or__ __and__ __sub__ __xor__ __repr__".split():
    setattr(_SetCopy, _name, _as_plain(_name))


class _DequeCopy(Copy):
    """Only read: its root refuses every change."""

    def _copy_hold(self, value: Any) -> None:
        _DEQUE.__init__(self, value, value.maxlen)

    def __getitem__(self, index: Any) -> Any:
        found: Any = _DEQUE.__getitem__(self, index)
        return self._copy_child(Index(index, found), found)

    def __iter__(self) -> Iterator[Any]:
        return (self[at] for at in range(len(cast(Any, self))))

    def __reversed__(self) -> Iterator[Any]:
        yield from reversed([*self])

    def copy(self) -> Any:
        return deque(self, cast(Any, self).maxlen)

    def __add__(self, other: Any) -> Any:
        return self.copy() + other

    def __mul__(self, count: Any) -> Any:
        return self.copy() * count

    __rmul__ = __mul__


class _OrderedDictCopy(_DictCopy):
    """Only read, as are the two below."""

    def _copy_hold(self, value: Any) -> None:
        for key, each in value.items():
            _ORDERED_DICT.__setitem__(self, key, each)

    def copy(self) -> Any:
        return OrderedDict(self.items())


class _DefaultDictCopy(_DictCopy):
    def _copy_hold(self, value: Any) -> None:
        _DEFAULT_DICT.__init__(self, value.default_factory, value)

    def copy(self) -> Any:
        return defaultdict(cast(Any, self).default_factory, self.items())


class _CounterCopy(_DictCopy):
    def copy(self) -> Any:
        return Counter(dict(self.items()))


def _by_name(name: str, *, in_place: bool) -> Callable[..., Any]:
    """Make the method that replays its namesake."""

    def change(self: Any, *args: Any, **options: Any) -> Any:
        args = tuple(plain(_repeatable(each)) for each in args)
        options = {key: plain(each) for key, each in options.items()}
        result = self._copy_change(partial(_called, name, args, options))
        if not in_place:
            return result
        self._copy_echo = True
        return self

    change.__name__ = name
    return change


def _repeatable(argument: Any) -> Any:
    """Return an argument that may be iterated again: the operation may be replayed."""
    return list(cast(Iterable[Any], argument)) if isinstance(argument, (Iterator, MappingView)) else argument


def _called(name: str, args: tuple[Any, ...], options: dict[str, Any], target: Any) -> Any:
    result = getattr(target, name)(*args, **options)
    if result is NotImplemented:
        raise TypeError(f"{name} does not take {type(args[0]).__name__}")
    return result


_SEQUENCE = "clear remove reverse __imul__"
_MAPPING = "__delitem__ pop popitem update clear __ior__"
# What changes each kind of container, besides what its mixin defines.
_METHODS: Mapping[type, tuple[type[Copy], str]] = {
    list: (_ListCopy, f"{_SEQUENCE} sort"),
    dict: (_DictCopy, _MAPPING),
    set: (
        _SetCopy,
        "add clear difference_update discard intersection_update pop remove symmetric_difference_update update "
        "__iand__ __ior__ __isub__ __ixor__",
    ),
    deque: (
        _DequeCopy,
        f"{_SEQUENCE} append appendleft extend extendleft __iadd__ insert pop popleft rotate __setitem__ __delitem__",
    ),
    OrderedDict: (_OrderedDictCopy, f"{_MAPPING} move_to_end setdefault __setitem__"),
    defaultdict: (_DefaultDictCopy, f"{_MAPPING} setdefault __setitem__ __missing__"),
    Counter: (_CounterCopy, f"{_MAPPING} setdefault subtract __setitem__ __iadd__ __isub__ __iand__"),
}


def _container_class(kind: type, mixin: type[Copy], names: str) -> type:
    methods = {name: _by_name(name, in_place=name.startswith("__i")) for name in names.split()}
    return type(
        kind.__name__,
        (mixin, kind),
        {
            **methods,
            "__module__": __name__,
            "__doc__": f"A copy of a stored {kind.__name__}.",
            "__class__": property(lambda self: kind),
            "__hash__": None,
        },
    )


_CONTAINERS: Mapping[type, type] = {
    kind: _container_class(kind, mixin, names) for kind, (mixin, names) in _METHODS.items()
}
_KINDS: Mapping[type, type] = {made: kind for kind, made in _CONTAINERS.items()}


# ---- nested models and dataclasses


class Nested(Copy):
    """A nested model or dataclass: its fields write through, and its own methods run on this copy."""

    __slots__ = (
        "__weakref__",
        "_copy_children",
        "_copy_echo",
        "_copy_held",
        "_copy_parent",
        "_copy_path",
        "_copy_root",
    )

    _copy_held: Any

    def _copy_hold(self, value: Any) -> None:
        object.__setattr__(self, "_copy_held", value)

    def __getattr__(self, name: str) -> Any:
        held: Any = self._copy_held
        kind: Any = held.__class__
        if name in vars(held):
            value = getattr(held, name)
            return self._copy_child(Attribute(name), value) if name in _field_names(kind) else value
        if name in ("model_fields_set", "model_extra") or name.startswith("__pydantic"):
            return getattr(held, name)
        is_model = isinstance(held, BaseModel)
        found = lookup(self, kind, name, lambda: held) if is_model else bound(self, kind, name)
        return getattr(held, name) if found is MISSING else found

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Nested.__slots__:
            object.__setattr__(self, name, value)
        elif set_property := setter(type_of(self._copy_held), name):
            set_property(self, value)
        else:
            self._copy_assign(Attribute(name), value)

    def __delattr__(self, name: str) -> None:
        self._copy_change(lambda target: delattr(target, name))

    def __dir__(self) -> list[str]:
        return dir(self._copy_held)

    def __eq__(self, other: object) -> bool:
        return bool(self._copy_held == plain(other))

    def __hash__(self) -> int:
        return hash(self._copy_held)

    def __repr__(self) -> str:
        return repr(self._copy_held)

    def __str__(self) -> str:
        return str(self._copy_held)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._copy_held)


@functools.cache
def _field_names(kind: Any) -> frozenset[str]:
    if issubclass(kind, BaseModel):
        return frozenset(kind.model_fields)
    return frozenset(each.name for each in dataclasses.fields(kind))


def _held_dict(nested: Nested) -> dict[str, Any]:
    held: Any = nested._copy_held
    fields: dict[str, Any] = held.__dict__
    return fields


@functools.cache
def _nested_class(kind: Any) -> type[Nested]:
    members = namespace(kind)
    members["__dict__"] = property(_held_dict)
    if hasattr(kind, "__dataclass_fields__"):
        members["__dataclass_fields__"] = kind.__dataclass_fields__
    return type(kind.__name__, (Nested,), members)


# ---- in and out

# Immutable, and so handed out as they are; the types of most values, to tell them at once.
ATOMS = frozenset({str, bytes, bool, type(None), int, float, Decimal, datetime, date, time, timedelta, UUID})


def wrap(root: Root, path: Path, parent: Copy | None, value: Any) -> Any:
    """Return a value as a copy that writes through; what cannot change as it is."""
    kind = type_of(value)
    if kind in ATOMS:
        return value
    if kind in _CONTAINERS:
        if kind in _REFUSING:
            root = FrozenRoot(f"assign a whole {kind.__name__}, or change it in `with objects.edit(id)`")
        cls: Any = _CONTAINERS[kind]
        made: Any = cls.__new__(cls)
    elif isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        made = object.__new__(_nested_class(kind))
    elif isinstance(value, tuple):
        return _wrapped_tuple(root, path, parent, cast(Any, value))
    else:
        return value
    made._copy_root, made._copy_path, made._copy_parent = root, path, parent
    made._copy_children, made._copy_echo = WeakValueDictionary[Any, Copy](), False
    made._copy_hold(value)
    return made


def _wrapped_tuple(root: Root, path: Path, parent: Copy | None, value: tuple[Any, ...]) -> Any:
    """A tuple cannot change, but what is in it may."""
    items = [wrap(root, (*path, Index(at, each)), parent, each) for at, each in enumerate(value)]
    if all(item is each for item, each in zip(items, value, strict=True)):
        return value
    return cast(Any, value)._make(items) if hasattr(value, "_make") else tuple(items)


def plain(value: Any) -> Any:
    """Return a copy, or a container of copies, as the plain value that it shows."""
    if type_of(value) in ATOMS:
        return value
    try:
        return _plain(value)
    except RecursionError:
        return value  # within itself, or too deep: the schema refuses it, and says where


def _plain(value: Any) -> Any:
    kind = type_of(value)
    if kind in ATOMS:
        return value
    if isinstance(value, Nested):
        return copy.deepcopy(value._copy_held)
    if kind in _KINDS:
        base: Any = _KINDS[kind]
        return copy.deepcopy(_unmarked(base, value))
    if value.__class__ in (list, tuple, set):
        items: Any = map(_plain, value)
        return kind(items)
    if kind is dict:
        return {key: _plain(each) for key, each in value.items()}
    return plain_number(value)


def _unmarked(kind: Any, value: Any) -> Any:
    """Return what a copy of this kind holds, as it lies there."""
    if kind is list:
        return _LIST.__getitem__(value, slice(None))
    if kind is deque:
        return deque(_DEQUE.__iter__(value), value.maxlen)
    if kind is set:
        return set(value)
    items: Any = dict(_DICT.items(value))
    return defaultdict(value.default_factory, items) if kind is defaultdict else kind(items)
