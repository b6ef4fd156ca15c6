"""A twentieth of what `python -m tests.stress` runs: many processes at once, counted to the last one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_servers import Server
from tests.stress.crew import Crew
from tests.stress.scenarios import SCENARIOS
from tests.stress.stage import Stage


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with closing(Crew(4)) as crew:
        yield crew


@pytest.mark.parametrize(("name", "colour"), [(name, each) for name in SCENARIOS for each in SCENARIOS[name].colours])
def test_nothing_is_lost_broken_or_brought_back(name: str, colour: str, server: Server, crew: Crew) -> None:
    SCENARIOS[name].play(Stage(server, colour, crew), SCENARIOS[name].size // 20)
