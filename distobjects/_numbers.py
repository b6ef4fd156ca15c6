"""Numbers read from a live object: plain numbers to everyone else, which remember where they come from. No I/O.

1. `s.n += 1` reads `s.n`, adds in place, and assigns. The number that was read carries its origin; adding in place
   gives a number that carries the operation too.
2. Assigned back to its origin, it is not its value that is written: the operation is applied to what is stored then.
3. That happens once. A second assignment of the same number, or of an expression's result (`s.n + 1`), writes a value.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, cast

Operation = Callable[[Any, Any], Any]


class Origin:
    """The place that a number was read from: `key` of `owner`."""

    __slots__ = ("key", "owner", "raw", "used")

    def __init__(self, owner: object, key: object, raw: bytes | None = None) -> None:
        self.owner = owner
        self.key = key
        self.raw = raw
        self.used = False

    def taken(self) -> Origin:
        """Return the origin of what an operation in place makes of the number."""
        return self


class SharedOrigin(Origin):
    """The place of a number that is handed out many times, such as one in the near cache.

    Each operation in place on it begins an origin of its own: one that is used up uses up no other.
    """

    __slots__ = ()

    def taken(self) -> Origin:
        return Origin(self.owner, self.key, self.raw)


class Step(NamedTuple):
    """One operation in place, with its operand."""

    operation: Operation
    operand: Any


class Marked:
    """The part that all marked numbers share."""

    # What its origin is made of, until that is asked for: most numbers are only read.
    _place: tuple[object, object, bytes | None] | Origin
    _steps: tuple[Step, ...] = ()

    @property
    def _origin(self) -> Origin:
        place = self._place
        if isinstance(place, tuple):
            place = self._place = Origin(*place)
        return place

    def __reduce_ex__(self, protocol: Any) -> Any:
        kind = _PLAIN[type(self)]
        return kind, (kind(self),)

    def __copy__(self) -> Any:
        return plain_number(self)

    def __deepcopy__(self, memo: Any) -> Any:
        return plain_number(self)


def _in_place(operation: Operation) -> Operation:
    def apply(self: Any, operand: Any) -> Any:
        operand = _of_python(operand)
        result = operation(_PLAIN[type(self)](self), operand)
        return mark(result, self._origin.taken(), (*self._steps, Step(operation, operand)))

    return apply


_IN_PLACE = {
    f"__i{name}__": _in_place(getattr(operator, name))
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "xor")
} | {f"__i{name}__": _in_place(getattr(operator, f"{name}_")) for name in ("and", "or")}


def _marked_class(kind: type) -> type:
    members = {"__module__": __name__, "__doc__": f"A marked {kind}.", "__class__": property(lambda self: kind)}
    return type(kind.__name__, (Marked, kind), {**_IN_PLACE, **members})


_MARKED: Mapping[type, type] = {kind: _marked_class(kind) for kind in (int, float, Decimal)}
_PLAIN: Mapping[type, type] = {marked: kind for kind, marked in _MARKED.items()}
MARKABLE = frozenset(_MARKED)


def type_of(value: Any) -> Any:
    """Return the true type of a value, which a type checker is not to narrow."""
    return cast(Any, type(value))


def mark(value: Any, origin: Origin, steps: tuple[Step, ...] = ()) -> Any:
    """Return an int, float or Decimal with its origin; anything else as it is."""
    made: Any = _MARKED.get(type_of(value))
    if made is None:
        return value
    number = made(value)
    number._place = origin
    if steps:
        number._steps = steps
    return number


def marked_read(value: Any, owner: object, key: object, raw: bytes | None) -> Any:
    """Return a number of a kind in `MARKABLE` that has just been read from `key` of `owner`."""
    number: Any = _MARKED[type(value)](value)
    number._place = owner, key, raw
    return number


def plain_number(value: Any) -> Any:
    """Return a marked number as what it is to everyone else; anything else as it is."""
    kind: Any = _PLAIN.get(type_of(value))
    return value if kind is None else kind(value)


def _of_python(operand: Any) -> Any:
    """Return another library's number, such as numpy's, as Python's own: the result would be one of theirs else."""
    if isinstance(operand, numbers.Integral):
        return int(operand)
    is_real = isinstance(operand, numbers.Real) and not isinstance(operand, numbers.Rational)
    return float(operand) if is_real else plain_number(operand)


def pending(
    value: Any, owner: object, key: object, *, alike: Callable[[Any, Any], bool] = operator.is_
) -> tuple[Step, ...] | None:
    """Return the operations of a number that comes back to where it was read, once; None for anything else.

    Args:
        alike: says whether two owners are one.
    """
    if type(value) not in _PLAIN or not value._steps:
        return None
    origin: Origin = value._origin
    if origin.used or origin.key != key or not alike(origin.owner, owner):
        return None
    origin.used = True
    steps: tuple[Step, ...] = value._steps
    return steps


def sum_of(steps: tuple[Step, ...]) -> Any:
    """Return what the operations add up to; None where one is no addition or subtraction."""
    total: Any = 0
    for operation, operand in steps:
        if operation not in (operator.add, operator.sub) or not isinstance(operand, (int, float, Decimal)):
            return None
        total = operation(total, operand)
    return total


def replay(steps: tuple[Step, ...], value: Any) -> Any:
    """Apply the operations to another value."""
    for operation, operand in steps:
        value = operation(value, operand)
    return value
