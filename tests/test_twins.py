"""The two faces have the same names and parameters; only what cannot be awaited differs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import distobjects
from distobjects import (
    AsyncFieldHandle,
    AsyncObjects,
    AsyncRedisBackend,
    AsyncTransaction,
    FieldHandle,
    Objects,
    RedisBackend,
    Transaction,
    connect,
    connect_async,
)

TWINS: list[tuple[type, type]] = [
    (Objects, AsyncObjects),
    (FieldHandle, AsyncFieldHandle),
    (RedisBackend, AsyncRedisBackend),
    (Transaction, AsyncTransaction),
]
# What Python gives no way to await, and its counterparts.
SYNC_ONLY = {"__contains__", "__iter__", "__enter__", "__exit__"}
ASYNC_ONLY = {"__aenter__", "__aexit__"}
IGNORED = set("__module__ __doc__ __dict__ __weakref__ __parameters__ __orig_bases__ __slots__ __annotations__".split())
# Threads have no event loop whose tasks could share one connection.
ASYNC_OPTIONS = {"multiplex"}
# An attribute here, a property there: an asyncio client belongs to the running loop.
ATTRIBUTES = {"client"}


def members(face: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(face).items()
        if name not in IGNORED and not (name.startswith("_") and not name.startswith("__"))
    }


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    plain: Callable[..., Any] = inspect.unwrap(function)
    return [(each.name, each.kind, each.default) for each in inspect.signature(plain).parameters.values()]


def shared(function: Any) -> list[tuple[str, Any, Any]]:
    return [each for each in parameters(function) if each[0] not in ASYNC_OPTIONS]


def awaits(function: Any) -> bool:
    plain = inspect.unwrap(function)
    return inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)


def ids(pair: object) -> str:
    return pair.__name__ if isinstance(pair, type) else str(pair)


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=ids)
def test_twins_have_the_same_names(sync: type, twin: type) -> None:
    here, there = members(sync).keys() - ATTRIBUTES, members(twin).keys() - ATTRIBUTES
    assert here - there <= SYNC_ONLY
    assert there - here <= ASYNC_ONLY


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=ids)
def test_twins_have_the_same_parameters(sync: type, twin: type) -> None:
    here, there = members(sync), members(twin)
    for name in here.keys() & there.keys():
        assert type(here[name]) is type(there[name]), name
        if callable(here[name]):
            assert parameters(here[name]) == shared(there[name]), name


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=ids)
def test_every_public_name_of_both_is_documented(sync: type, twin: type) -> None:
    for face in (sync, twin):
        for name, value in members(face).items():
            if not name.startswith("__") and callable(value):
                assert inspect.getdoc(value), f"{face.__name__}.{name}"


# What asks for nothing when it is called: there is nothing to await.
AT_ONCE = set("__init__ __getitem__ __repr__ id_of field objects space pickled lease watch".split())


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=ids)
def test_what_asks_the_server_is_awaited_and_nothing_else(sync: type, twin: type) -> None:
    # A transaction collects what is to be written, and asks only for what it reads.
    at_once = AT_ONCE | ({"create", "delete"} if sync is Transaction else set())
    for name, value in members(twin).items():
        if callable(value):
            assert awaits(value) is (name not in at_once), name
            assert not awaits(members(sync).get(name, len)), name


def test_every_pair_of_names_is_compared() -> None:
    pairs = {name for name in distobjects.__all__ if f"Async{name}" in distobjects.__all__}
    compared = {sync.__name__ for sync, _ in TWINS}
    assert pairs - {"DObject"} == compared  # a DObject passes for its model, and its twin cannot


def test_connect_and_its_twin_have_the_same_parameters() -> None:
    assert parameters(connect) == shared(connect_async)
    assert not awaits(connect_async)


def test_durations_have_their_unit_in_their_name() -> None:
    for face in {face for pair in TWINS for face in pair} | {connect, connect_async}:
        functions = [face] if inspect.isfunction(face) else [each for each in members(face).values() if callable(each)]
        for function in functions:
            for name, _, _ in parameters(function):
                assert not any(word in name for word in ("timeout", "ttl", "delay", "_ms")), (face, name)


def test_no_option_is_a_positional_bool() -> None:
    for face in {face for pair in TWINS for face in pair}:
        for name, function in members(face).items():
            if callable(function):
                for _, kind, default in parameters(function):
                    assert not (isinstance(default, bool) and kind is not inspect.Parameter.KEYWORD_ONLY), name
