"""What an operation may ask for, and how to step it. Knows no Redis client, no clock and no colour.

A *flow* is a generator: it yields an `Ask` (the commands of one round trip) or a `Pause`, is sent the replies,
and returns a decoded value. What must be atomic is one command or one Lua call: a flow has no MULTI and no WATCH.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, overload

from .errors import DistObjectsError

T = TypeVar("T")

Argument: TypeAlias = str | bytes | int


class Command(NamedTuple):
    """One Redis command. `repeatable` means read-only: sent again after a lost reply, it changes nothing."""

    args: tuple[Argument, ...]
    repeatable: bool = False


class Series(Sequence[Command]):
    """The commands of one round trip that differ in their key and their values alone: they are packed as one.

    Attributes:
        before: what each command begins with.
        keys: one for each command, in order.
        after: what follows each key; where there are `rows`, a value of the key's row follows each of it.
        rows: as many values as `after` has, for each key.
    """

    __slots__ = ("after", "before", "keys", "repeatable", "rows")

    def __init__(
        self,
        before: tuple[Argument, ...],
        keys: Sequence[str],
        after: tuple[Argument, ...] = (),
        *,
        rows: Sequence[Sequence[bytes]] | None = None,
        repeatable: bool = False,
    ) -> None:
        self.before = before
        self.keys = keys
        self.after = after
        self.rows = rows
        self.repeatable = repeatable

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Command: ...
    @overload
    def __getitem__(self, at: slice) -> list[Command]: ...
    def __getitem__(self, at: int | slice) -> Command | list[Command]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        after = self.after
        if self.rows is not None:
            after = tuple(part for pair in zip(after, self.rows[at], strict=True) for part in pair)
        return Command((*self.before, self.keys[at], *after), self.repeatable)


class Ask(NamedTuple):
    """The commands of one round trip; the flow is sent one reply for each, an error reply as an exception value."""

    commands: Sequence[Command]
    label: str = ""

    @property
    def repeatable(self) -> bool:
        # The ask of one command is the hot path; a generator expression would cost it a fiftieth of a round trip.
        if isinstance(self.commands, Series):
            return self.commands.repeatable
        if len(self.commands) == 1:
            return self.commands[0].repeatable
        return all(each.repeatable for each in self.commands)


class Pause(NamedTuple):
    """Wait before the next step; the flow is sent, as the one reply, how many seconds it has taken so far."""

    seconds: float


class Done(NamedTuple, Generic[T]):
    """A finished flow."""

    value: T


Flow: TypeAlias = Generator[Ask | Pause, list[Any], T]


class NoScript(DistObjectsError):
    """The server does not have this script in its cache; nothing ran."""


class WrongType(DistObjectsError):
    """The key holds something else than the command works on; nothing ran."""


class CrossSlot(DistObjectsError):
    """The keys of the command are in several slots of a cluster; nothing ran."""


def reading(*args: Argument) -> Command:
    """Return a command that changes nothing."""
    return Command(args, repeatable=True)


def ask(*commands: Command, label: str = "") -> Flow[list[Any]]:
    """Ask for the commands in one round trip; return their replies, or raise the first error reply."""
    replies = yield Ask(commands, label)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def advance(flow: Flow[T], replies: list[Any] | None = None) -> Ask | Pause | Done[T]:
    """Run `flow` to its next step: the first one without `replies`, else with the replies of the last."""
    try:
        return next(flow) if replies is None else flow.send(replies)
    except StopIteration as stop:
        return Done(stop.value)


class Begun(NamedTuple, Generic[T]):
    """A flow and its first step, or why there is none: the flow cannot begin, or whoever makes it has failed."""

    flow: Flow[T] | None
    step: Ask | Pause | Done[T] | Exception

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, as far as its first step tells."""
        return not isinstance(self.step, Ask) or self.step.repeatable


def begun(flow: Flow[T]) -> Begun[T]:
    """Take the first step of a flow."""
    try:
        return Begun(flow, advance(flow))
    except Exception as error:  # noqa: BLE001  # not carried on from: it is raised in its turn
        return Begun(None, error)


def settled(*flows: Flow[T]) -> Flow[list[T | Exception]]:
    """Run all flows in as few round trips as the longest of them; return each one's value or exception.

    Each reply, error replies too, goes to the flow that asked; a flow that fails does not end the others.
    Pauses are taken together, once no flow has anything to ask.
    """
    results: list[Any] = [None] * len(flows)
    steps: dict[int, Ask | Pause] = {}

    def step(index: int, replies: list[Any] | None = None) -> None:
        steps.pop(index, None)
        try:
            reached = advance(flows[index], replies)
        except Exception as error:  # noqa: BLE001  # not carried on from: the caller finds it in its flow's place
            results[index] = error
            return
        if isinstance(reached, Done):
            results[index] = reached.value
        else:
            steps[index] = reached

    for index in range(len(flows)):
        step(index)
    while steps:
        asks = [(index, each) for index, each in steps.items() if isinstance(each, Ask)]
        if asks:
            commands = [command for _, each in asks for command in each.commands]
            replies = iter((yield Ask(commands, asks[0][1].label)))
            for index, each in asks:
                step(index, [next(replies) for _ in each.commands])
        else:
            elapsed = yield Pause(max(each.seconds for each in steps.values() if isinstance(each, Pause)))
            for index in list(steps):
                step(index, elapsed)
    return results


def together(*flows: Flow[T]) -> Flow[list[T]]:
    """Run all flows as `settled` does; return their values, or raise the first failure after all have ended."""
    results = yield from settled(*flows)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results  # type: ignore[return-value]  # no exception is left among them
