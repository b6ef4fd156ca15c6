"""What a watcher knows: what may have changed, and what was seen last. Pure: no I/O, no clock, no colour.

1. What changes is dirty until it is read again. Dirty ids are a set: an object that changes a hundred times meanwhile
   is read once, and that is its last state.
2. An id is clean from when it is *asked* for. What is heard after that makes it dirty again.
3. When the connection is lost, or the server names no key, all that has been seen is dirty, and so is what a `SCAN` of
   the space finds.
4. An object that expires is dirty from that time on: the server tells of it late.
5. What differs from what was seen last is told, once. What is equal is not, however often it was written meanwhile.
6. What is there at the beginning is told only where the watcher asked for it; what changes meanwhile always is, and
   with it all that has not been seen yet, where more changes than is named.
7. With `MOST` more ids dirty than have ever been seen, all is dirty instead (3): what is kept is bounded by what is
   there, not by what comes and goes.
"""

from __future__ import annotations

import heapq
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ._flow import Flow
from .errors import DistObjectsError

# Objects that are read in one round trip: what waits behind them waits for a few milliseconds.
CHUNK = 100
MOST = 100_000
# Between two readings: what changes all the time is read together.
GATHER_SECONDS = 0.008
# A connection that is silent for so long is asked for a sign of life, and given up without one; then it is opened
# anew, at once and every so often.
IDLE_SECONDS, SILENT_SECONDS, RETRY_SECONDS = 1.0, 2.0, 0.25
# After its time an object may be there for a while yet, by a clock of whole milliseconds.
_LATE_SECONDS = 0.002

Raws = Mapping[str, bytes]
# An object's bytes, and the seconds that it has left, where it does not stay.
Dated = tuple[Raws, float | None]


class Difference(NamedTuple):
    """What has changed of an object since it was seen last.

    Attributes:
        fields: the names of those that differ; all that there are, where it came or went.
        before: its bytes; None where it was not there, or only digests are kept.
        after: its bytes; None where it is gone.
        moved: it came or went, or this is the first that is told of it.
    """

    id: str
    fields: frozenset[str]
    before: Raws | None
    after: Raws | None
    moved: bool


class Sight(NamedTuple):
    """Where to look.

    Attributes:
        prefix: what all keys begin with; None where it is single objects that are watched.
        id: returns the id of a key; None for a key of something else.
        scan: returns the next cursor, and a page of ids.
        load: returns the bytes of each object, and the seconds that it has left; None for one that is not there.
    """

    prefix: bytes | None
    id: Callable[[bytes], str | None]
    scan: Callable[[int], Flow[tuple[int, list[str]]]]
    load: Callable[[Sequence[str]], Flow[Sequence[Dated | None]]]


class Seen(Protocol):
    """What was seen last, by id."""

    def __contains__(self, id: object) -> bool: ...
    def __len__(self) -> int: ...
    def ids(self) -> Iterable[str]: ...
    def exchange(self, id: str, raws: Raws | None) -> Difference | None:
        """Keep what is seen now instead of what was seen last, and return the difference."""
        ...


class Complete:
    """Keeps the bytes themselves."""

    def __init__(self) -> None:
        self._raws: dict[str, Raws] = {}

    def __contains__(self, id: object) -> bool:
        return id in self._raws

    def __len__(self) -> int:
        return len(self._raws)

    def ids(self) -> Iterable[str]:
        return self._raws

    def get(self, id: str) -> Raws | None:
        """Return an object's bytes; None where it is not there. Another thread may do so at any time."""
        return self._raws.get(id)

    def exchange(self, id: str, raws: Raws | None) -> Difference | None:
        before = self._raws.get(id)
        if raws is None:
            self._raws.pop(id, None)
        else:
            self._raws[id] = raws
        old, new = before or {}, raws or {}
        fields = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        moved = (before is None) is not (raws is None)
        return Difference(id, frozenset(fields), before, raws, moved) if fields or moved else None


class Digests:
    """Keeps 8 bytes for each field of a known set of fields: Python's own hash, whose key is of this process.

    That is about 200 bytes and the id for each object, and 8 for each field. Of 2^64 changes of a field, one is missed.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._digests: dict[str, bytes] = {}
        self._none = self._digest({})

    def __contains__(self, id: object) -> bool:
        return id in self._digests

    def __len__(self) -> int:
        return len(self._digests)

    def ids(self) -> Iterable[str]:
        return self._digests

    def exchange(self, id: str, raws: Raws | None) -> Difference | None:
        before = self._digests.get(id)
        if raws is None:
            if before is None:
                return None
            del self._digests[id]
            after = self._none
        else:
            after = self._digests[id] = self._digest(raws)
        if before == after:
            return None
        old, new = array("q", before or self._none), array("q", after)
        fields = (name for name, one, other in zip(self._names, old, new, strict=True) if one != other)
        return Difference(id, frozenset(fields), None, raws, moved=before is None or raws is None)

    def _digest(self, raws: Raws) -> bytes:
        return array("q", map(hash, map(raws.get, self._names))).tobytes()


class Watching:
    """What one watcher knows.

    Args:
        ids: the objects; None for all that `sight` has.
        initial: what is there at the beginning is told.
    """

    def __init__(self, sight: Sight, seen: Seen, ids: Iterable[str] | None = None, *, initial: bool = False) -> None:
        self.sight = sight
        self.seen = seen
        self._ids = None if ids is None else frozenset(ids)
        self._initial = initial
        # Whether to tell of it where it has not been seen before. A dict would look for its first again and again,
        # behind all that have been taken: after a million, 1.5 ms for each change.
        self._dirty: OrderedDict[str, bool] = OrderedDict()
        self._asked: dict[str, bool] = {}  # what is not dirty any more, and not yet seen
        self._cursor: int | None = None
        self._surveyed = False
        self._until: dict[str, float] = {}
        self._expiring: list[tuple[float, str]] = []
        self._first = set(self._ids or ()) if initial else set[str]()

    # ---- what makes dirty

    def everything(self) -> None:
        """Take note that anything may have changed: at the beginning, and whenever something was missed (rule 3)."""
        unread, self._asked = self._asked | self._dirty, {}
        if self._ids is not None:
            tell = self._initial or self._surveyed
            self._dirty = OrderedDict((id, unread.get(id, tell)) for id in self._ids)
            self._surveyed = True
            return
        self._dirty = OrderedDict.fromkeys(self.seen.ids(), True)
        self._dirty.update(unread)
        self._cursor = 0

    def changed(self, keys: Iterable[bytes], *, everything: bool = False) -> None:
        """Take note of keys that have changed, and of everything where the server names no key."""
        for key in keys:
            id = self.sight.id(key)
            if id is not None and (self._ids is None or id in self._ids):
                self._dirty[id] = True
        if everything or (len(self._dirty) > len(self.seen) + MOST and self._ids is None):
            self._dirty.clear()
            self._surveyed = True  # what has changed cannot be told any more from what has been there (6)
            self.everything()

    # ---- what is to be done

    def due(self, now: float) -> float:
        """Return in how many seconds there is something to read: 0 now, infinity when something is heard."""
        if self._dirty or self._cursor is not None:
            return 0.0
        return max(0.0, self._expiring[0][0] - now) if self._expiring else float("inf")

    def look(self, now: float) -> Flow[list[Difference]]:
        """Read some of what is dirty, and return what has changed. One round trip; one more for a page of `SCAN`."""
        while self._expiring and self._expiring[0][0] <= now:
            when, id = heapq.heappop(self._expiring)
            if self._until.get(id) == when:
                del self._until[id]
                self._dirty[id] = True
        if self._cursor is not None and len(self._dirty) < CHUNK:
            yield from self._survey(self._cursor)
        self._asked = dict(self._dirty.popitem(last=False) for _ in range(min(CHUNK, len(self._dirty))))
        if not self._asked:
            return []
        try:
            results = yield from self.sight.load(list(self._asked))
        except DistObjectsError:
            self._dirty = OrderedDict(self._asked | self._dirty)
            raise
        asked, self._asked = self._asked, {}
        found = [self._saw(id, tell, result, now) for (id, tell), result in zip(asked.items(), results, strict=True)]
        return [difference for difference in found if difference is not None]

    def _survey(self, cursor: int) -> Flow[None]:
        tell = self._initial or self._surveyed
        cursor, page = yield from self.sight.scan(cursor)
        for id in page:
            if id not in self.seen:
                self._dirty.setdefault(id, tell)
        self._cursor = cursor or None
        self._surveyed = self._surveyed or not cursor

    def _saw(self, id: str, tell: bool, dated: Dated | None, now: float) -> Difference | None:
        raws, seconds = dated or (None, None)
        self._expires(id, None if seconds is None else now + seconds + _LATE_SECONDS)
        known = id in self.seen
        difference = self.seen.exchange(id, raws)
        if id in self._first:
            self._first.discard(id)
            return difference or Difference(id, frozenset(), None, raws, moved=True)
        return difference if tell or known else None

    def _expires(self, id: str, when: float | None) -> None:
        if when is None:
            self._until.pop(id, None)
            return
        self._until[id] = when
        heapq.heappush(self._expiring, (when, id))
        if len(self._expiring) > 2 * len(self._until) + CHUNK:  # most of them have been put off since
            self._expiring = [(when, id) for id, when in self._until.items()]
            heapq.heapify(self._expiring)
