"""Where a scenario plays: a server, a colour, and the processes that play in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from distobjects import RedisBackend, connect
from tests.fix_servers import Server
from tests.stress.crew import Crew, Job, Target


class Work(NamedTuple):
    """What a worker does, as natural code of either colour."""

    sync: Callable[..., Any]
    awaited: Callable[..., Any]


@dataclass(frozen=True)
class Stage:
    """A scenario is a function of a stage and a size; it raises AssertionError where a promise is broken.

    Attributes:
        watch: is told how far a run has come.
        most_seconds: after which a run counts as hanging.
    """

    server: Server
    colour: str
    crew: Crew
    watch: Callable[[int], None] = lambda ticks: None
    most_seconds: float = 120

    def run(
        self,
        work: Work | Sequence[Work],
        args: Sequence[tuple[Any, ...]],
        *,
        target: Target | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> list[Any]:
        """Let one worker for each of `args` do the work, all at the same time; return what they return."""
        works = [work] * len(args) if isinstance(work, Work) else work
        where = target or Target(self.server.port)
        jobs = [
            Job(each.sync if self.colour == "sync" else each.awaited, where, its)
            for each, its in zip(works, args, strict=True)
        ]
        return self.crew.run(jobs, until=until, watch=self.watch, most_seconds=self.most_seconds)

    def open(self) -> RedisBackend:
        """Connect to the server, emptied: to set the scene, and to see what is left of it."""
        self.server.flush()
        return connect(self.server.url)

    def raw(self) -> redis.Redis:
        """Make a plain client, which sees the bytes."""
        return self.server.client()


def shares(size: int, parts: int) -> list[int]:
    """Split a size into equal parts, rounded up."""
    return [-(-size // parts)] * parts
