"""Several objects at once: all of it in one step, or nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, model_validator

from distobjects import (
    AlreadyExists,
    AsyncRedisBackend,
    Conflict,
    CorruptData,
    NotFound,
    RedisBackend,
    _async_backend,
    _backend,
    connect,
    connect_async,
)
from distobjects._compiler import compile_schema
from distobjects._flow import Ask, Done, advance
from distobjects._space import Spaces
from distobjects._transactions import Parts
from tests.fix_servers import Server, recorder
from tests.fix_stores import FACES, Store, connected, handed_over

LONG = "more text than the SHA-1 of it in hex, by which it is compared"


class Account(BaseModel):
    balance: int = Field(default=100, ge=0)
    owner: str = LONG
    log: list[str] = []


class Span(BaseModel):
    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.fixture
def accounts(store: Store) -> Any:
    """Three stored accounts."""
    objects = store.objects(Account)
    for id in "123":
        objects.create(Account(), id=id)
    return objects


class Either:
    """A transaction whose methods may be awaited, whatever its colour."""

    def __init__(self, tx: Any) -> None:
        self.tx = tx

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, getattr(self.tx, name))

    async def _call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        made = method(*args, **options)
        return await made if inspect.isawaitable(made) else made


def driven(store: Store, steps: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end: in the event loop, or where it awaits nothing, without one."""
    if store.asynchronous:
        return store.run(steps)
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it awaited something")


class Steps(Either):
    """A transaction each of whose methods runs to its end."""

    def __init__(self, store: Store, tx: Any) -> None:
        super().__init__(tx)
        self.store = store

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = super().__getattr__(name)
        return lambda *args, **options: driven(self.store, method(*args, **options))


@contextmanager
def transaction(store: Store) -> Iterator[Any]:
    """Open a transaction of either colour."""
    with store.entered(store.backend.transaction()) as tx:
        yield Steps(store, tx)


def moving(store: Store, accounts: Any, count: int, *, meddle: Callable[[], object] = lambda: None) -> None:
    """Move money from 1 to 2 in a transaction."""
    with transaction(store) as tx:
        payer, payee = tx.edit(accounts.face, "1"), tx.edit(accounts.face, "2")
        payer.balance -= count
        payee.balance += count
        meddle()


# ---- what is committed


def test_several_objects_change_in_one_step(store: Store, accounts: Any) -> None:
    spans = store.objects(Span)
    spans.create(Span(), id="1")
    with transaction(store) as tx:
        one, two = tx.edit(accounts.face, "1"), tx.edit(accounts.face, "2")
        one.balance -= 30
        two.balance += 30
        two.log.append("got 30")
        span = tx.edit(spans.face, "1")
        span.low, span.high = 20, 30
        assert tx.create(accounts.face, Account(balance=7), id="new") == "new"
        tx.delete(accounts.face, "3")
        assert store.raw.hget("Account:1", "balance") == b"100"
        assert accounts.exists("3")
    assert [accounts.get(id).balance for id in ("1", "2", "new")] == [70, 130, 7]
    assert (accounts.get("2").log, spans.get("1"), accounts.exists("3")) == (["got 30"], Span(low=20, high=30), False)


def test_a_transaction_is_a_round_trip_for_each_read_and_one_script(store: Store, accounts: Any) -> None:
    moving(store, accounts, 1)  # the server knows the script from here on
    assert store.server is not None
    with recorder(store.server) as seen:
        moving(store, accounts, 1)
    assert seen.commands == ["HMGET", "HMGET", "EVALSHA"]
    with recorder(store.server) as seen:
        with transaction(store) as tx:
            tx.delete(accounts.face, tx.create(accounts.face, Account(), id="x") and "3")
        with transaction(store):
            pass
    assert seen.commands == ["EVALSHA"]


def test_nothing_is_written_when_the_block_raises(store: Store, accounts: Any) -> None:
    before = state(store)

    def failing() -> None:
        with transaction(store) as tx:
            tx.edit(accounts.face, "1").balance = 0
            tx.create(accounts.face, Account(), id="new")
            tx.delete(accounts.face, "2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert state(store) == before


def state(store: Store) -> dict[bytes, Any]:
    return {key: store.raw.hgetall(key) for key in store.raw.keys()}  # noqa: SIM118  # a client, no dict


def test_what_the_model_refuses_leaves_all_as_it_was(store: Store, accounts: Any) -> None:
    spans = store.objects(Span)
    spans.create(Span(), id="1")
    before = state(store)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        moving(store, accounts, 101)

    def crossed() -> None:
        with transaction(store) as tx:
            tx.edit(accounts.face, "1").balance = 0
            tx.edit(spans.face, "1").low = 11

    with pytest.raises(ValidationError, match="low is above high"):
        crossed()

    def unfit() -> None:
        value = Account()
        value.balance = -1
        with transaction(store) as tx:
            tx.create(accounts.face, value, id="new")

    with pytest.raises(ValidationError):
        unfit()
    assert state(store) == before


def test_a_snapshot_is_plain_and_changing_it_changes_nothing(store: Store, accounts: Any) -> None:
    with transaction(store) as tx:
        snapshot = tx.get(accounts.face, "1")
        assert type(snapshot) is Account
        snapshot.balance = 0
        snapshot.log.append("x")
        assert tx.get(accounts.face, "1") == Account()
        draft = tx.edit(accounts.face, "1")
        draft.balance = 5
        assert tx.get(accounts.face, "1").balance == 5
    assert accounts.get("1") == Account(balance=5)


def test_asking_again_gives_the_same_draft_and_reads_once(store: Store, accounts: Any) -> None:
    with store.counted() as trips, transaction(store) as tx:
        draft = tx.edit(accounts.face, "1")
        assert tx.edit(accounts.face, 1) is draft
        tx.get(accounts.face, accounts["1"])
    assert trips == [2] or trips == [3]  # the script may be new to the server


def test_a_deletion_may_depend_on_what_was_read(store: Store, accounts: Any) -> None:
    with transaction(store) as tx:
        assert tx.edit(accounts.face, "1").balance == 100
        tx.delete(accounts.face, "1")
        tx.delete(accounts.face, "1")
    assert not accounts.exists("1")

    def deleting() -> None:
        with transaction(store) as tx:
            assert tx.get(accounts.face, "2").balance == 100
            tx.delete(accounts.face, "2")
            store.raw.hset("Account:2", "balance", 101)

    with pytest.raises(Conflict):
        deleting()
    assert accounts.get("2").balance == 101


def test_a_new_id_is_made_where_there_is_none(store: Store, accounts: Any) -> None:
    with transaction(store) as tx:
        id = tx.create(accounts.face, Account(balance=3))
    assert accounts.get(id).balance == 3


def test_a_transaction_keeps_times_to_live_and_fields_of_others(store: Store, accounts: Any) -> None:
    accounts.expire("1", seconds=100)
    store.raw.hset("Account:1", "theirs", "x")
    moving(store, accounts, 1)
    assert 90 < accounts.ttl("1") <= 100
    assert store.raw.hget("Account:1", "theirs") == b"x"


# ---- conflicts


MEDDLING: dict[str, tuple[Callable[[Store], object], type[Exception], tuple[str, ...]]] = {
    "an edited field changed": (lambda s: s.raw.hset("Account:1", "balance", 3), Conflict, ("balance",)),
    "a field that was read changed": (lambda s: s.raw.hset("Account:2", "log", '["x"]'), Conflict, ("log",)),
    "a snapshot's long field changed": (lambda s: s.raw.hset("Account:3", "owner", LONG + "x"), Conflict, ("owner",)),
    "a snapshot's field went": (lambda s: s.raw.hdel("Account:3", "owner"), Conflict, ("owner",)),
    "an edited object was deleted": (lambda s: s.raw.delete("Account:1"), NotFound, ()),
    "a snapshot's object was deleted": (lambda s: s.raw.delete("Account:3"), NotFound, ()),
    "a new object is there already": (lambda s: s.raw.hset("Account:new", "balance", 1), AlreadyExists, ()),
    "an object to be deleted is gone": (lambda s: s.raw.delete("Account:old"), NotFound, ()),
}


@pytest.mark.parametrize(("meddle", "error", "fields"), MEDDLING.values(), ids=MEDDLING)
def test_whatever_changed_meanwhile_nothing_is_written(
    store: Store,
    accounts: Any,
    meddle: Callable[[Store], object],
    error: type[Exception],
    fields: tuple[str, ...],
) -> None:
    accounts.create(Account(), id="old")

    def change() -> None:
        with transaction(store) as tx:
            tx.edit(accounts.face, "1").balance -= 1
            two = tx.edit(accounts.face, "2")
            two.owner = f"{len(two.log)}"
            tx.get(accounts.face, "3")
            tx.create(accounts.face, Account(), id="new")
            tx.delete(accounts.face, "old")
            meddle(store)
            before.update(state(store))

    before: dict[bytes, Any] = {}
    with pytest.raises(error) as failure:
        change()
    assert state(store) == before
    assert tuple(getattr(failure.value, "fields", ())) == fields


def test_what_was_not_touched_may_change(store: Store, accounts: Any) -> None:
    moving(store, accounts, 1, meddle=lambda: store.raw.hset("Account:1", mapping={"owner": "x", "log": '["x"]'}))
    assert accounts.get("1") == Account(balance=99, owner="x", log=["x"])


def test_reading_alone_is_compared_too(store: Store, accounts: Any) -> None:
    with transaction(store) as tx:
        assert sum(tx.get(accounts.face, id).balance for id in "123") == 300

    def reading() -> None:
        with transaction(store) as tx:
            tx.get(accounts.face, "1")
            store.raw.hset("Account:1", "balance", 5)
            tx.get(accounts.face, "2")

    with pytest.raises(Conflict):
        reading()


def test_an_absent_object_is_told_where_it_is_asked_for(store: Store, accounts: Any) -> None:
    def asking(method: str) -> None:
        with transaction(store) as tx:
            getattr(tx, method)(accounts.face, "absent")

    for method in ("edit", "get", "delete"):
        with pytest.raises(NotFound, match="'absent'"):
            asking(method)


def test_a_key_of_another_kind_is_corrupt_data(store: Store, accounts: Any) -> None:
    store.raw.set("Account:4", "text")
    with pytest.raises(CorruptData), transaction(store) as tx:
        tx.edit(accounts.face, "4")


def test_an_object_takes_part_once(store: Store, accounts: Any) -> None:
    before = state(store)

    def twice(first: str, second: str) -> None:
        with transaction(store) as tx:
            for method in (first, second):
                value = (Account(),) if method == "create" else ()
                options = {"id": "1"} if method == "create" else {}
                getattr(tx, method)(accounts.face, *(value or ("1",)), **options)

    for first, second in [
        ("create", "create"),
        ("create", "edit"),
        ("create", "get"),
        ("create", "delete"),
        ("delete", "edit"),
        ("delete", "create"),
        ("edit", "create"),
    ]:
        with pytest.raises(ValueError, match="transaction already"):
            twice(first, second)
    assert state(store) == before


def test_objects_of_another_store_are_refused(store: Store, accounts: Any) -> None:
    assert store.server is not None
    other = (connect_async if store.asynchronous else connect)(store.server.url)
    with transaction(store) as tx:
        for method in (tx.edit, tx.get, tx.delete):
            with pytest.raises(ValueError, match="lives in another store"):
                method(other.objects(Account), "1")
        with pytest.raises(ValueError, match="lives in another store"):
            tx.create(other.objects(Account), Account(), id="9")


# ---- transact


def transact(store: Store, change: Callable[[Either], Any]) -> Any:
    """Run a coroutine function by `transact` of either colour."""
    if store.asynchronous:
        return store.run(store.backend.transact(lambda tx: change(Either(tx))))

    return store.backend.transact(lambda tx: driven(store, change(Either(tx))))


def test_transact_is_applied_again_to_what_another_wrote(store: Store, accounts: Any) -> None:
    seen = []

    async def change(tx: Either) -> int:
        payer, payee = await tx.edit(accounts.face, "1"), await tx.edit(accounts.face, "2")
        seen.append(payer.balance)
        if len(seen) < 3:
            store.raw.hset("Account:1", "balance", 100 + len(seen))
        payer.balance -= 1
        payee.balance += 1
        return int(payer.balance)

    assert transact(store, change) == 101
    assert seen == [100, 101, 102]
    assert [accounts.get(id).balance for id in "12"] == [101, 101]


def test_transact_gives_up_with_a_conflict(store: Store, accounts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_backend, _async_backend):
        monkeypatch.setattr(module, "CONFLICT_SECONDS", 0.0)

    async def change(tx: Either) -> None:
        account = await tx.edit(accounts.face, "1")
        store.raw.hincrby("Account:1", "balance", 1)
        account.balance = account.balance + 100

    with pytest.raises(Conflict, match="'balance' changed meanwhile"):
        transact(store, change)
    assert 100 < accounts.get("1").balance < 200


def test_transact_ends_with_any_other_error(store: Store, accounts: Any) -> None:
    calls = []

    async def change(tx: Either) -> None:
        calls.append(1)
        (await tx.edit(accounts.face, "1")).balance = 5
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        transact(store, change)
    assert (len(calls), accounts.get("1").balance) == (1, 100)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.sampled_from("123"), st.sampled_from("123"), st.integers(0, 150)), max_size=10))
def test_the_sum_of_all_balances_never_changes(store: Store, accounts: Any, moves: list[tuple[str, str, int]]) -> None:
    plain = dict.fromkeys("123", 100)
    for id in plain:
        accounts.put(Account(), id=id)
    for payer, payee, count in moves:
        try:
            with transaction(store) as tx:
                tx.edit(accounts.face, payee).balance += count
                tx.edit(accounts.face, payer).balance -= count
        except ValidationError:
            assert count > plain[payer] + (count if payer == payee else 0)
        else:
            plain[payee] += count
            plain[payer] -= count
        assert {id: accounts.get(id).balance for id in plain} == plain


# ---- clients and clusters


def test_a_transaction_comes_about_through_every_kind_of_client(anywhere: Store) -> None:
    async def tagged() -> Any:
        kind = AsyncRedisBackend if anywhere.asynchronous else RedisBackend
        return kind(anywhere.backend.client, prefix="{app}:")

    store = Store(driven(anywhere, tagged()), anywhere.raw, anywhere.server, anywhere.loop)
    objects = store.objects(Account)
    for id in "123":
        objects.create(Account(), id=id)
    moving(store, objects, 30)
    with transaction(store) as tx:
        tx.delete(objects.face, "3")
        tx.create(objects.face, Account(), id="4")
        tx.get(objects.face, "2")
    assert {id: objects.get(id, None) and objects.get(id).balance for id in "1234"} == {
        "1": 70,
        "2": 130,
        "3": None,
        "4": 100,
    }
    with pytest.raises(Conflict):
        moving(store, objects, 1, meddle=lambda: store.raw.hset("{app}:Account:2", "balance", 5))


@pytest.mark.parametrize("face", FACES)
def test_keys_in_two_cluster_slots_are_refused_before_anything_is_sent(
    face: str, cluster_server: Server, request: pytest.FixtureRequest
) -> None:
    with handed_over("cluster", face, request) as store:
        objects = store.objects(Account)
        for id in "12":
            objects.create(Account(), id=id)
        before = state(store)

        def crossing() -> None:
            with transaction(store) as tx:
                tx.create(objects.face, Account(), id="3")
                tx.delete(objects.face, "2")

        with recorder(cluster_server) as seen, pytest.raises(ValueError, match=r"prefix with a \{tag\}"):
            crossing()
        assert seen.commands == []
        assert state(store) == before
        with pytest.raises(ValueError, match="in one slot"):
            moving(store, objects, 1)
        assert state(store) == before
        with transaction(store) as tx:  # one object is in one slot
            tx.edit(objects.face, "1").balance = 5
        assert objects.get("1").balance == 5


@pytest.mark.parametrize("face", FACES)
def test_a_node_of_a_cluster_refuses_keys_of_two_slots_as_its_client_would(face: str, cluster_server: Server) -> None:
    with connected(cluster_server, face) as store:
        objects = store.objects(Account)
        for id in "12":
            objects.create(Account(), id=id)
        before = state(store)
        with pytest.raises(ValueError, match=r"Account:1, Account:2 are not; .* prefix with a \{tag\}"):
            moving(store, objects, 1)
        assert state(store) == before


# ---- fed by hand


def test_the_script_gets_each_key_its_fate_what_is_compared_and_what_is_written() -> None:
    space = Spaces("").open(compile_schema(Account), None)
    parts = Parts(lambda keys: None)
    flow = parts.draft(space, "1")
    advance(flow)
    done = advance(flow, [[b"100", None, b"[]"]])
    assert isinstance(done, Done)
    done.value.balance -= 1
    parts.create(space, "2", Account(balance=1, owner="x"))
    parts.delete(space, "3")
    commit = parts.commit()
    step = advance(commit)
    assert isinstance(step, Ask)
    [(args, repeatable)] = step.commands
    assert (args[0], args[2:6], repeatable) == ("EVALSHA", (3, "Account:1", "Account:2", "Account:3"), False)
    assert args[6:] == (
        *("=", 1, "balance", b"=100", 1, "balance", b"99"),
        *("+", 0, 3, "balance", b"1", "owner", b"x", "log", b"[]"),
        *("-", 0, 0),
    )
    assert advance(commit, [[1]]) == Done(None)


def test_a_server_without_sha1_gets_the_bytes() -> None:
    space = Spaces("").open(compile_schema(Account), None)
    parts = Parts(lambda keys: None)
    flow = parts.snapshot(space, "1")
    advance(flow)
    advance(flow, [[b"100", LONG.encode(), b"[]"]])
    commit = parts.commit()
    step = advance(commit)
    assert isinstance(step, Ask)
    assert "#" in "".join(map(str, step.commands[0].args[4:]))
    step = advance(commit, [[3]])
    assert isinstance(step, Ask)
    assert b"=" + LONG.encode() in step.commands[0].args
    assert not space.dialect.sha1hex
    assert advance(commit, [[1]]) == Done(None)
