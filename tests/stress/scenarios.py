"""All scenarios and their full sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.fix_stores import FACES
from tests.stress import (
    containers,
    counting,
    crowds,
    deletions,
    drafts,
    faults,
    histories,
    near,
    near_faults,
    rules,
    transfers,
    watching,
)
from tests.stress.figures import Figures
from tests.stress.stage import Stage


class Scenario(NamedTuple):
    """What is played, how much of it, and in which colours."""

    play: Callable[[Stage, int], Figures]
    size: int
    colours: tuple[str, ...] = FACES


SCENARIOS: dict[str, Scenario] = {
    "increments": Scenario(counting.increments, 40_000),
    "stock": Scenario(counting.stock, 20_000),
    "appends": Scenario(containers.appends, 8_000),
    "keys": Scenario(containers.keys, 8_000),
    "nested": Scenario(containers.nested, 8_000),
    "models": Scenario(containers.models, 8_000),
    "drafts": Scenario(drafts.drafts, 8_000),
    "rules": Scenario(rules.rules, 200_000),
    "deletions": Scenario(deletions.deletions, 10_000),
    "transfers": Scenario(transfers.transfers, 8_000),
    "items": Scenario(counting.items, 4_000),
    "counts": Scenario(counting.counts, 4_000),
    "cancellations": Scenario(crowds.cancellations, 200_000, ("async",)),
    "crowd": Scenario(crowds.crowd, 400_000, ("async",)),
    "fault_increments": Scenario(faults.fault_increments, 2_000),
    "fault_appends": Scenario(faults.fault_appends, 2_000),
    "handed_increments": Scenario(faults.handed_increments, 2_000),
    "handed_appends": Scenario(faults.handed_appends, 2_000),
    "histories": Scenario(histories.histories, 1_000_000),
    "fault_histories": Scenario(histories.fault_histories, 200_000),
    "own_writes": Scenario(near.own_writes, 1_000_000),
    "bursts": Scenario(near.bursts, 10_000),
    "near_memory": Scenario(near.near_memory, 1_000_000),
    "near_faults": Scenario(near_faults.near_faults, 200),
    "half_open": Scenario(near_faults.half_open, 40),
    "watch": Scenario(watching.watch, 50_000),
    "slow_watch": Scenario(watching.slow_watch, 50_000),
    "restarts": Scenario(near_faults.restarts, 60),
}
