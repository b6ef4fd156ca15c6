"""The near cache: whole objects, as they were read, kept until the server tells of a change. No I/O, no clock.

1. An entry is opened before its object is asked for, and filled only if it is still the same entry: whatever has
   been heard or written in between has dropped it, and what was read may be older than that.
2. A key that has changed is dropped; so is one that anything else has read or written past the cache: what is handed
   out of one object never gets older again.
3. When a connection is lost, or the server names no key, everything is dropped: nothing tells what changed.
4. An entry counts only while the connections are known to live: as long after the last PING that was answered *was
   sent* as the lease lasts. A silent partition ends it.
5. An entry counts only until its object expires, from when it was asked for: the server tells of that late.
6. It counts only for a moment after the invalidations have been looked at: then they are looked at again.
7. When there are too many objects or bytes, those go first that nobody was seen to read since they were last
   considered. A hit is too short to take note of it: who reads when it is time to look is seen.
8. What is handed out to all (numbers, texts) is kept by field and id, where a hit takes one look-up; never of an
   object that expires, and only while its entry stands.

Every change of the tables is to be made by one thread at a time; looking up needs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# How long what has been heard is good for. Looking costs a microsecond; who reads all the time looks this often.
LOOK_SECONDS = 50e-6
# What Python takes for an entry and for a field of it, beside the bytes themselves, which are there once as they came
# and once as a value. Measured, on the generous side.
_ENTRY_BYTES, _FIELD_BYTES = 800, 120
_FOREVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """Keep what has been read in memory, as long as the server tells of every change.

    Args:
        max_objects: how many objects are kept; those that are read least lately go first, roughly.
        max_bytes: how much memory they take, roughly.
        lease_seconds: how old a read may be at most, when the network falls silent without a word.
    """

    max_objects: int = 10_000
    max_bytes: int = 64 * 2**20
    lease_seconds: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")


class Entry:
    """An object in the cache; without `raws`, one that has been asked for.

    Attributes:
        raws: the bytes of the fields that are there.
        until: when it ends by itself.
        used: it was seen to be read since it was last considered for leaving.
    """

    __slots__ = ("cost", "id", "key", "raws", "table", "until", "used")

    def __init__(self, table: Table, id: str, key: bytes) -> None:
        self.table = table
        self.id = id
        self.key = key
        self.raws: Mapping[str, bytes] = {}
        self.until = 0.0
        self.used = False
        self.cost = 0


class Table:
    """The objects of one space.

    Attributes:
        entries: the filled ones, by id.
        shared: values that may be handed out to all, by field and id (rule 8).
    """

    __slots__ = ("entries", "shared")

    def __init__(self, names: Iterable[str]) -> None:
        self.entries: dict[str, Entry] = {}
        self.shared: dict[str, dict[str, Any]] = {name: {} for name in names}

    def remove(self, entry: Entry) -> None:
        """Forget an entry, if it is there."""
        if self.entries.get(entry.id) is entry:
            del self.entries[entry.id]
            for values in self.shared.values():
                values.pop(entry.id, None)

    def clear(self) -> None:
        """Forget all."""
        self.entries.clear()
        for values in self.shared.values():
            values.clear()


class Pulse:
    """Whether a connection lives: it did when the PING was sent that it last answered (rule 4).

    Attributes:
        until: when the lease ends.
        next: when there is something to do: it is `due` then, or `silent`.
    """

    __slots__ = ("_lease_seconds", "_sent", "next", "until")

    def __init__(self, now: float, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._sent: float | None = None
        self.until = -_FOREVER
        self.lived(now)

    def due(self, now: float) -> bool:
        """Say whether it is time for a PING: at a third of the lease, and one at a time."""
        return self._sent is None and now >= self.next

    def silent(self, now: float) -> bool:
        """Say whether a PING has gone unanswered for so long that another connection is the better hope."""
        return self._sent is not None and now >= self.next

    def sent(self, now: float) -> None:
        """Take note that a PING has been sent."""
        self._sent = now
        self.next = now + 2 * self._lease_seconds

    def answered(self) -> None:
        """Take note of its answer."""
        if self._sent is not None:
            then, self._sent = self._sent, None
            self.lived(then)

    def lived(self, then: float) -> None:
        """Take note of an answer to something else that was sent then."""
        self.until = max(self.until, then + self._lease_seconds)
        if self._sent is None:
            self.next = self.until - self._lease_seconds * 2 / 3


class Cache:
    """The objects of one backend.

    Attributes:
        until: when what is here stops to count, unless the invalidations are looked at before.
        bytes: what the objects take, roughly.
    """

    __slots__ = ("_entries", "_tables", "bytes", "options", "until")  # a hit costs 20 ns more without

    def __init__(self, options: Near) -> None:
        self.options = options
        self.until = -_FOREVER
        self.bytes = 0
        # A dict would look for its first again and again, behind all that have left: 160 us at 100,000 objects.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._tables: list[Table] = []

    def __len__(self) -> int:
        return len(self._entries)

    def table(self, names: Iterable[str]) -> Table:
        """Return a new table, for the objects of a space with these fields."""
        made = Table(names)
        self._tables.append(made)
        return made

    def open(self, table: Table, id: str, key: bytes) -> Entry:
        """Open an entry for what is about to be asked for (rule 1)."""
        self.drop(key)
        entry = self._entries[key] = Entry(table, id, key)
        return entry

    def fill(self, entry: Entry, raws: Mapping[str, bytes], *, asked: float, seconds: float | None) -> bool:
        """Keep what was read, if nothing has dropped the entry; say whether.

        Args:
            asked: when it was asked for.
            seconds: what the object has left to live; None where it stays.
        """
        if self._entries.get(entry.key) is not entry:
            return False
        size = sum(2 * len(raw) + len(name) for name, raw in raws.items())
        entry.cost = _ENTRY_BYTES + _FIELD_BYTES * len(raws) + len(entry.key) + size
        entry.raws = raws
        entry.until = _FOREVER if seconds is None else asked + seconds
        self.bytes += entry.cost
        entry.table.entries[entry.id] = entry
        self._evict()
        return self._entries.get(entry.key) is entry

    def share(self, entry: Entry, name: str, value: Any) -> None:
        """Keep a value that may be handed out to all, if its entry still stands (rule 8)."""
        if entry.until == _FOREVER and entry.table.entries.get(entry.id) is entry:
            entry.table.shared[name][entry.id] = value

    def _evict(self) -> None:
        while len(self._entries) > self.options.max_objects or self.bytes > self.options.max_bytes:
            key, entry = next(iter(self._entries.items()))
            if entry.used:
                entry.used = False
                self._entries.move_to_end(key)
            else:
                self.drop(key)

    def drop(self, key: bytes) -> None:
        """Forget an object, filled or asked for."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.cost
            entry.table.remove(entry)

    def clear(self) -> None:
        """Forget all objects (rule 3)."""
        self._entries.clear()
        self.bytes = 0
        for table in self._tables:
            table.clear()

    def look(self, now: float, one: Pulse, other: Pulse) -> bool:
        """Trust what is here for a moment: what had arrived by `now` has been heard. Say whether the leases last."""
        self.until = min(now + LOOK_SECONDS, one.until, other.until)
        return now < self.until

    def distrust(self) -> None:
        """Let nothing count until the next look."""
        self.until = -_FOREVER
