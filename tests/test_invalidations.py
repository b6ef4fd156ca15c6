"""Hearing of changes, by either face: what is opened beside a client's pool, and what becomes of it under faults."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from distobjects import StoreUnavailable, _async_invalidations, _invalidations
from distobjects._redis import open_async_client, open_client
from tests.fix_faults import faulty
from tests.fix_servers import Server, running
from tests.fix_stores import FACES


class Balanced:
    """Servers behind one address, each new connection to the next."""

    def __init__(self, *servers: Server) -> None:
        self._ports = itertools.cycle(each.port for each in servers)

    @property
    def port(self) -> int:
        return next(self._ports)


async def _made(face: str, made: Any) -> Any:
    return await made if isinstance(made, Awaitable) else made


async def _opened(face: str, url: str) -> tuple[Any, Any]:
    """Return a reader and the listener beside it."""
    if face == "sync":
        client: Any = open_client(url, connect_seconds=1, operation_seconds=5)
        reader: Any = _invalidations.Reader(client)
    else:
        client = open_async_client(url, connect_seconds=1, operation_seconds=5)
        reader = _async_invalidations.AsyncReader(client)
        await reader.begin()
    open_: Callable[..., Any] = (
        _invalidations.open_listener if face == "sync" else _async_invalidations.open_async_listener
    )
    try:
        return reader, await _made(face, open_(client, beside=reader))
    except BaseException:
        await _made(face, reader.close())
        raise


@pytest.mark.parametrize("face", FACES)
def test_a_reader_and_a_listener_on_two_servers_behind_one_address_are_told_apart(face: str) -> None:
    async def opened_twice(url: str) -> None:
        with pytest.raises(StoreUnavailable, match="another server"):
            await _opened(face, url)

    with running("valkey") as first, running("valkey") as second, faulty(Balanced(first, second)) as proxy:  # type: ignore[arg-type]
        asyncio.run(opened_twice(proxy.url))
