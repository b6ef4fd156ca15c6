"""Many objects at once, and going through all of them: in chunks, in order, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Self

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from distobjects import AlreadyExists, CorruptData, F, Fault, FieldUnset, NotFound, OutOfMemory, connect
from distobjects._bulk import CHUNK, chunks
from tests.fix_servers import Server, recorder, running
from tests.fix_stores import FACES, Store, connected, connected_by


class Item(BaseModel):
    id: int
    n: int = Field(default=0, ge=0)
    text: str | None = None


class Loose(BaseModel):
    """Its id is outside of it."""

    n: int = 0


class Account(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    n: int = 0
    pin: Annotated[int, AfterValidator(lambda pin: f"no number {pin}")] = 0
    owner: str = Field(default="", frozen=True)


class Range(BaseModel):
    lo: int = 0
    hi: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


I, L = F(Item), F(Loose)  # noqa: E741  # short, as users write them
MANY = 2 * CHUNK + 3


def items(count: int = MANY) -> list[Item]:
    return [Item(id=n, n=n) for n in range(count)]


@pytest.fixture
def stocked(store: Store) -> Any:
    """The objects of a model, more than two chunks of them."""
    objects = store.objects(Item)
    objects.create_many(items())
    return objects


def test_chunks_cut_any_iterable_and_take_no_more_than_they_need() -> None:
    taken: list[int] = []
    source = (taken.append(n) or n for n in range(CHUNK + 5))  # type: ignore[func-returns-value]  # it notes what it yields
    cut = chunks(source)
    assert len(next(cut)) == CHUNK == len(taken)
    assert next(cut) == list(range(CHUNK, CHUNK + 5))
    assert list(cut) == []


def test_many_objects_take_a_round_trip_for_each_chunk(store: Store) -> None:
    objects = store.objects(Item)
    objects.put_many(items(2))  # the server knows the script
    objects.delete_many(range(2))
    calls = {
        "create_many": lambda: objects.create_many(items()),
        "get_many": lambda: objects.get_many(range(MANY)),
        "read_many": lambda: objects.read_many(range(MANY), I.n, I.text),
        "put_many": lambda: objects.put_many(items()),
        "stream": lambda: objects.stream(range(MANY)),
        "audit": lambda: objects.audit(range(MANY)),
        "delete_many": lambda: objects.delete_many(range(MANY)),
    }
    taken = {}
    for name, call in calls.items():
        with store.counted() as trips:
            call()
        taken[name] = trips[0]
    assert taken == dict.fromkeys(calls, 3)


def test_snapshots_come_in_order_with_none_for_what_is_absent(stocked: Any) -> None:
    ids = [5, MANY + 1, 3, 5, "7", MANY - 1]
    assert stocked.get_many(ids) == [
        Item(id=5, n=5),
        None,
        Item(id=3, n=3),
        Item(id=5, n=5),
        Item(id=7, n=7),
        Item(id=MANY - 1, n=MANY - 1),
    ]
    assert stocked.get_many(iter([1, 2])) == [Item(id=1, n=1), Item(id=2, n=2)]
    assert stocked.get_many([]) == []


def test_fields_of_many_come_in_order_with_none_for_what_is_absent(stocked: Any) -> None:
    assert stocked.read_many([5, MANY + 1, 3], I.n) == [5, None, 3]
    assert stocked.read_many([5, MANY + 1], I.n, I.text) == [(5, None), None]
    assert stocked.read_many([5, 6], I.id, I.n) == [(5, 5), (6, 6)]
    with pytest.raises(TypeError, match="at least one"):
        stocked.read_many([5])


def test_create_many_takes_a_mapping_or_values_that_carry_their_id(store: Store) -> None:
    assert store.objects(Item).create_many(item for item in items(3)) == ["0", "1", "2"]
    assert store.objects(Loose).create_many({"a": Loose(n=1), 7: Loose(n=2)}) == ["a", "7"]
    made = store.objects(Loose).create_many([Loose(n=3), Loose(n=4)])
    assert store.objects(Loose).read_many(["a", 7, *made], L.n) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="differs"):
        store.objects(Item).create_many({8: Item(id=9)})


def test_create_many_stores_the_others_and_tells_which_were_taken(store: Store, stocked: Any) -> None:
    new = [Item(id=MANY + n, n=1) for n in range(CHUNK)]
    with pytest.raises(AlreadyExists) as caught:
        stocked.create_many([Item(id=3, n=99), *new, Item(id=4, n=99)])
    assert caught.value.ids == ("3", "4")
    assert stocked.read_many([3, 4, MANY, MANY + CHUNK - 1], I.n) == [3, 4, 1, 1]


def test_one_id_twice_in_one_call_is_taken_the_second_time(store: Store) -> None:
    with pytest.raises(AlreadyExists) as caught:
        store.objects(Item).create_many([Item(id=1, n=1), Item(id=1, n=2)])
    assert caught.value.ids == ("1",)
    assert store.objects(Item).read(1, I.n) == 1


def test_an_invalid_value_among_many_is_told_and_not_stored(store: Store) -> None:
    bad = Item(id=1)
    bad.n = -1
    for call in (store.objects(Item).create_many, store.objects(Item).put_many):
        with pytest.raises(ValidationError):
            call([Item(id=0), bad, Item(id=2)])
        assert sorted(store.objects(Item).ids()) == ["0", "2"]
        store.objects(Item).delete_many([0, 2])


def test_put_many_replaces_whole_objects(store: Store, stocked: Any) -> None:
    store.raw.hset("Item:1", "unknown", "x")
    store.raw.expire("Item:1", 100)
    assert stocked.put_many([Item(id=1, n=7), Item(id=MANY, n=8)]) == ["1", str(MANY)]
    assert store.raw.hgetall("Item:1") == {b"n": b"7", b"text": b"null"}
    assert stocked.ttl(1) is None
    assert stocked.read(MANY, I.n) == 8


def test_put_many_takes_what_is_new_and_what_is_not_in_one_call(anywhere: Store) -> None:
    objects = anywhere.objects(Loose)
    objects.put(Loose(n=1), id="b")
    anywhere.raw.hset("Loose:b", "other", "x")
    anywhere.raw.pexpire("Loose:b", 100_000)
    anywhere.raw.set("Loose:c", "no hash")
    assert objects.put_many({id: Loose(n=7) for id in "abcd"}) == ["a", "b", "c", "d"]
    assert [anywhere.raw.hgetall(f"Loose:{id}") for id in "abcd"] == [{b"n": b"7"}] * 4
    assert anywhere.raw.pttl("Loose:b") == -1
    twice = anywhere.objects(Item)
    assert twice.put_many([Item(id=1, n=1), Item(id=2, n=2), Item(id=1, n=3)]) == ["1", "2", "1"]
    assert twice.read_many([1, 2], I.n) == [3, 2]


def test_create_many_stores_what_is_new_beside_what_is_not_in_one_call(anywhere: Store) -> None:
    objects = anywhere.objects(Loose)
    anywhere.raw.hset("Loose:b", "other", "x")
    anywhere.raw.set("Loose:c", "no hash")
    with pytest.raises(AlreadyExists) as caught:
        objects.create_many({id: Loose(n=7) for id in "abcd"})
    assert caught.value.ids == ("b", "c")
    assert objects.read_many("ad", L.n) == [7, 7]
    assert (anywhere.raw.hgetall("Loose:b"), anywhere.raw.get("Loose:c")) == ({b"other": b"x"}, b"no hash")


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_nothing_new_is_stored_by_a_server_that_is_out_of_memory(kind: str) -> None:
    with running(kind, "--maxmemory-policy", "noeviction") as server, connect(server.url) as db, server.client() as raw:
        objects = db.objects(Loose)
        objects.put_many({id: Loose(n=1) for id in "abc"})
        raw.config_set("maxmemory", 1)
        for call in (objects.put_many, objects.create_many):
            for ids in ("bx", "xb", "xy"):
                with pytest.raises(OutOfMemory):
                    call({id: Loose(n=2) for id in ids})
        assert objects.read_many("abcxy", L.n) == [1, 1, 1, None, None]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("client", ["url", "client", "valkey-py"])
def test_a_node_of_a_cluster_whose_client_does_not_know_takes_many_too(
    cluster_server: Server, client: str, face: str
) -> None:
    opened = connected(cluster_server, face) if client == "url" else connected_by(client, cluster_server, face)
    with opened as store:
        objects = store.objects(Loose)
        assert len(objects.create_many({n: Loose(n=n) for n in range(MANY)})) == MANY
        with pytest.raises(AlreadyExists) as caught:
            objects.create_many({n: Loose(n=n) for n in (1, MANY, 2)})
        assert caught.value.ids == ("1", "2")
        objects.put_many({n: Loose(n=n + 1) for n in range(MANY)})
        assert objects.read_many(range(MANY + 1), L.n) == [*range(1, MANY + 1), MANY]


def test_delete_many_counts_what_was_there(stocked: Any) -> None:
    assert stocked.delete_many([1, 2, MANY + 5, 1]) == 2
    assert stocked.delete_many(range(MANY)) == MANY - 2
    assert stocked.delete_many([]) == 0


def test_one_corrupt_object_among_many_is_told_by_its_id(store: Store, stocked: Any) -> None:
    store.raw.hset("Item:5", "n", "?")
    for call in (
        lambda: stocked.get_many(range(10)),
        lambda: stocked.read_many(range(10), I.n),
        lambda: stocked.stream(range(10)),
    ):
        with pytest.raises(CorruptData) as caught:
            call()
        assert caught.value.id == "5"


def test_objects_without_one_field_are_no_absent_objects(store: Store) -> None:
    class Named(BaseModel):
        name: str
        n: int = 0

    store.raw.hset("Named:1", "n", "3")
    with pytest.raises(FieldUnset):
        store.objects(Named).get_many(["1"])
    assert store.objects(Named).read_many(["1", "2"], F(Named).n) == [3, None]


# ---- all of them


def test_every_id_is_listed_once_where_nothing_changes(store: Store, stocked: Any) -> None:
    assert Counter(stocked.ids()) == Counter(str(n) for n in range(MANY))
    assert stocked.count() == MANY


def test_all_snapshots_are_streamed(stocked: Any) -> None:
    assert dict(stocked.stream()) == {str(item.id): item for item in items()}


def test_streaming_by_id_keeps_the_order_and_leaves_out_what_is_absent(stocked: Any) -> None:
    assert [id for id, _ in stocked.stream([5, MANY + 1, 3, stocked[4]])] == ["5", "3", "4"]


def test_a_stream_asks_for_one_chunk_more_than_is_taken(live: Store) -> None:
    objects = live.backend.objects(Item)
    objects.create_many(items())
    taken: list[int] = []

    def ids() -> Iterator[int]:
        for n in range(MANY):
            taken.append(n)
            yield n

    with live.counted() as trips:
        stream = objects.stream(ids())
        assert taken == []
        assert next(stream) == ("0", Item(id=0, n=0))
        stream.close()
    assert trips == [2]
    assert len(taken) == 2 * CHUNK


def test_an_asynchronous_stream_can_be_left_early(awaited: Store) -> None:
    assert awaited.loop is not None
    awaited.objects(Item).create_many(items())
    objects = awaited.backend.objects(Item)

    async def first() -> Any:
        stream = objects.stream(range(MANY))
        try:
            return await anext(stream)
        finally:
            await stream.aclose()

    with awaited.counted() as trips:
        assert awaited.loop.run(first()) == ("0", Item(id=0, n=0))
    assert trips == [2]


def test_listing_never_uses_keys_and_pages_are_bounded(live: Store) -> None:
    assert live.server is not None
    objects = live.backend.objects(Item)
    objects.create_many(items())
    with recorder(live.server) as seen:
        assert len(list(objects)) == MANY
    assert set(seen.commands) == {"SCAN"}
    assert {line.split("COUNT ")[1] for line in seen.lines} == {str(CHUNK)}


def test_listing_leaves_out_what_is_no_object_of_the_space(store: Store) -> None:
    objects = store.objects(Loose)
    objects.create(Loose(), id="a:b")
    for key in (b"Loose", b"Loose:", b"Looser:1", b"other:Loose:1", b"Loose:{1}", b"Loose:%zz", b"Loose:\xff"):
        store.raw.hset(key, "n", "1")
    assert objects.ids() == ["a:b"]


def test_nothing_is_listed_where_nothing_is(store: Store) -> None:
    objects = store.objects(Loose)
    assert (objects.ids(), objects.count(), objects.stream(), objects.audit()) == ([], 0, [], [])


# ---- audit


def test_an_audit_tells_which_objects_the_whole_model_refuses_and_why(store: Store) -> None:
    ranges = store.objects(Range)
    ranges.create_many({str(n): Range() for n in range(5)})
    store.raw.hset("Range:1", "lo", "?")
    store.raw.hset("Range:2", mapping={"lo": "9", "hi": "3"})
    store.raw.set("Range:7", "text")
    faults = sorted(ranges.audit())
    assert [(fault.id, type(fault.error)) for fault in faults] == [
        ("1", CorruptData),
        ("2", ValidationError),
        ("7", CorruptData),
    ]
    assert isinstance(faults[0], Fault)
    assert "lo is above hi" in str(faults[1].error)
    assert [fault.id for fault in ranges.audit(["0", "2", "-"])] == ["2"]


def test_a_read_trusts_what_an_audit_finds(store: Store) -> None:
    store.raw.hset("Range:1", mapping={"lo": "9", "hi": "3"})
    assert store.objects(Range).read("1", F(Range).lo) == 9
    assert store.objects(Range).get("1").hi == 3
    with pytest.raises(NotFound):
        store.objects(Range).get("2")


# ---- what errors show


@pytest.mark.parametrize("changes", [{"n": "s3cret"}, {"n": "s3cret", "pin": 1}, {"pin": 53217}, {"owner": "s3cret"}])
def test_no_error_shows_a_value_of_a_model_that_hides_them(store: Store, changes: dict[str, Any]) -> None:
    accounts = store.objects(Account)
    accounts.create_many({"1": Account()})
    bad = Account.model_construct(n="s3cret")
    for refused in (lambda: accounts.update("1", changes), lambda: accounts.put_many({"2": bad, "3": Account()})):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert "input_value" not in str(caught.value)
