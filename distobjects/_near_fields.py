"""Attribute reads from the near cache; a class of its own, so that backends without one pay nothing for it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from ._binding import Bound
from ._containers import ATOMS, wrap
from ._live_fields import LiveField, LiveRoot
from ._near import Cache, Entry, Table
from ._near_reads import value_of
from ._numbers import SharedOrigin, mark
from ._space import Space

if TYPE_CHECKING:
    from ._near_links import NearLink


class Nearby:
    """The near cache's objects of one space."""

    __slots__ = ("_link", "_space", "cache", "table")

    def __init__(self, link: NearLink, space: Space) -> None:
        self._link = link
        self._space = space
        self.cache: Cache = link.cache
        self.table: Table = link.cache.table(space.schema.fields)

    def entry(self, id: str) -> Entry | None:
        """Return an object's entry, fetched if need be; None where it has to be read past the cache."""
        return self._link.entry(self.table, self._space, id)

    def share(self, entry: Entry, name: str, value: Any) -> None:
        """Keep a value that may be handed out to all."""
        self._link.share(entry, name, value)

    def value(self, entry: Entry, name: str) -> Any:
        """Return the value of a field, decoded anew."""
        return value_of(self._space, entry.id, entry.raws, name)


class NearField(property):
    """One field that is read from the near cache where that has it. A property: its getter is called without detour."""

    def __init__(self, name: str, nearby: Nearby) -> None:
        field, cache, shared, now = LiveField(name), nearby.cache, nearby.table.shared[name], monotonic

        def read(live: Any) -> Any:
            if now() < cache.until:
                try:
                    return shared[live._id]
                except KeyError:
                    pass
            return read_slowly(live)

        def read_slowly(live: Bound) -> Any:
            """Read what is not there, or not to be shared; look at what has been heard when it is time to."""
            entry = nearby.entry(live._id)
            if entry is None:
                return field.__get__(live, type(live))
            try:
                return shared[live._id]
            except KeyError:
                raw, value = entry.raws.get(name), nearby.value(entry, name)
            marked = mark(value, SharedOrigin(live, name, raw))
            if marked is not value or type(value) in ATOMS:
                nearby.share(entry, name, marked)
                return marked
            return wrap(LiveRoot(live._binding, live._id, name, raw, value), (), None, value)

        super().__init__(read, field.fset)
