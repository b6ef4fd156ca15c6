"""Reads that are answered from memory, inside of any flow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from ._flow import Ask, Command, Done, Flow, advance
from ._schema import Schema
from ._space import Space
from ._watches import sight_of
from ._watching import Complete, Raws, Watching

T = TypeVar("T")


class Standing:
    """What a live object needs of a backend but for its reads, from the one that a mirror stands before."""

    origin: Any

    def space(self, schema: Schema, name: str | None) -> Space:
        made: Space = self.origin.space(schema, name)
        return made

    def lease(self, key: str, lease_seconds: float, wait_seconds: float) -> Any:
        return self.origin.lease(key, lease_seconds, wait_seconds)

    def pickled(self, space: Space, id: str) -> tuple[Any, ...]:
        made: tuple[Any, ...] = self.origin.pickled(space, id)
        return made

    def _nearby(self, space: Space) -> None:
        return None

    @property
    def _short(self) -> None:
        return None  # what is answered from memory, and what is read anew, is told by flows


def watching_of(space: Space, ids: Collection[str]) -> tuple[Watching, Complete]:
    """Return what keeps these objects, and where it keeps them."""
    seen = Complete()
    return Watching(sight_of(space, whole=False), seen, ids), seen


def answered(flow: Flow[T], answer: Callable[[Ask], list[Any] | None], done: Callable[[Ask], None]) -> Flow[T]:
    """Run `flow`, and let `answer` reply to what it asks for; ask only for what that has no answer to.

    Args:
        done: is called when something has been asked for all the same.
    """
    step = advance(flow)
    while not isinstance(step, Done):
        replies = answer(step) if isinstance(step, Ask) else None
        if replies is None:
            try:
                replies = yield step
            finally:
                if isinstance(step, Ask):
                    done(step)
        step = advance(flow, replies)
    value: T = step.value
    return value


def reply_to(command: Command, raws: Raws | None) -> Any:
    """Return what the server would reply to a read of an object with these bytes."""
    name, _, *fields = command.args
    if name == "EXISTS":
        return int(raws is not None)
    found = raws or {}
    if name == "HKEYS":
        return [field.encode() for field in found]
    if name == "HGETALL":
        return {field.encode(): raw for field, raw in found.items()}
    values = [found.get(str(field)) for field in fields]
    return values[0] if name == "HGET" else values


def is_answerable(command: Command) -> bool:
    """Say whether the bytes of an object's fields answer this."""
    return command.args[0] in ("HGET", "HMGET", "HGETALL", "HKEYS", "EXISTS")
