"""Keys and ids: one grammar, each the inverse of the other."""

from __future__ import annotations

import enum
import time
import uuid
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel

from distobjects import InvalidModel, connect
from distobjects._compiler import compile_schema
from distobjects._space import Space, Spaces, canonical, new_id
from tests.fix_servers import Server


class Thing(BaseModel):
    x: int = 0


class Other(BaseModel):
    x: int = 0


SCHEMA = compile_schema(Thing)
ANY_TEXT = st.text(min_size=1) | st.text("%{}:~*?[]^\\\x00\n\x7fé2507BD", min_size=1)
IDS = ANY_TEXT
PREFIXES = st.text("ab:*?[]^\\-~%\n é", max_size=6) | st.sampled_from(["", "{t}", "app:{tenant*}:", "%7B"])
NAMES = st.text("ab-~%$.é ", min_size=1, max_size=6).filter(lambda name: not name.startswith("~"))


def space(prefix: str = "", name: str = "Thing") -> Space:
    return Spaces(prefix).open(SCHEMA, name)


# ---- keys


@given(PREFIXES, NAMES, IDS)
def test_a_key_gives_its_id_back(prefix: str, name: str, id: str) -> None:
    here = space(prefix, name)
    assert here.id(here.key(id)) == id
    assert here.id(here.key(id).encode()) == id


@given(NAMES, IDS, IDS)
def test_two_ids_have_two_keys(name: str, one: str, other: str) -> None:
    assert (space("", name).key(one) == space("", name).key(other)) == (one == other)


@given(st.binary(max_size=20) | st.text("%{}Thing:27BbdD1é").map(str.encode))
def test_whatever_is_read_as_an_id_has_that_very_key(tail: bytes) -> None:
    here = space("p:")
    for key in (tail, b"p:Thing:" + tail):
        id = here.id(key)
        assert id is None or here.key(id).encode() == key


@given(PREFIXES, NAMES, IDS)
def test_an_id_cannot_move_an_object_to_another_slot(prefix: str, name: str, id: str) -> None:
    ending = space(prefix, name).key(id)[len(prefix) :]
    assert not set(ending) & set("{}\n\x00\x7f")


@given(PREFIXES, NAMES, NAMES, IDS, IDS)
def test_two_spaces_share_no_key(prefix: str, one: str, other: str, id: str, other_id: str) -> None:
    if one != other:
        assert space(prefix, one).key(id) != space(prefix, other).key(other_id)


@pytest.mark.parametrize(
    ("id", "key"),
    [
        ("7", "app:Thing:7"),
        ("a:b", "app:Thing:a:b"),
        ("100%", "app:Thing:100%25"),
        ("{tag}", "app:Thing:%7Btag%7D"),
        ("a\nb\x7f", "app:Thing:a%0Ab%7F"),
        ("ü *?[", "app:Thing:ü *?["),
    ],
)
def test_the_key_grammar(id: str, key: str) -> None:
    assert space("app:").key(id) == key
    assert space("app:").id(key) == id


@pytest.mark.parametrize(
    "key",
    [
        b"app:Thing:",
        b"app:Thing",
        b"app:Other:1",
        b"Thing:1",
        b"app:Thing:%7b",  # lower case
        b"app:Thing:%41",  # what needs no code
        b"app:Thing:100%",
        b"app:Thing:a{b}",
        b"app:Thing:a\nb",
        b"app:Thing:\xff",
        b"app:Thing:%FF",
        b"app:Thing:%zz",
        "app:Thing:\ud800",
    ],
)
def test_a_key_that_is_not_canonical_is_nobodys(key: bytes | str) -> None:
    assert space("app:").id(key) is None


def test_a_number_or_a_uuid_that_is_spelled_otherwise_is_nobodys() -> None:
    class Numbered(BaseModel):
        id: int
        x: int = 0

    class Unique(BaseModel):
        id: uuid.UUID
        x: int = 0

    class Named(BaseModel):
        id: Annotated[str, AfterValidator(str.title)]  # of a text, no spelling is wrong
        x: int = 0

    spaces, some = Spaces(""), uuid.UUID("0190a5ff-0000-7000-8000-00000000000a")
    numbered, unique, named = (spaces.open(compile_schema(each), None) for each in (Numbered, Unique, Named))
    assert [numbered.id(f"Numbered:{id}") for id in ("1", "-1", "0", "01", "+1", "1.0", "-0")] == [
        "1",
        "-1",
        "0",
        *[None] * 4,
    ]
    assert [unique.id(f"Unique:{id}") for id in (some, str(some).upper(), some.hex)] == [str(some), None, None]
    assert [named.id(f"Named:{id}") for id in ("01", "ron")] == ["01", "ron"]
    assert numbered.id("Numbered:one") == "one"  # no id of the model: who reads it is told


# ---- what SCAN finds


def test_listing_finds_what_is_stored_whatever_the_names_hold(server: Server) -> None:
    @settings(max_examples=60, deadline=None, database=None)
    @given(PREFIXES, NAMES, st.sets(IDS, max_size=8))
    def check(prefix: str, name: str, ids: set[str]) -> None:
        server.flush()
        with connect(server.url, prefix=prefix) as db:
            objects = db.objects(Thing, name=name)
            # what a pattern that is not escaped would find as well
            for decoy in (space(prefix.replace("*", "x").replace("?", "y") + "q", name), space(prefix, name + "x")):
                db.client.hset(decoy.key("decoy"), "x", "1")
            objects.put_many({id: Thing() for id in ids})
            assert sorted(objects.ids()) == sorted(ids)
            assert objects.count() == len(ids)

    check()


def test_listing_skips_what_is_no_object_of_the_space(url: str) -> None:
    with connect(url, prefix="a*:") as db:
        things = db.objects(Thing)
        things.put(Thing(), id="1")
        for key in (b"a*:Thing:%41", b"a*:Thing:", b"a*:Thing:\xff", b"ab:Thing:2", b"a*:Things:3", b"a*:thing:4"):
            db.client.hset(key, "x", "1")
        assert list(things.ids()) == ["1"]
        assert dict(things.stream()) == {"1": Thing()}


# ---- prefixes and names


@pytest.mark.parametrize("prefix", ["", "app:", "{t}", "a{t}b", "*?[", "ü"])
def test_a_prefix_may_hold_one_tag(prefix: str) -> None:
    assert Spaces(prefix).prefix == prefix


@pytest.mark.parametrize("prefix", ["{", "}", "{}", "a{b}c{d}", "{{a}}", "}{", "a}b{c}"])
def test_a_prefix_with_other_braces_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"may hold one \{tag\}"):
        Spaces(prefix)


def test_a_prefix_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prefix .* lone surrogate"):
        connect("memory://", prefix="\ud800")


def test_a_name_is_the_models_unless_given() -> None:
    spaces = Spaces("")
    assert spaces.open(SCHEMA, None).name == "Thing"
    assert spaces.open(SCHEMA, None) is spaces.open(SCHEMA, "Thing")
    assert spaces.open(SCHEMA, "Else").stem == "Else:"


def test_a_name_may_not_begin_as_a_sub_key_does() -> None:
    with pytest.raises(InvalidModel, match="'~lock' is no name"):
        Spaces("{t}").open(SCHEMA, "~lock")


def test_a_model_defined_anew_in_its_place_takes_its_space_over() -> None:
    def define() -> type[BaseModel]:
        class Cell(BaseModel):
            x: int = 0

        return Cell

    spaces, models = Spaces(""), (define(), define())
    for model in models:
        assert spaces.open(compile_schema(model), None).schema.model is model


def test_another_model_does_not() -> None:
    spaces = Spaces("")
    spaces.open(SCHEMA, "shared")
    with pytest.raises(InvalidModel, match="Thing is stored as 'shared' here already"):
        spaces.open(compile_schema(Other), "shared")


# ---- ids


class Number(int, enum.Enum):
    ONE = 1


class Word(enum.StrEnum):
    ONE = "one"


class Loud(str):
    def __str__(self) -> str:
        return "LOUD"


@pytest.mark.parametrize(
    ("id", "text"),
    [
        ("1", "1"),
        (1, "1"),
        (-1, "-1"),
        (10**30, "1" + "0" * 30),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Number.ONE, "1"),
        (Word.ONE, "one"),
        (Loud("quiet"), "quiet"),
        (" 1 ", " 1 "),
        ("ü", "ü"),
    ],
    ids=repr,
)
def test_an_id_is_text(id: Any, text: str) -> None:
    found = canonical(id)
    assert found == text
    assert type(found) is str


@pytest.mark.parametrize("id", [True, False, None, 1.0, b"1", ("1",), object()])
def test_what_is_no_id_is_a_type_error(id: Any) -> None:
    with pytest.raises(TypeError, match="an id is text, an int or a UUID"):
        canonical(id)


@pytest.mark.parametrize(("id", "reason"), [("", "empty"), ("\ud800", "lone surrogate"), ("a\udfff", "lone surrogate")])
def test_an_id_that_has_no_key_is_a_value_error(id: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        canonical(id)
    with pytest.raises(ValueError, match=reason):
        connect("memory://").objects(Thing)[id]


def test_a_new_id_is_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(new_id()) for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {uuid.RFC_4122}
    assert all(before <= each.int >> 80 <= after for each in made)
    assert len(set(made)) == 1000


def test_new_ids_sort_by_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for millisecond in (0, 1, 255, 256, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda now=millisecond: now * 1_000_000)
        made.append(new_id())
    assert made == sorted(made)
    assert all(str(uuid.UUID(each)) == each for each in made)


def test_the_random_part_of_a_new_id_leaves_version_and_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    for bits in (0, 2**80 - 1):
        monkeypatch.setattr("secrets.randbits", lambda _, bits=bits: bits)
        made = uuid.UUID(new_id())
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 <= time.time_ns() // 1_000_000
