"""What an operation may ask for, and how to step it. Knows no Redis client, no clock and no colour.

A *flow* is a generator: it yields an `Ask` (the commands of one round trip) or a `Pause`, is sent the replies,
and returns a decoded value. What must be atomic is one command or one Lua call: a flow has no MULTI and no WATCH.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from .errors import DistObjectsError

T = TypeVar("T")

Argument: TypeAlias = str | bytes | int


class Command(NamedTuple):
    """One Redis command. `repeatable` means read-only: sent again after a lost reply, it changes nothing."""

    args: tuple[Argument, ...]
    repeatable: bool = False


class Ask(NamedTuple):
    """The commands of one round trip; the flow is sent one reply for each, an error reply as an exception value."""

    commands: Sequence[Command]
    label: str = ""

    @property
    def repeatable(self) -> bool:
        # The ask of one command is the hot path; a generator expression would cost it a fiftieth of a round trip.
        return (
            self.commands[0].repeatable if len(self.commands) == 1 else all(each.repeatable for each in self.commands)
        )


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
