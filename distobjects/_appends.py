"""Appending to a list: one script that puts the items into the stored text, without asking what is there. Pure flows.

1. Only where a list is valid if each of its items is: then the new items alone are validated and encoded. All other
   lists, and what the script finds to be no list, are changed by compare-and-set (`_writes.change`).
2. An item that is refused goes there too: it is refused in the same words, with its place in the list.
3. Who shows the list says how it takes it to begin. Where it did, what others have appended since comes back; else all
   of it does.
4. Appending never fails because of others, so it could keep those who compare from ever getting through: it waits while
   one of them has the turn, though no longer than one turn may last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from . import _objects, _scripts, _turns, _writes
from ._containers import plain
from ._flow import Argument, Flow
from ._space import Space
from ._writes import Changed
from .errors import AccessDenied


class _Items(NamedTuple):
    """Validated items, and how they are spelled within the brackets."""

    values: list[Any]
    text: bytes


def extend(
    space: Space, id: str, name: str, items: Iterable[Any], *, known: Changed | None = None, creating: bool = False
) -> Flow[Changed | None]:
    """Append items to a list. One round trip: a script; more where it cannot judge.

    Args:
        known: the field as the caller shows it; its value is left as it is.

    Returns:
        The field as it is now, with a value of its own; None for who does not say what it knows, as a rule.

    Raises:
        ValidationError: the model refuses an item; nothing was written.
        NotFound: there is no such object.
        Conflict: only where it has to compare, as any change.
    """
    given = [plain(each) for each in items]  # once: it may be an iterator, and the change may be tried again
    new = _spelled(space, name, given)
    if new is None:
        return _extend_by_change(space, id, name, given, known, creating)
    return _objects.guarded(space, id, _extend(space, id, name, new, given, known, creating))


def _spelled(space: Space, name: str, items: list[Any]) -> _Items | None:
    """Validate and encode items; None where no script can append them."""
    schema, field = space.schema, space.schema.field(name)
    if schema.cross_field or not field.plain or not field.codec.itemwise or not items:
        return None
    try:
        values = schema.check_changed(name, items)
        raw = cast(bytes, schema.encode(name, values, revalidated=True))
    except ValidationError:
        return None  # said by the change, which knows the place
    return _Items(values, raw[1:-1])


def _extend(
    space: Space, id: str, name: str, new: _Items, items: list[Any], known: Changed | None, creating: bool
) -> Flow[Changed | None]:
    elapsed = 0.0
    begun = b"" if known is None or known.raw is None else known.raw[:-1]
    basis = () if known is None else (_writes.fingerprint(space, begun), len(begun))
    while True:
        waits = elapsed < _turns.TURN_SECONDS
        [status, *rest] = yield from _append(space, id, waits, name, new.text, *basis)
        if status != _writes.TAKEN:
            break
        elapsed = yield from _turns.queue()
    if status == _writes.NOT_FOR_A_SCRIPT:
        return (yield from _extend_by_change(space, id, name, items, known, creating))
    if status == _writes.WHOLE:
        return Changed(rest[0], space.schema.decode(id, name, rest[0]))
    if known is None:
        return None
    more: bytes = rest[0]
    others: list[Any] = space.schema.decode(id, name, b"[" + more[1:] + b"]") if more else []
    values = [*known.value, *others, *new.values]
    comma = b"," if len(values) > len(new.values) else b""
    return Changed(begun + more + comma + new.text + b"]", values)


def _append(space: Space, id: str, waits: bool, *args: Argument) -> Flow[Any]:
    """Run the script; without the turn's key for who waits no longer, or has no right to it."""
    keys = [space.key(id), space.sub_key("turn", id)]
    if waits and space.dialect.turns:
        try:
            return (yield from _scripts.append.on(keys, *args))
        except AccessDenied:
            space.dialect.turns = False
    return (yield from _scripts.append.on(keys[:1], *args))


def _extend_by_change(
    space: Space, id: str, name: str, items: list[Any], known: Changed | None, creating: bool
) -> Flow[Changed | None]:
    def step(value: Any) -> Any:
        value.extend(items)
        return value

    basis = _writes.Unread() if known is None else known.raw
    return (yield from _writes.change(space, id, name, step, basis=basis, creating=creating))
