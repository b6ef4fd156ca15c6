"""What a watcher knows: by hand-fed replies, and by any order of changes, losses and looks against a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from distobjects import _pushes, _watching
from distobjects._compiler import compile_schema
from distobjects._flow import Ask, Done, Flow, advance, ask, reading
from distobjects._pushes import Changed, Pushes, opening
from distobjects._resp import ProtocolError, ResponseError
from distobjects._space import Space
from distobjects._watches import View
from distobjects._watching import CHUNK, Complete, Dated, Difference, Digests, Raws, Seen, Sight, Watching
from distobjects.errors import CorruptData

FIELDS = ("a", "b")


class World:
    """A server of its own, of which a watcher hears later."""

    def __init__(self) -> None:
        self.objects: dict[str, Raws] = {}
        self.until: dict[str, float] = {}
        self.untold: list[bytes] = []
        self.now = 0.0
        self.trips = 0

    def write(self, id: str, raws: Raws | None) -> None:
        self.until.pop(id, None)
        if raws is None:
            self.objects.pop(id, None)
        else:
            self.objects[id] = raws
        self.untold.append(id.encode())

    def expire(self, id: str, seconds: float) -> None:
        if id in self.objects:
            self.until[id] = self.now + seconds
            self.untold.append(id.encode())

    def later(self, seconds: float) -> None:
        """Let time go by; nobody is told of what expires."""
        self.now += seconds
        for id in [id for id, when in self.until.items() if when <= self.now]:
            del self.objects[id], self.until[id]

    def sight(self, *, whole: bool = True) -> Sight:
        return Sight(b"" if whole else None, lambda key: key.decode() if key != b"foreign" else None, _scan, _load)

    def answer(self, args: tuple[Any, ...]) -> Any:
        if args[0] == "SCAN":
            ids = sorted(self.objects)
            begin = int(args[1])
            return [begin + 2 if begin + 2 < len(ids) else 0, ids[begin : begin + 2]]
        raws = self.objects.get(args[1])
        left = self.until[args[1]] - self.now if args[1] in self.until else None
        return None if raws is None else (raws, left)

    def look(self, watching: Watching) -> list[Difference]:
        flow = watching.look(self.now)
        step = advance(flow)
        while not isinstance(step, Done):
            assert isinstance(step, Ask)
            self.trips += 1
            step = advance(flow, [self.answer(command.args) for command in step.commands])
        return step.value

    def settle(self, watching: Watching) -> list[Difference]:
        """Tell all that is untold, and look until there is nothing to do now."""
        told, self.untold = self.untold, []
        watching.changed(told)
        found: list[Difference] = []
        while watching.due(self.now) == 0:
            found += self.look(watching)
        return found


def _scan(cursor: int) -> Flow[tuple[int, list[str]]]:
    [reply] = yield from ask(reading("SCAN", cursor))
    return reply[0], reply[1]


def _load(ids: Sequence[str]) -> Flow[list[Dated | None]]:
    return (yield from ask(*(reading("HGETALL", id) for id in ids)))


def begun(world: World, seen: Seen, ids: list[str] | None = None, *, initial: bool = False) -> Watching:
    watching = Watching(world.sight(whole=ids is None), seen, ids, initial=initial)
    world.untold.clear()
    watching.everything()
    return watching


# ---- by hand


def test_an_object_that_changes_a_hundred_times_is_read_once() -> None:
    world = World()
    watching = begun(world, Complete(), ["1"])
    world.settle(watching)
    for value in range(100):
        world.write("1", {"a": b"%d" % value})
    world.trips = 0
    assert world.settle(watching) == [Difference("1", frozenset("a"), None, {"a": b"99"}, moved=True)]
    assert world.trips == 1


def test_what_is_heard_after_it_was_asked_for_is_read_again() -> None:
    world = World()
    watching = begun(world, Complete(), ["1"])
    flow = watching.look(0.0)
    assert isinstance(advance(flow), Ask)
    world.write("1", {"a": b"1"})  # the race: too late for the reply that is on its way
    watching.changed(world.untold)
    world.untold.clear()
    assert advance(flow, [None]) == Done([])
    assert [each.after for each in world.settle(watching)] == [{"a": b"1"}]


def test_what_is_equal_again_is_not_told() -> None:
    world = World()
    world.write("1", {"a": b"1"})
    watching = begun(world, Complete(), ["1"])
    world.settle(watching)
    world.write("1", {"a": b"2"})
    world.write("1", {"a": b"1"})
    assert world.settle(watching) == []


def test_an_object_is_known_whole_and_its_fields_are_named() -> None:
    world = World()
    world.write("1", {"a": b"1", "b": b"1"})
    watching = begun(world, Complete(), ["1"])
    assert world.settle(watching) == []
    world.write("1", {"a": b"1", "b": b"2"})
    before, after = {"a": b"1", "b": b"1"}, {"a": b"1", "b": b"2"}
    assert world.settle(watching) == [Difference("1", frozenset("b"), before, after, moved=False)]
    world.write("1", None)
    assert world.settle(watching) == [Difference("1", frozenset("ab"), after, None, moved=True)]


def test_of_a_space_digests_tell_which_fields_have_changed() -> None:
    world = World()
    world.write("1", {"a": b"1", "b": b"1"})
    watching = begun(world, Digests(FIELDS))
    assert world.settle(watching) == []
    world.write("1", {"a": b"1", "b": b""})
    world.write("2", {"b": b""})
    assert world.settle(watching) == [
        Difference("1", frozenset("b"), None, {"a": b"1", "b": b""}, moved=False),
        Difference("2", frozenset("b"), None, {"b": b""}, moved=True),
    ]
    world.write("1", {"a": b"1"})
    assert [each.fields for each in world.settle(watching)] == [{"b"}]
    world.write("1", None)
    assert world.settle(watching) == [Difference("1", frozenset("a"), None, None, moved=True)]


def test_the_initial_state_is_told_where_it_is_asked_for() -> None:
    world = World()
    for id in "123":
        world.write(id, {"a": b"1"})
    world.untold.clear()
    assert world.settle(begun(world, Digests(FIELDS))) == []
    assert {each.id for each in world.settle(begun(world, Digests(FIELDS), initial=True))} == set("123")
    absent = begun(world, Complete(), ["9"], initial=True)
    assert world.settle(absent) == [Difference("9", frozenset(), None, None, moved=True)]
    absent.everything()
    assert world.settle(absent) == []


def test_what_is_created_while_the_space_is_read_for_the_first_time_is_told() -> None:
    world = World()
    watching = begun(world, Digests(FIELDS))
    world.write("1", {"a": b"1"})
    assert [each.id for each in world.settle(watching)] == ["1"]


def test_a_loss_is_made_good_by_a_look_at_everything() -> None:
    world = World()
    for id in "12345":
        world.write(id, {"a": b"1"})
    watching = begun(world, Digests(FIELDS))
    world.settle(watching)
    world.write("1", None)
    world.write("2", {"a": b"2"})
    world.write("6", {"a": b"1"})
    world.untold.clear()
    assert world.settle(watching) == []
    watching.everything()
    assert {(each.id, each.after is None) for each in world.settle(watching)} == {
        ("1", True),
        ("2", False),
        ("6", False),
    }


def test_a_loss_during_the_first_look_tells_nothing_of_what_was_there_before() -> None:
    world = World()
    for id in "12345":
        world.write(id, {"a": b"1"})
    world.untold.clear()
    watching = begun(world, Digests(FIELDS))
    world.look(watching)
    watching.everything()
    assert world.settle(watching) == []
    assert len(watching.seen) == 5


@pytest.mark.parametrize("ids", [None, ["1", "2"]])
def test_a_loss_before_the_first_reply_tells_nothing_of_what_was_there_before(ids: list[str] | None) -> None:
    world = World()
    for id in "12":
        world.write(id, {"a": b"1"})
    watching = begun(world, Complete(), ids)
    flow = watching.look(0.0)
    step = advance(flow)
    assert isinstance(step, Ask)
    if ids is None:  # a page of SCAN comes first
        assert isinstance(advance(flow, [[0, ["1", "2"]]]), Ask)
    watching.everything()
    assert world.settle(watching) == []
    world.write("2", {"a": b"2"})
    assert [each.id for each in world.settle(watching)] == ["2"]


def test_an_object_that_expires_is_looked_at_when_it_has() -> None:
    world = World()
    world.write("1", {"a": b"1"})
    watching = begun(world, Complete(), ["1"])
    world.settle(watching)
    world.expire("1", 10.0)
    assert world.settle(watching) == []
    assert 10.0 <= watching.due(world.now) < 10.1
    world.expire("1", 20.0)
    world.settle(watching)
    world.later(15.0)
    assert world.settle(watching) == []
    world.later(6.0)
    assert [each.after for each in world.settle(watching)] == [None]
    assert watching.due(world.now) == float("inf")


def test_expiry_that_is_put_off_again_and_again_takes_no_more_memory() -> None:
    world = World()
    world.write("1", {"a": b"1"})
    watching = begun(world, Complete(), ["1"])
    for _ in range(20 * CHUNK):
        world.expire("1", 10.0)
        world.settle(watching)
        world.now += 0.001
    assert len(watching._expiring) <= CHUNK + 3


def test_other_ids_and_other_keys_are_nothing_to_a_watcher_of_one() -> None:
    watching = begun(World(), Complete(), ["1"])
    World().settle(watching)
    watching.changed([b"2", b"foreign"])
    assert watching.due(0.0) == float("inf")


def test_what_cannot_be_read_is_said() -> None:
    world = World()
    watching = begun(world, Complete(), ["1"])
    flow = watching.look(0.0)
    advance(flow)
    with pytest.raises(CorruptData):
        advance(flow, [CorruptData(model="M", id="1", field=None, length=None, kind="the key holds no hash")])
    assert watching.due(0.0) == 0  # it has not been seen


def test_a_look_reads_no_more_than_a_chunk() -> None:
    world = World()
    watching = begun(world, Complete(), [str(each) for each in range(3 * CHUNK)], initial=True)
    assert [len(world.look(watching)) for _ in range(4)] == [CHUNK, CHUNK, CHUNK, 0]


def test_what_comes_and_goes_unread_takes_no_memory_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watching, "MOST", 10)
    world = World()
    for id in "123":
        world.write(id, {"a": b"1"})
    watching = begun(world, Digests(FIELDS))
    world.settle(watching)
    for each in range(100):
        watching.changed([b"x%d" % each])
        assert len(watching._dirty) <= 13
    world.write("x50", {"a": b"1"})
    world.untold.clear()
    assert [each.id for each in world.settle(watching)] == ["x50"]


@pytest.mark.parametrize("named", [True, False])
def test_more_than_can_be_named_during_the_first_look_is_told(monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    monkeypatch.setattr(_watching, "MOST", 3)
    world = World()
    for id in "12345":
        world.write(id, {"a": b"1"})
    watching = begun(world, Digests(FIELDS))
    world.look(watching)
    watching.changed([b"%d" % each for each in range(1, 10)] if named else [], everything=not named)
    assert {each.id for each in world.settle(watching)} == set("345")  # two have been seen before


def test_what_has_been_dirty_for_longest_is_read_first() -> None:
    world = World()
    watching = begun(world, Complete())
    world.settle(watching)
    for each in range(3 * CHUNK):
        world.write(f"{each:03d}", {"a": b"1"})
    watching.changed(world.untold)
    found = [each.id for _ in range(2) for each in world.look(watching)]
    watching.changed([b"000", b"299"])
    found += [each.id for each in world.look(watching)]
    assert found == [f"{each:03d}" for each in range(3 * CHUNK)]


class Point(BaseModel):
    a: int = 0
    b: int = 0


def test_what_is_not_watched_is_not_told() -> None:
    view = View(Space("", "Point", compile_schema(Point)), ["1"], ["a"], initial=False)
    before, after = {"a": b"1", "b": b"1"}, {"a": b"2", "b": b"2"}
    assert view.change(Difference("1", frozenset("b"), before, after, moved=False)) is None
    told = view.change(Difference("1", frozenset("ab"), before, after, moved=False))
    assert told == ("1", {"a"}, Point(a=1, b=1), Point(a=2, b=2))
    assert view.change(Difference("1", frozenset("b"), before, None, moved=True)) == (
        "1", frozenset(), Point(a=1, b=1), None,
    )  # fmt: skip


# ---- any order

IDS = st.sampled_from("123456")
RAWS: st.SearchStrategy[Mapping[str, bytes]] = st.dictionaries(
    st.sampled_from(FIELDS), st.sampled_from([b"", b"1", b"2"]), min_size=1
)
ACTIONS = st.one_of(
    st.tuples(st.just("write"), IDS, st.none() | RAWS),
    st.tuples(st.just("expire"), IDS, st.sampled_from([0.5, 2.0])),
    st.tuples(st.just("later"), st.sampled_from([0.4, 1.0])),
    st.just(("hear",)),
    st.just(("lose",)),
    st.just(("look",)),
)


@given(st.lists(ACTIONS, max_size=40), st.lists(ACTIONS, max_size=10), st.booleans(), st.booleans(), st.booleans())
def test_the_last_state_is_always_told_and_nothing_twice(
    actions: list[Any], before: list[Any], whole: bool, initial: bool, complete: bool
) -> None:
    world = World()
    for action in before:
        if action[0] in ("write", "expire", "later"):
            getattr(world, action[0])(*action[1:])
    world.untold.clear()
    ids = None if whole else list("1234")
    known = {} if initial else {id: raws for id, raws in world.objects.items() if whole or id in "1234"}
    seen: Seen = Complete() if complete or not whole else Digests(FIELDS)
    watching = begun(world, seen, ids, initial=initial)
    if not initial:
        assert world.settle(watching) == []
    told: dict[str, list[Raws | None]] = {id: [known.get(id)] for id in "123456"}

    def hear(found: list[Difference]) -> None:
        for each in found:
            if each.after == told[each.id][-1]:  # all that an absent one has to tell, and only where it was asked for
                assert initial
                assert each.before is each.after is None
                assert told[each.id] == [None]
            elif each.before is not None:
                assert each.before == told[each.id][-1]
            told[each.id].append(each.after)

    for action in actions:
        if action[0] == "hear":
            watching.changed(world.untold)
            world.untold.clear()
        elif action[0] == "lose":
            world.untold.clear()
            watching.everything()
        elif action[0] == "look":
            hear(world.look(watching))
        else:
            getattr(world, action[0])(*action[1:])
    hear(world.settle(watching))
    world.later(10.0)
    hear(world.settle(watching))
    assert {id: states[-1] for id, states in told.items()} == {
        id: world.objects.get(id) if whole or id in "1234" else None for id in "123456"
    }
    assert len(seen) == sum(states[-1] is not None for states in told.values())


# ---- what comes over a line

HEARD = b">2\r\n$10\r\ninvalidate\r\n*2\r\n$3\r\na:1\r\n$3\r\na:2\r\n"


def test_pushes_come_between_replies() -> None:
    pushes = Pushes()
    pushes.feed(b":1\r\n" + HEARD + b"+PO")
    assert pushes.replies == [1]
    assert pushes
    pushes.feed(b"NG\r\n" + HEARD + b"-ERR no\r\n")
    assert pushes.replies[:2] == [1, b"PONG"]
    assert isinstance(pushes.replies[2], ResponseError)
    assert pushes.taken() == Changed([b"a:1", b"a:2"])
    assert not pushes
    assert pushes.taken() == Changed([])


def test_no_key_at_all_is_everything() -> None:
    pushes = Pushes()
    pushes.feed(HEARD + b">2\r\n$10\r\ninvalidate\r\n_\r\n" + HEARD)
    assert pushes.taken() == Changed([], everything=True)


def test_more_than_so_many_keys_are_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pushes, "MOST", 1)
    pushes = Pushes()
    pushes.feed(HEARD)
    assert pushes.taken() == Changed([], everything=True)


def test_the_answer_to_a_subscription_is_a_reply_and_other_pushes_are_none() -> None:
    pushes = Pushes()
    pushes.feed(b">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n")
    assert pushes.replies == [[b"subscribe", b"x", 1]]


def test_what_is_no_reply_is_an_error() -> None:
    with pytest.raises(ProtocolError):
        Pushes().feed(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_line_begins_with_what_it_is_to_hear() -> None:
    assert [command.args for command in opening(b"a:").commands][1] == (
        "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", b"a:",
    )  # fmt: skip
    assert [command.args for command in opening(b"").commands][1][3:] == ("BCAST",)
    assert [command.args[0] for command in opening(b"").commands] == ["HELLO", "CLIENT", "SUBSCRIBE"]
    assert [command.args for command in opening(None).commands] == [("HELLO", 3), ("CLIENT", "TRACKING", "ON")]
