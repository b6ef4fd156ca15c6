"""The prepared read of one field: the same bytes as its command has, for every id, prefix and field."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from distobjects._compiler import compile_schema
from distobjects._flow import reading
from distobjects._prepared import prepared
from distobjects._space import Spaces
from distobjects._wire import packed


class Thing(BaseModel):
    n: int = 0
    größe: str = ""


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
IDS = st.one_of(TEXT, st.uuids().map(str), st.integers().map(str), st.from_regex(r"[a-z%{}\r\n-]{1,8}", fullmatch=True))
PREFIXES = st.sampled_from(["", "app:", "{tag}:", "ä:"])


@given(IDS, PREFIXES, st.sampled_from(["n", "größe"]))
def test_a_prepared_command_is_the_command(id: str, prefix: str, name: str) -> None:
    space = Spaces(prefix).open(compile_schema(Thing), None)
    assert prepared(space, name).command(id) == packed([reading("HGET", space.key(id), name)])


def test_a_read_is_prepared_once_for_each_space() -> None:
    spaces = Spaces("")
    space, other = (spaces.open(compile_schema(Thing), name) for name in ("A", "B"))
    assert prepared(space, "n") is prepared(space, "n")
    assert prepared(other, "n").command("1") != prepared(space, "n").command("1")
