"""The Lua files: each states its contract, keeps to it on every server, and needs no right but the documented ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from distobjects import AccessDenied, DObject, F, Near, RedisBackend, _scripts, connect, connect_async
from distobjects._scripts import Script
from distobjects.fields import TextField
from tests.fix_models import Thirty
from tests.fix_stores import Store

SOURCES = {each.name: each.read_text() for each in (resources.files("distobjects") / "lua").iterdir()}
ALL = {name.removesuffix(".lua"): getattr(_scripts, name.removesuffix(".lua")) for name in SOURCES}

# How scripts spell the keys that they are given.
OWN_KEYS = "KEYS[1]", "KEYS[2]", "key", "unpack(KEYS", "unpack(old"
# What Redis 6.2 has.
COMMANDS = {"EXISTS", "HGET", "HSET", "DEL", "HINCRBY", "HINCRBYFLOAT"}
FUNCTIONS = {
    *("redis.call", "redis.pcall", "redis.sha1hex", "tonumber", "type", "ipairs", "unpack"),
    *("string.sub", "string.match", "string.format", "math.abs"),
}
KEYWORDS = set("and do else elseif end false for function if in local nil not or repeat return then true until".split())


def code_of(source: str) -> str:
    """Return a script without its comments and texts."""
    return re.sub(r"'[^']*'", "''", re.sub(r"--[^\n]*", "", source))


# ---- what is in the files


def test_every_file_is_a_script_and_every_script_a_file() -> None:
    assert {name for name, each in vars(_scripts).items() if isinstance(each, Script)} == set(ALL)


@pytest.mark.parametrize("name", SOURCES)
def test_a_header_states_the_contract(name: str) -> None:
    header = re.match(r"(--[^\n]*\n)+", SOURCES[name])
    assert header is not None
    for part in ("KEYS", "ARGV", "Reply", "Keeps"):
        assert re.search(rf"\b{part}\b", header[0]), f"{name} does not say its {part}"


@pytest.mark.parametrize("name", SOURCES)
def test_a_script_uses_no_key_but_those_it_is_given_no_clock_and_no_json(name: str) -> None:
    source = SOURCES[name]
    for call in re.findall(r"redis\.p?call\(([^)]*)\)", source):
        command, key = [part.strip() for part in call.split(",")[:2]] if "," in call else ("", "")
        assert (command.strip("'") in COMMANDS and key in OWN_KEYS) or call == "unpack(write", call
    assert re.findall(r"\{'(\w+)', (\w+)", source) == ([("DEL", "key"), ("HSET", "key")] * (name == "transact.lua"))
    for name_of_key in re.findall(r"\bkey\b\s*(?:,[^=\n]*)?=\s*([^,\n]*)", code_of(source)):
        assert name_of_key == "KEYS[1]"
    assert not re.search(r"cjson|cmsgpack|TIME|os\.|math\.random|\.\. *KEYS|KEYS\[[^]]+\] *\.\.", source)


@pytest.mark.parametrize("name", SOURCES)
def test_a_script_uses_nothing_newer_than_redis_6_2(name: str) -> None:
    code = code_of(SOURCES[name])
    own = {*re.findall(r"local function (\w+)", code)}
    assert set(re.findall(r"([\w.]+)\(", code)) - KEYWORDS - own <= FUNCTIONS
    assert set(re.findall(r"'([A-Z]{3,})'", re.sub(r"--[^\n]*", "", SOURCES[name]))) <= COMMANDS
    assert not re.search(r"redis\.setresp|redis\.acl|#!lua|bit\.|//|goto", SOURCES[name])


def test_no_file_of_flows_sends_what_is_newer_than_redis_6_2_but_behind_the_dialect() -> None:
    sent = {
        command
        for path in Path(str(resources.files("distobjects"))).glob("_*.py")
        for command in re.findall(r"(?:Command\(\(|reading\(|\bask\(\()\s*\"([A-Z]+)\"", path.read_text())
    }
    assert {"HGET", "EVALSHA", "HSETEX"} <= sent
    old = "CLIENT DEL EVAL EVALSHA EXISTS HDEL HELLO HGET HGETALL HKEYS HMGET HSET PERSIST PEXPIRE PING PTTL SCAN SET"
    assert sent <= {*old.split(), "SUBSCRIBE", "HSETEX"}
    source = (resources.files("distobjects") / "_writes.py").read_text()
    assert source.index("space.dialect.hsetex") < source.index("if native:") < source.index('"HSETEX"')
    assert source.count('"HSETEX"') == 1


# ---- that they run

LONG = "more text than the SHA-1 of it in hex, by which it is compared"


class Student(BaseModel):
    name: str = ""
    age: int = Field(default=0, ge=0)
    gpa: float = 0.5
    text: str = LONG
    tags: list[str] = []


class Wide(Thirty):
    """Read by HGETALL."""

    name: str = ""


S = F(Student)


def every_script(store: Store, between: Callable[[], object] = lambda: None) -> None:
    """Run each script at least once, and check what it did."""
    objects = store.objects(Student)
    between()
    objects.create(Student(name="Harry"), id="1")  # insert
    between()
    objects.put(Student(name="Ron"), id="1")  # replace
    between()
    store.raw.hdel("Student:1", "age")
    objects.update("1", {"age": 3})  # write: HSETEX finds the field missing
    between()
    assert objects.field("1", S.text).update(lambda text: text + "!") == LONG + "!"  # commit
    between()
    assert objects.field("1", S.age).increment(2) == 5  # increment
    between()
    assert objects.field("1", S.gpa).increment(0.25) == 0.75
    between()
    assert objects.field("1", S.gpa).increment(1e-20) == 0.75
    between()
    objects.field("1", S.tags).append("a")  # append

    async def transact() -> None:
        async with store.backend.transaction() as tx:
            draft = await tx.edit(objects.face, "1")
            draft.text = draft.text[:-1]

    between()
    if store.asynchronous:
        store.run(transact())
    else:
        with store.backend.transaction() as tx:
            draft = tx.edit(objects.face, "1")
            draft.text = draft.text[:-1]
    between()
    assert objects.put_many({"2": Student(), "1": objects.get("1")}) == ["2", "1"]  # store_many
    assert objects.get("1") == Student(name="Ron", age=5, gpa=0.75, tags=["a"])


def test_every_script_runs_through_every_kind_of_client(anywhere: Store) -> None:
    every_script(anywhere)


def test_every_script_runs_where_the_server_has_forgotten_it(store: Store) -> None:
    every_script(store, store.raw.script_flush)


def test_every_script_runs_after_a_flush_through_every_kind_of_client(anywhere: Store) -> None:
    every_script(anywhere, anywhere.raw.script_flush)


def test_a_script_that_the_server_has_forgotten_costs_one_more_round_trip_and_runs_once(store: Store) -> None:
    objects = store.objects(Student)
    objects.create(Student(), id="1")
    store.raw.script_flush()
    with store.counted() as trips:
        assert objects.field("1", S.age).increment() == 1
        assert objects.field("1", S.age).increment() == 2
    assert trips == [3]


def test_transact_forgets_too(live: Store) -> None:
    def change(tx: Any) -> None:
        live.raw.script_flush()
        tx.edit(objects.face, "1").age += 1

    objects = live.objects(Student)
    objects.create(Student(), id="1")
    live.backend.transact(change)
    assert objects.get("1").age == 1


# ---- rights


def _documented() -> list[str]:
    """Read the commands that docs/atomic.md lists."""
    text = (Path(__file__).parent.parent / "docs" / "atomic.md").read_text()
    section = text.split("## Rights: the commands that a user needs")[1].split("\n## ")[0]
    return [name.lower().replace(" ", "|") for name in re.findall(r"^\| `([A-Z ]+)` \|", section, re.MULTILINE)]


DOCUMENTED = _documented()
# Attribute writes do without it; servers before Redis 8 and Valkey 9 do not know it.
OPTIONAL = "hsetex"
# What needs no right: it comes before logging in.
ANYBODYS = "hello"


@contextmanager
def restricted(store: Store, commands: list[str]) -> Iterator[Store]:
    """Database 1 of a store, with a user who may run these commands on keys of `app:`, and nothing else."""
    assert store.server is not None
    known = [name for name in commands if name != OPTIONAL or store.server.kind == "valkey"]
    rights = [*(f"+{name}" for name in known), "~app:*", "~{app:*", "resetchannels", "&__redis__:invalidate*"]
    store.raw.execute_command("ACL SETUSER", "app", "reset", "on", ">password", *rights)
    url = f"redis://app:password@127.0.0.1:{store.server.port}/1"
    backend: Any = (connect_async if store.asynchronous else connect)(url, prefix="app:")
    try:
        with store.server.client(db=1) as raw:
            yield Store(backend, raw, store.server, store.loop)
    finally:
        store.run(backend.close())
        store.raw.acl_deluser("app")


def everything(store: Store) -> None:
    """Use every operation of the docs."""
    objects, wide = store.objects(Student), store.objects(Wide)
    objects.create(Student(name="Harry"), id="1")
    objects.create_many({"2": Student(), "3": Student()})
    objects.put(Student(name="Ron"), id="1")
    objects.get_or_create(Student(), id="4")
    objects.update("1", {"age": 3})
    store.raw.hdel("app:Student:1", "age")
    assert objects.read("1", S.age) == 0
    objects.update("1", {"age": 3})
    objects.field("1", S.age).set(4)
    assert objects.field("1", S.text).update(lambda text: text + "!") == LONG + "!"
    assert objects.field("1", S.tags).compare_and_set([], ["a"])
    assert (objects.field("1", S.age).increment(), objects.field("1", S.gpa).increment(0.5)) == (5, 1.0)
    objects.mutate("1", lambda draft: draft.tags.append("b"))
    with store.entered(objects.edit("1")) as draft:
        draft.age += 1

    def change(tx: Any) -> None:
        tx.edit(objects.face, "1").age += 1

    if not store.asynchronous:
        store.backend.transact(change)
        live = objects["1"]
        live.age += 1
        live.tags.append("c")

        class Visits(DObject):
            class Meta:
                backend = store.backend

            page = TextField()

        visits = Visits("1")
        visits.page = "a"
        visits.page = None
        visits.clear()
        near = RedisBackend(store.backend.client, prefix="app:", near=Near())
        assert near.objects(Student)["1"].age == live.age
        near.close()
        for watched in ("1", None):
            assert next(objects.face.watch(watched, initial=True)).after is not None
        with objects.face.mirror("1") as local:
            assert local.age == live.age
    wide.create(Wide(), id="1")
    assert wide.get("1") == Wide()
    assert objects.read("1", S.name, S.text) == ("Ron", LONG + "!")
    assert (objects.exists("1"), objects.count(), sorted(objects.ids())) == (True, 4, ["1", "2", "3", "4"])
    objects.expire("1", seconds=100)
    assert objects.ttl("1") is not None
    objects.persist("1")
    with store.entered(objects.lock("1")):
        pass
    assert store.run(extended(store)) is True
    objects.delete("1")
    objects.delete_many(["2", "3"])
    assert len(objects.stream()) == 1
    assert objects.audit() == []


def extended(store: Store) -> Any:
    """Take a lock, extend it, which is a script of its own, and give it back."""
    if not store.asynchronous:
        lease = store.backend.lease("{app:Student:1}~lock", 5, 0)
        return lease.acquire() and lease.extend() and lease.release()

    async def awaited() -> Any:
        lease = store.backend.lease("{app:Student:1}~lock", 5, 0)
        return await lease.acquire() and await lease.extend() and await lease.release()

    return awaited()


def test_all_of_it_works_with_the_rights_that_the_docs_list(store: Store) -> None:
    with restricted(store, DOCUMENTED) as limited:
        everything(limited)
    with restricted(store, [name for name in DOCUMENTED if name != OPTIONAL]) as limited:
        limited.raw.flushall()
        everything(limited)


@pytest.mark.parametrize("missing", [name for name in DOCUMENTED if name not in (OPTIONAL, ANYBODYS)])
def test_no_right_is_listed_that_is_not_needed(live: Store, missing: str) -> None:
    live.raw.script_flush()
    with restricted(live, [name for name in DOCUMENTED if name != missing]) as limited, pytest.raises(AccessDenied):
        everything(limited)
