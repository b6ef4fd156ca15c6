"""Flows stepped by hand: what is asked, who gets which reply, and what happens to the others when one fails."""

from __future__ import annotations

import pytest

from distobjects._flow import Ask, Command, Done, Flow, Pause, advance, ask, reading, settled, together


def echo(*names: str) -> Flow[list[str]]:
    """Ask for one name after the other, one round trip each."""
    got: list[str] = []
    for name in names:
        [reply] = yield from ask(reading("GET", name))
        got.append(reply)
    return got


def sleeper(seconds: float, then: str) -> Flow[tuple[float, str]]:
    [elapsed] = yield Pause(seconds)
    [reply] = yield from ask(reading("GET", then))
    return elapsed, reply


def asked(step: object) -> list[str]:
    """Name the keys that a step asks for."""
    assert isinstance(step, Ask)
    return [str(command.args[1]) for command in step.commands]


def test_a_flow_is_sent_one_reply_for_each_command() -> None:
    flow = ask(reading("GET", "a"), Command(("SET", "b", "1")), label="both")
    assert advance(flow) == Ask((Command(("GET", "a"), repeatable=True), Command(("SET", "b", "1"))), "both")
    assert advance(flow, [b"x", b"OK"]) == Done([b"x", b"OK"])


def test_a_flow_that_asks_nothing_is_done_at_once() -> None:
    assert advance(echo()) == Done([])


def test_a_flow_without_a_result_is_done_with_none() -> None:
    def silent() -> Flow[None]:
        yield from ask(reading("GET", "a"))

    flow = silent()
    advance(flow)
    assert advance(flow, [None]) == Done(None)


def test_an_error_reply_is_raised_where_it_was_asked_for() -> None:
    def recovers() -> Flow[str]:
        try:
            yield from ask(reading("GET", "a"))
        except LookupError:
            [reply] = yield from ask(reading("GET", "b"))
            return str(reply)
        raise AssertionError("the error reply was lost")

    flow = recovers()
    advance(flow)
    assert asked(advance(flow, [LookupError()])) == ["b"]
    assert advance(flow, ["saved"]) == Done("saved")


def test_the_first_of_several_error_replies_is_raised() -> None:
    flow = ask(reading("GET", "a"), reading("GET", "b"), reading("GET", "c"))
    advance(flow)
    with pytest.raises(KeyError, match="first"):
        advance(flow, [b"fine", KeyError("first"), ValueError("second")])


def test_an_ask_is_repeatable_only_if_every_command_is() -> None:
    read, write = reading("GET", "a"), Command(("SET", "a", "1"))
    assert Ask((read, read)).repeatable
    assert not Ask((read, write)).repeatable
    assert not Ask((write,)).repeatable


# ---- together and settled


def test_together_takes_as_many_round_trips_as_the_longest_flow() -> None:
    flow = together(echo("a"), echo("b1", "b2", "b3"), echo("c1", "c2"))
    assert asked(advance(flow)) == ["a", "b1", "c1"]
    assert asked(advance(flow, ["A", "B1", "C1"])) == ["b2", "c2"]
    assert asked(advance(flow, ["B2", "C2"])) == ["b3"]
    assert advance(flow, ["B3"]) == Done([["A"], ["B1", "B2", "B3"], ["C1", "C2"]])


def test_together_with_nothing_asks_nothing() -> None:
    assert advance(together()) == Done([])
    assert advance(together(echo(), echo())) == Done([[], []])


def test_together_keeps_the_order_where_some_ask_nothing() -> None:
    flow = together(echo(), echo("b"), echo())
    assert asked(advance(flow)) == ["b"]
    assert advance(flow, ["B"]) == Done([[], ["B"], []])


def test_together_deals_out_as_many_replies_as_each_flow_asked_for() -> None:
    flow = together(
        ask(reading("GET", "a"), reading("GET", "b")), ask(reading("GET", "c")), ask(*map(_get, ("d", "e", "f")))
    )
    assert asked(advance(flow)) == ["a", "b", "c", "d", "e", "f"]
    assert advance(flow, [1, 2, 3, 4, 5, 6]) == Done([[1, 2], [3], [4, 5, 6]])


def _get(name: str) -> Command:
    return reading("GET", name)


def test_an_error_reply_goes_to_the_flow_that_asked() -> None:
    flow = settled(echo("a"), echo("b"), echo("c"))
    advance(flow)
    error = LookupError("b alone")
    assert advance(flow, ["A", error, "C"]) == Done([["A"], error, ["C"]])


def test_a_failing_flow_does_not_end_the_others() -> None:
    flow = settled(echo("a1", "a2"), echo("b1", "b2"))
    advance(flow)
    error = LookupError()
    assert asked(advance(flow, [error, "B1"])) == ["b2"]
    assert advance(flow, ["B2"]) == Done([error, ["B1", "B2"]])


def test_together_raises_the_first_failure_in_order_and_only_when_all_have_ended() -> None:
    flow = together(echo("a1", "a2"), echo("b"), echo("c"))
    advance(flow)
    assert asked(advance(flow, ["A1", LookupError("b"), ValueError("c")])) == ["a2"]
    with pytest.raises(LookupError, match="b"):
        advance(flow, ["A2"])


def test_a_flow_that_fails_before_it_asks_keeps_its_place() -> None:
    def refusing() -> Flow[list[str]]:
        raise ValueError("refused before any command")
        yield

    flow = settled(refusing(), echo("b"))
    assert asked(advance(flow)) == ["b"]
    done = advance(flow, ["B"])
    assert isinstance(done, Done)
    failure, value = done.value
    assert isinstance(failure, ValueError)
    assert value == ["B"]


def test_what_is_no_exception_of_a_flow_ends_all() -> None:
    def interrupted() -> Flow[None]:
        yield from ask(reading("GET", "a"))
        raise KeyboardInterrupt

    flow = settled(interrupted())
    advance(flow)
    with pytest.raises(KeyboardInterrupt):
        advance(flow, [None])


def test_pauses_wait_until_no_flow_has_anything_to_ask() -> None:
    flow = settled(sleeper(0.5, "a"), echo("b1", "b2"))
    assert asked(advance(flow)) == ["b1"]
    assert asked(advance(flow, ["B1"])) == ["b2"]
    assert advance(flow, ["B2"]) == Pause(0.5)
    assert asked(advance(flow, [0.7])) == ["a"]
    assert advance(flow, ["A"]) == Done([(0.7, "A"), ["B1", "B2"]])


def test_several_pauses_are_taken_together_for_the_longest() -> None:
    flow = settled(sleeper(0.1, "a"), sleeper(0.3, "b"), sleeper(0.2, "c"))
    assert advance(flow) == Pause(0.3)
    assert asked(advance(flow, [0.3])) == ["a", "b", "c"]
    assert advance(flow, ["A", "B", "C"]) == Done([(0.3, "A"), (0.3, "B"), (0.3, "C")])


def test_together_nests() -> None:
    flow = together(
        together(echo("a1", "a2"), echo("b")), together(echo("c1", "c2", "c3")), together(echo("d"), echo())
    )
    assert asked(advance(flow)) == ["a1", "b", "c1", "d"]
    assert asked(advance(flow, ["A1", "B", "C1", "D"])) == ["a2", "c2"]
    assert asked(advance(flow, ["A2", "C2"])) == ["c3"]
    assert advance(flow, ["C3"]) == Done([[["A1", "A2"], ["B"]], [["C1", "C2", "C3"]], [["D"], []]])


def test_settled_nests_and_keeps_each_failure_in_its_place() -> None:
    flow = settled(settled(echo("a"), echo("b")), together(echo("c"), echo("d")))
    advance(flow)
    inner, outer = LookupError("a"), ValueError("d")
    assert advance(flow, [inner, "B", "C", outer]) == Done([[inner, ["B"]], outer])


def test_many_flows_cost_no_more_round_trips_than_one() -> None:
    names = [str(n) for n in range(1000)]
    flow = together(*(echo(name) for name in names))
    assert asked(advance(flow)) == names
    assert advance(flow, list(names)) == Done([[name] for name in names])
