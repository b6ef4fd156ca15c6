"""The near cache's pure part: hand-fed interleavings, and anything at random against a model of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from distobjects import Near
from distobjects._messages import Heard, Messages
from distobjects._near import LOOK_SECONDS, Cache, Entry, Pulse, Table
from distobjects._resp import ResponseError


def made(**options: Any) -> tuple[Cache, Table]:
    cache = Cache(Near(**options))
    return cache, cache.table(["n"])


def filled(cache: Cache, table: Table, id: str, raw: bytes = b"1", seconds: float | None = None) -> Entry:
    entry = cache.open(table, id, id.encode())
    cache.fill(entry, {"n": raw}, asked=0.0, seconds=seconds)
    return entry


def test_what_was_asked_for_is_kept() -> None:
    cache, table = made()
    entry = filled(cache, table, "1")
    assert table.entries == {"1": entry}
    assert entry.raws == {"n": b"1"}


def test_an_old_reply_is_not_kept_after_an_invalidation() -> None:
    cache, table = made()
    entry = cache.open(table, "1", b"1")
    cache.drop(b"1")
    assert not cache.fill(entry, {"n": b"1"}, asked=0.0, seconds=None)
    assert not table.entries
    assert cache.bytes == 0


def test_an_old_reply_is_not_kept_after_everything_was_dropped() -> None:
    cache, table = made()
    entry = cache.open(table, "1", b"1")
    cache.clear()
    assert not cache.fill(entry, {"n": b"1"}, asked=0.0, seconds=None)


def test_an_old_reply_is_not_kept_when_the_object_was_asked_for_again() -> None:
    cache, table = made()
    old = cache.open(table, "1", b"1")
    new = cache.open(table, "1", b"1")
    assert not cache.fill(old, {"n": b"1"}, asked=0.0, seconds=None)
    assert cache.fill(new, {"n": b"2"}, asked=0.0, seconds=None)
    assert table.entries["1"].raws == {"n": b"2"}


def test_a_decoded_value_goes_with_its_entry() -> None:
    cache, table = made()
    cache.share(filled(cache, table, "1"), "n", 1)
    assert table.shared == {"n": {"1": 1}}
    cache.drop(b"1")
    assert table.shared == {"n": {}}


def test_a_value_that_is_decoded_too_late_is_not_kept() -> None:
    cache, table = made()
    entry = filled(cache, table, "1")
    cache.drop(b"1")
    cache.share(entry, "n", 1)
    assert table.shared == {"n": {}}


def test_an_entry_ends_when_its_object_expires_counted_from_the_question() -> None:
    cache, table = made()
    entry = cache.open(table, "1", b"1")
    cache.fill(entry, {"n": b"1"}, asked=10.0, seconds=0.5)
    assert entry.until == 10.5
    cache.share(entry, "n", 1)
    assert table.shared == {"n": {}}


def test_a_look_is_good_for_a_moment() -> None:
    cache, _ = made()
    assert cache.look(5.0, Pulse(5.0, 1.0), Pulse(5.0, 1.0))
    assert cache.until == 5.0 + LOOK_SECONDS
    cache.distrust()
    assert cache.until < 0


def test_the_shortest_lease_bounds_what_a_look_is_good_for() -> None:
    cache, _ = made()
    assert not cache.look(6.0, Pulse(6.0, 1.0), Pulse(5.0, 1.0))


def test_a_lease_counts_from_when_the_answered_ping_was_sent() -> None:
    pulse = Pulse(0.0, 3.0)
    assert not pulse.due(0.9)
    assert pulse.due(1.0)
    pulse.sent(1.0)
    assert not pulse.due(2.9)
    assert pulse.until == 3.0
    pulse.answered()
    assert pulse.until == 4.0


def test_an_answer_to_nothing_prolongs_no_lease() -> None:
    pulse = Pulse(0.0, 3.0)
    pulse.answered()
    assert pulse.until == 3.0


def test_an_answer_to_something_else_prolongs_the_lease_and_an_older_one_does_not_shorten_it() -> None:
    pulse = Pulse(0.0, 3.0)
    pulse.lived(2.0)
    pulse.lived(1.0)
    assert pulse.until == 5.0


def test_an_answer_to_something_else_leaves_a_ping_that_is_on_its_way_to_be_judged() -> None:
    pulse = Pulse(0.0, 1.0)
    pulse.sent(1.0)
    pulse.lived(1.5)
    assert pulse.until == 2.5
    assert pulse.silent(3.0)


def test_a_connection_that_leaves_a_ping_unanswered_for_two_leases_is_silent() -> None:
    pulse = Pulse(0.0, 1.0)
    assert not pulse.silent(100.0)
    pulse.sent(100.0)
    assert not pulse.silent(101.9)
    assert pulse.silent(102.0)


def test_what_was_seen_to_be_read_stays_longest() -> None:
    cache, table = made(max_objects=3)
    for id in "123":
        filled(cache, table, id)
    table.entries["1"].used = True
    filled(cache, table, "4")
    assert set(table.entries) == {"1", "3", "4"}


def test_everything_that_was_read_leaves_in_turn_too() -> None:
    cache, table = made(max_objects=2)
    for id in "123456":
        filled(cache, table, id).used = True
    assert len(table.entries) == 2


def test_an_object_larger_than_all_the_memory_is_not_kept() -> None:
    cache, table = made(max_bytes=10_000)
    entry = cache.open(table, "1", b"1")
    assert not cache.fill(entry, {"n": b"x" * 10_000}, asked=0.0, seconds=None)
    assert (len(cache), cache.bytes, table.entries) == (0, 0, {})


@pytest.mark.parametrize("options", [{"max_objects": 0}, {"max_bytes": -1}, {"lease_seconds": 0}])
def test_a_bound_that_admits_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be above 0"):
        Near(**options)


class Interleaving(RuleBasedStateMachine):
    """A server with five objects that tells of each change once, later; and readers that ask at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.cache, self.table = made(max_objects=3)
        self.stored = dict.fromkeys("12345", 0)
        self.tracked: set[str] = set()
        self.messages: list[str] = []
        self.asked: list[tuple[Entry, int]] = []

    def _current(self, id: str) -> bool:
        return id not in self.messages

    @rule(id=st.sampled_from("12345"))
    def ask(self, id: str) -> None:
        self.asked.append((self.cache.open(self.table, id, id.encode()), self.stored[id]))
        self.tracked.add(id)

    @rule(data=st.data())
    def receive(self, data: st.DataObject) -> None:
        if self.asked:
            entry, value = self.asked.pop(data.draw(st.integers(0, len(self.asked) - 1)))
            self.cache.fill(entry, {"n": b"%d" % value}, asked=0.0, seconds=None)

    @rule(id=st.sampled_from("12345"))
    def change(self, id: str) -> None:
        self.stored[id] += 1
        if id in self.tracked:
            self.tracked.remove(id)
            self.messages.append(id)

    @rule()
    def hear(self) -> None:
        if self.messages:
            self.cache.drop(self.messages.pop(0).encode())

    @rule()
    def lose(self) -> None:
        self.cache.clear()
        self.messages.clear()
        self.tracked.clear()
        self.asked = []

    @rule(id=st.sampled_from("12345"))
    def read(self, id: str) -> None:
        if (entry := self.table.entries.get(id)) is not None:
            entry.used = True
            self.cache.share(entry, "n", int(entry.raws["n"]))

    @invariant()
    def what_is_there_is_true_unless_a_message_is_on_its_way(self) -> None:
        for id, entry in self.table.entries.items():
            assert int(entry.raws["n"]) == self.stored[id] or not self._current(id)
        for id, value in self.table.shared["n"].items():
            assert value == int(self.table.entries[id].raws["n"])

    @invariant()
    def the_bounds_hold(self) -> None:
        assert len(self.table.entries) <= 3
        assert self.cache.bytes == sum(entry.cost for entry in self.table.entries.values())


TestInterleaving = Interleaving.TestCase


# ---- messages


def message(payload: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n" + payload


@pytest.mark.parametrize(
    ("data", "heard"),
    [
        (message(b"*2\r\n$1\r\na\r\n$2\r\nb\n\r\n"), Heard([b"a", b"b\n"])),
        (message(b"*-1\r\n"), Heard([], everything=True)),
        (message(b"$-1\r\n"), Heard([], everything=True)),
        (b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", Heard([], pongs=1)),
        (b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", Heard([])),
        (message(b"$2\r\nhi\r\n"), Heard([])),
    ],
)
def test_a_message_says_the_same_wherever_it_is_cut(data: bytes, heard: Heard) -> None:
    for cut in range(len(data)):
        messages = Messages()
        assert messages.feed(data[:cut]) == Heard([])
        assert messages.feed(data[cut:]) == heard


def test_messages_come_in_one_piece_too() -> None:
    one = message(b"*1\r\n$1\r\na\r\n")
    assert Messages().feed(one + one + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n") == Heard([b"a", b"a"], pongs=1)


def test_a_refusal_is_an_error() -> None:
    with pytest.raises(ResponseError, match="NOPERM"):
        Messages().feed(b"-NOPERM no\r\n")
