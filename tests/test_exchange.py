"""The order of commands and replies on a shared connection, by bytes fed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distobjects import _resp
from distobjects._exchange import Exchange
from distobjects._resp import ProtocolError, PythonReader, ResponseError


class Waiter:
    """A future without an event loop."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.cancelled = False

    def done(self) -> bool:
        return self.cancelled or bool(self.results)

    def set_result(self, result: Any, /) -> None:
        assert not self.done()
        self.results.append(result)

    def set_exception(self, exception: Exception, /) -> None:
        self.set_result(exception)


class Lost(Exception):
    def __init__(self, late: bool) -> None:
        super().__init__(late)
        self.late = late


def asked(exchange: Exchange, data: bytes) -> Waiter:
    waiter = Waiter()
    exchange.queue.append((data, waiter))
    return waiter


def test_replies_go_to_their_commands_in_order() -> None:
    exchange = Exchange()
    one, two = asked(exchange, b"a"), asked(exchange, b"b")
    assert exchange.leave(0) == [b"a", b"b"]
    three = asked(exchange, b"c")
    exchange.receive(b"$1\r\n1\r\n$1\r\n2\r\n")
    assert exchange.leave(0) == [b"c"]
    exchange.receive(b"-ERR no\r\n")
    assert (one.results, two.results) == ([b"1"], [b"2"])
    assert isinstance(three.results[0], ResponseError)
    assert not exchange.waiting


def test_who_gives_up_before_its_command_has_left_takes_it_along() -> None:
    exchange = Exchange()
    gone, there = asked(exchange, b"a"), asked(exchange, b"b")
    several = Waiter()
    exchange.add(b"cc", 2, several)
    gone.cancelled = several.cancelled = True
    assert exchange.leave(0) == [b"b"]
    exchange.receive(b":1\r\n")
    assert there.results == [1]


def test_the_reply_to_who_has_given_up_is_dropped_and_nobody_else_notices() -> None:
    exchange = Exchange()
    gone, there = asked(exchange, b"a"), asked(exchange, b"b")
    exchange.leave(0)
    gone.cancelled = True
    exchange.receive(b":1\r\n:2\r\n")
    assert (gone.results, there.results) == ([], [2])


def test_several_replies_are_handed_on_as_one() -> None:
    exchange = Exchange()
    before, several, behind = asked(exchange, b"a"), Waiter(), Waiter()
    exchange.add(b"bcd", 3, several)
    exchange.queue.append((b"e", behind))
    assert b"".join(exchange.leave(0)) == b"abcde"
    exchange.receive(b":1\r\n:2\r\n:3\r\n")
    assert several.results == []
    exchange.receive(b":4\r\n:5\r\n")
    assert (before.results, several.results, behind.results) == ([1], [[2, 3, 4]], [5])


def test_what_the_server_pushes_is_nobody_s() -> None:
    exchange = Exchange()
    waiter = asked(exchange, b"a")
    exchange.leave(0)
    exchange.receive(b">2\r\n+message\r\n+x\r\n:1\r\n>1\r\n+y\r\n")
    assert waiter.results == [1]


@pytest.mark.parametrize("data", [b":1\r\n", b"nonsense\r\n"])
def test_a_reply_that_nobody_waits_for_is_none(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Exchange().receive(data)


def test_the_end_takes_what_has_left_and_leaves_what_is_queued() -> None:
    exchange = Exchange()
    answered, early, late_enough = (asked(exchange, b"x") for _ in range(3))
    exchange.leave(1.0)
    exchange.receive(b":1\r\n")
    later = asked(exchange, b"y")
    several = Waiter()
    exchange.add(b"zz", 2, several)
    exchange.leave(2.0)
    queued = asked(exchange, b"q")
    assert exchange.oldest() == 1.0
    exchange.end(Lost, late=1.5)
    assert answered.results == [1]
    assert [each.results[0].late for each in (early, late_enough, later, several)] == [True, True, False, False]
    assert queued.results == []
    assert exchange.oldest() is None
    assert exchange.leave(3.0) == [b"q"]
    exchange.receive(b":7\r\n")
    assert queued.results == [7]


def test_half_a_reply_of_a_connection_that_has_ended_is_no_part_of_the_next() -> None:
    exchange = Exchange()
    first = asked(exchange, b"a")
    exchange.leave(0)
    exchange.receive(b"$5\r\nab")
    exchange.end(Lost)
    second = asked(exchange, b"a")
    exchange.leave(0)
    exchange.receive(b"$2\r\nok\r\n")
    assert isinstance(first.results[0], Lost)
    assert second.results == [b"ok"]


def test_what_will_not_leave_is_told_so() -> None:
    exchange = Exchange()
    gone, there, several = asked(exchange, b"a"), asked(exchange, b"b"), Waiter()
    exchange.add(b"cc", 2, several)
    gone.cancelled = True
    exchange.refuse(lambda: Lost(False))
    assert (len(gone.results), len(there.results), len(several.results)) == (0, 1, 1)
    assert exchange.leave(0) == []


def test_the_oldest_is_the_one_that_has_waited_longest() -> None:
    exchange = Exchange()
    assert exchange.oldest() is None
    for moment in (1.0, 2.0, 3.0):
        asked(exchange, b"x")
        exchange.leave(moment)
    seen = []
    for _ in range(3):
        seen.append(exchange.oldest())
        exchange.receive(b":0\r\n")
    assert [*seen, exchange.oldest()] == [1.0, 2.0, 3.0, None]


def test_what_is_remembered_does_not_grow_with_what_was_answered() -> None:
    exchange = Exchange()
    for moment in range(1000):
        asked(exchange, b"x")
        exchange.leave(float(moment))
        exchange.receive(b":0\r\n")
    assert len(exchange._departures) <= 1
    asked(exchange, b"x")
    exchange.leave(1000.0)
    for moment in range(1001, 2000):  # never empty
        asked(exchange, b"x")
        exchange.leave(float(moment))
        exchange.receive(b":0\r\n")
    assert len(exchange._departures) <= 2


# What happens next: who asks for how many replies, who gives up, what leaves, how many bytes come.
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 3)),
        st.tuples(st.just("give up"), st.integers(0, 50)),
        st.tuples(st.just("leave"), st.just(0)),
        st.tuples(st.just("receive"), st.integers(1, 40)),
        st.tuples(st.just("end"), st.just(0)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("reader", [_resp.reader, PythonReader])
def test_whatever_happens_each_has_its_own_reply_or_hears_of_the_end(
    reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distobjects._exchange.reader", reader)

    @given(EVENTS)
    def check(events: list[tuple[str, int]]) -> None:
        exchange, wire, waiters = Exchange(), b"", list[tuple[Waiter, Any]]()
        number = 0
        for event, much in events:
            if event == "ask":
                names = [b"%d" % (number + each) for each in range(much)]
                waiter, number = Waiter(), number + much
                data = b"".join(b"+%b\r\n" % name for name in names)  # the server's reply is the command
                if much == 1:
                    exchange.queue.append((data, waiter))
                else:
                    exchange.add(data, much, waiter)
                waiters.append((waiter, names[0] if much == 1 else names))
            elif event == "give up" and waiters:
                waiter = waiters[much % len(waiters)][0]
                waiter.cancelled = not waiter.results
            elif event == "leave":
                wire += b"".join(exchange.leave(0.0))
            elif event == "receive":
                wire, data = wire[much:], wire[:much]
                exchange.receive(data)
            elif event == "end":
                exchange.end(Lost)
                wire = b""
        wire += b"".join(exchange.leave(0.0))
        exchange.receive(wire)
        assert not exchange.waiting
        for waiter, expected in waiters:
            assert waiter.cancelled or waiter.results == [expected] or isinstance(waiter.results[0], Lost)

    check()
