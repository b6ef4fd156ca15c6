"""When a failed round trip may be tried again: the policy, fed by hand."""

from __future__ import annotations

import pytest

from distobjects._flow import Ask, Command, reading
from distobjects._retry import Lost, delay
from distobjects.errors import OutcomeUnknown, StoreUnavailable

READ = Ask([reading("HGET", "k", "f")])
WRITE = Ask([Command(("HSET", "k", "f", "v"))])
MIXED = Ask([reading("HGET", "k", "f"), Command(("DEL", "k")), Command(("DEL", "k")), Command(("HSET", "k", "f", "v"))])


def lost(*, sent: bool, slow: bool = False) -> Lost:
    error = Lost(StoreUnavailable("redis://h:1/0: gone"), sent=sent, slow=slow)
    error.__cause__ = OSError("reset")
    return error


@pytest.mark.parametrize("ask", [READ, WRITE, MIXED])
def test_what_never_left_is_tried_again(ask: Ask) -> None:
    assert delay(lost(sent=False), ask, 0, 0.0) == 0.0


def test_a_read_is_tried_again_after_its_reply_was_lost() -> None:
    assert delay(lost(sent=True), READ, 0, 0.0) == 0.0


def test_the_first_new_attempt_comes_at_once_and_later_ones_leave_the_server_time_to_restart() -> None:
    waits = [delay(lost(sent=True), READ, attempt, 0.0) for attempt in range(3)]
    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert sum(waits) < 1


def test_the_fourth_failure_is_the_last() -> None:
    with pytest.raises(StoreUnavailable, match="gone") as caught:
        delay(lost(sent=True), READ, 3, 0.0)
    assert isinstance(caught.value.__cause__, OSError)


def test_no_attempt_begins_when_a_second_has_nearly_passed() -> None:
    assert delay(lost(sent=True), READ, 0, 0.89) == 0.0
    with pytest.raises(StoreUnavailable):
        delay(lost(sent=True), READ, 0, 0.91)


@pytest.mark.parametrize("sent", [True, False])
def test_a_time_out_is_not_waited_for_twice(sent: bool) -> None:
    with pytest.raises(StoreUnavailable):
        delay(lost(sent=sent, slow=True), READ, 0, 0.1)


@pytest.mark.parametrize("ask", [WRITE, MIXED])
@pytest.mark.parametrize("slow", [True, False])
def test_a_write_that_left_is_never_sent_again(ask: Ask, slow: bool) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        delay(lost(sent=True, slow=slow), ask, 0, 0.0)
    assert isinstance(caught.value.__cause__, OSError)


def test_an_unknown_outcome_names_each_command_once_and_the_failure_but_no_argument() -> None:
    with pytest.raises(OutcomeUnknown, match=r"HGET, DEL, HSET .*redis://h:1/0: gone") as caught:
        delay(lost(sent=True), MIXED, 0, 0.0)
    assert "'v'" not in str(caught.value)


def test_an_ask_is_repeatable_only_if_all_of_its_commands_are() -> None:
    assert (READ.repeatable, WRITE.repeatable, MIXED.repeatable) == (True, False, False)
