"""The register checker against a brute-force one, which tries every order."""

from __future__ import annotations

import random

import pytest

from tests.lincheck import NEVER, Operation, Violation, violations

INITIAL = 0


def linearizable(history: list[Operation], held: int = INITIAL) -> bool:
    """Try every order in which no operation comes before one that had ended when it began."""
    if all(operation.end == NEVER for operation in history):
        return True
    soonest = min(operation.end for operation in history)
    for place, (start, _, writes, value) in enumerate(history):
        rest = history[:place] + history[place + 1 :]
        if start <= soonest and (writes or value == held) and linearizable(rest, value):
            return True
    return False


def drawn(seed: int) -> list[Operation]:
    """Return a small history at random, its times all different; about half of them are linearizable."""
    chance = random.Random(seed)
    spans = [(at := chance.uniform(0, 12), at + chance.uniform(0.5, 6)) for _ in range(chance.randint(2, 7))]
    written = [value for value, _ in enumerate(spans, 1) if chance.random() < 0.5]
    history: list[Operation] = []
    for value, (start, end) in enumerate(spans, 1):
        if value in written:
            history.append(Operation(start, NEVER if chance.random() < 0.15 else end, True, value))
        else:
            history.append(Operation(start, end, False, chance.choice([INITIAL, *written])))
    return history


def test_it_agrees_with_trying_every_order() -> None:
    histories = [drawn(seed) for seed in range(5_000)]
    truth = [linearizable(history) for history in histories]
    assert [not violations(history, INITIAL) for history in histories] == truth
    assert 1_000 < sum(truth) < 4_000


@pytest.mark.parametrize(
    ("history", "violation"),
    [
        ([(0, 1, False, 7)], Violation("read but never written", 7)),
        ([(2, 3, True, 7), (0, 1, False, 7)], Violation("read before it was written", 7)),
        ([(0, 1, True, 7), (2, 3, True, 7)], Violation("written twice", 7)),
        ([(0, 1, True, 7), (2, 3, True, 8), (4, 5, False, 7)], Violation("lost, or the other is stale", 8, 7)),
        (
            [(0, 1, True, 7), (0, 2, True, 8), (3, 4, False, 7), (5, 6, False, 8), (7, 8, False, 7)],
            Violation("two values alternate", 7, 8),
        ),
    ],
)
def test_it_says_what_is_wrong(history: list[tuple[float, float, bool, int]], violation: Violation) -> None:
    assert violation in violations([Operation(*each) for each in history], INITIAL)


def test_a_write_of_unknown_outcome_may_happen_late_or_never() -> None:
    unknown = Operation(0, NEVER, True, 7)
    later = [Operation(1, 2, True, 8), Operation(3, 4, False, 8), Operation(5, 6, False, 7)]
    assert violations([unknown, *later], INITIAL) == []
    assert violations([unknown, *later[:2]], INITIAL) == []
