"""Replies out of bytes: hiredis and Python make the same of them, however they are cut."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distobjects import _resp
from distobjects._resp import INCOMPLETE, ProtocolError, Push, PythonReader, Reader, ResponseError

REPLIES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b":-12\r\n", -12),
    (b"$5\r\nHarry\r\n", b"Harry"),
    (b"$4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b"#f\r\n", False),
    (b",1.5\r\n", 1.5),
    (b"=7\r\ntxt:abc\r\n", b"abc"),
    (b"~1\r\n:1\r\n", [1]),
    (b"%1\r\n$1\r\na\r\n*1\r\n:1\r\n", {b"a": [1]}),
    (b"*2\r\n$1\r\n0\r\n*3\r\n$1\r\na\r\n*0\r\n_\r\n", [b"0", [b"a", [], None]]),
]


@pytest.fixture(params=["python", "installed"])
def replies(request: pytest.FixtureRequest) -> Reader:
    return PythonReader() if request.param == "python" else _resp.reader()


def drained(reader: Reader) -> list[Any]:
    found: list[Any] = []
    while (reply := reader.gets()) is not INCOMPLETE:
        found.append(reply)
    return found


@pytest.mark.parametrize(("raw", "value"), REPLIES)
def test_a_reply_is_read(replies: Reader, raw: bytes, value: Any) -> None:
    replies.feed(raw)
    assert drained(replies) == [value]


@given(st.lists(st.sampled_from(REPLIES), max_size=8), st.lists(st.integers(0, 200), max_size=6))
def test_bytes_may_end_anywhere(chosen: list[tuple[bytes, Any]], cuts: list[int]) -> None:
    stream, found = b"".join(raw for raw, _ in chosen), {"python": list[Any](), "installed": list[Any]()}
    for name, reader in (("python", PythonReader()), ("installed", _resp.reader())):
        edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        for begin, end in pairwise(edges):
            reader.feed(stream[begin:end])
            found[name] += drained(reader)
    assert found["python"] == found["installed"] == [value for _, value in chosen]


def test_an_error_reply_is_a_value_inside_of_others_too(replies: Reader) -> None:
    replies.feed(b"*2\r\n-ERR no\r\n:1\r\n-NOSCRIPT none\r\n")
    [[inner, one], outer] = drained(replies)
    assert isinstance(inner, ResponseError)
    assert (str(inner), one) == ("no", 1)
    assert isinstance(outer, ResponseError)
    assert str(outer) == "NOSCRIPT none"


def test_what_is_pushed_is_told_from_replies(replies: Reader) -> None:
    replies.feed(b">2\r\n+a\r\n+b\r\n*1\r\n+a\r\n")
    pushed, reply = drained(replies)
    assert isinstance(pushed, Push)
    assert list(pushed) == [b"a", b"b"]
    assert not isinstance(reply, Push)


def test_what_is_no_reply_is_refused(replies: Reader) -> None:
    replies.feed(b"HTTP/1.1 400\r\n")
    with pytest.raises(ProtocolError):
        replies.gets()


@pytest.mark.parametrize("found", [None, module_from_spec(ModuleSpec("hiredis", None))], ids=["no", "old"])
def test_without_a_hiredis_that_knows_what_is_pushed_python_reads(
    monkeypatch: pytest.MonkeyPatch, found: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", found)
    spec = find_spec("distobjects._resp")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    reader = module.reader()
    reader.feed(b">1\r\n:1\r\n:2\r\n")
    assert isinstance(reader.gets(), module.Push)
    assert reader.gets() == 2
