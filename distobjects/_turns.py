"""Who may try next, where writers of one object meet. Pure flows.

1. A change that has failed to compare and write waits for a random time, and is tried again for 5 seconds.
2. One that keeps failing takes its turn: it waits for a key beside the object that one writer holds at a time.
3. That is for fairness alone: what is right is decided by the comparison, with or without a turn.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TypeVar, cast

from ._flow import Command, Flow, Pause, ask
from ._space import Space
from .errors import AccessDenied, Conflict, DistObjectsError

T = TypeVar("T")

# A bound of time, not of attempts: 8 processes appending to one list needed up to 38 of them.
CONFLICT_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 1.0
# How many attempts long a pause is, at most.
_SPREAD = 8
# Eight writers to one list of thousands of models wait for seconds, some for ever, where all try at once.
_FAILURES_BEFORE_TURN = 2
# How long to wait, at most, before asking again whose turn it is.
_LONGEST_QUEUE_SECONDS = 0.01
# How long a writer that has died keeps its turn.
TURN_SECONDS = 1.0


class Patience:
    """How long a change waits before it is tried again: at random, so that writers that met part again.

    1. The longer an attempt takes, the longer the pause: a large value meets others for longer.
    2. The more attempts have failed, the shorter the pause: who has waited longest is the most likely to get through.
    3. Whose turn it is does not wait.

    Attributes:
        failed: how many attempts have, and how often another had the turn.
        has_turn: the others that keep failing wait for this one.
    """

    __slots__ = ("_began", "_paused", "_took", "failed", "has_turn")

    def __init__(self) -> None:
        self.failed = 0
        self.has_turn = False
        self._began = self._paused = 0.0
        self._took: float | None = None  # the fastest one: others had to wait for a processor, too

    def pause_seconds(self) -> float:
        """Return how long to wait after one more attempt that has failed."""
        self.failed += 1
        longest = _FIRST_PAUSE_SECONDS
        if self._took is not None:
            longest = min(_SPREAD * self._took / self.failed, _LONGEST_PAUSE_SECONDS)
        if self.has_turn:
            longest = 0.0
        self._paused = random.uniform(0, longest)
        return self._paused

    def resume(self, elapsed: float) -> None:
        """Take note that the next attempt begins, so many seconds after the first did."""
        took = max(0.0, elapsed - self._paused - self._began)
        self._took = took if self._took is None else min(took, self._took)
        self._began = elapsed

    def queued(self, elapsed: float) -> None:
        """Take note that another has had the turn until now."""
        self.failed += 1
        self._began, self._paused = elapsed, 0.0


def pause(space: Space, id: str, changed: list[str], patience: Patience) -> Flow[None]:
    """Wait before a change is tried again: a little, and once it has failed repeatedly until it has its turn.

    Raises:
        Conflict: it has been tried for long enough.
    """
    [elapsed] = yield Pause(patience.pause_seconds())
    patience.resume(elapsed)
    _give_up(space, id, changed, elapsed)
    if patience.failed >= _FAILURES_BEFORE_TURN and not patience.has_turn:
        yield from _take_turn(space, id, changed, patience)


def _give_up(space: Space, id: str, changed: list[str], elapsed: float) -> None:
    if elapsed > CONFLICT_SECONDS:
        raise Conflict(model=space.schema.name, id=id, fields=changed)


def begin_turn(space: Space, id: str, changed: list[str], patience: Patience) -> Flow[bool]:
    """Take the turn before the first attempt, where the last change had to wait for it; say whether it did."""
    if space.dialect.contended != space.key(id):
        return False
    yield from _take_turn(space, id, changed, patience)
    return True


def _take_turn(space: Space, id: str, changed: list[str], patience: Patience) -> Flow[None]:
    """Wait for the turn. One round trip for each time that it is asked for: `SET NX PX`."""
    # Sent again after a lost reply, it is refused: at worst nobody has the turn until it runs out.
    taken = Command(("SET", space.sub_key("turn", id), b"1", "NX", "PX", int(TURN_SECONDS * 1000)), repeatable=True)
    while space.dialect.turns:
        try:
            [reply] = yield from ask(taken, label="turn")
        except AccessDenied:
            space.dialect.turns = False
            return
        if reply is not None:
            patience.has_turn = True
            return
        space.dialect.contended = space.key(id)
        elapsed = yield from queue()
        patience.queued(elapsed)
        _give_up(space, id, changed, elapsed)


def queue() -> Flow[float]:
    """Wait a little while another has the turn; return how many seconds the flow has taken so far."""
    [elapsed] = yield Pause(random.uniform(0, _LONGEST_QUEUE_SECONDS))
    return cast(float, elapsed)


def in_turn(space: Space, id: str, patience: Patience, change: Flow[T]) -> Flow[T]:
    """Run a change, and however it ends let the next one have its turn, if it has waited for its own."""
    try:
        result = yield from change
    except Exception:
        yield from _end_turn(space, id, patience)
        raise
    yield from _end_turn(space, id, patience)
    return result


def _end_turn(space: Space, id: str, patience: Patience) -> Flow[None]:
    """Give the turn back. One round trip for who has it: `DEL`."""
    if patience.has_turn:
        if not patience.failed:
            space.dialect.contended = None
        with suppress(DistObjectsError):  # then it runs out; how the change has ended is what counts
            yield from ask(Command(("DEL", space.sub_key("turn", id)), repeatable=True), label="turn")
