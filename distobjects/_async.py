"""Runs flows for asyncio: the twin of `_sync`, the same step by step."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from ._flow import Ask, Done, Flow, advance
from ._retry import Lost, delay
from .errors import StoreUnavailable

T = TypeVar("T")


class AsyncRunner:
    """Runs flows through one client per event loop: a connection belongs to the loop that opened it."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        from . import _redis  # importing redis takes half a second: not before there is a client

        self.make_client = make_client
        self._link_to = _redis.async_link_to
        self._first = self._link_to(make_client())
        if not _redis.is_asyncio(self._first.client):
            raise TypeError(f"{type(self._first.client).__name__} is no asyncio client; RedisBackend takes it")
        self._links: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
        self.closed = False
        self.trips = 0

    @property
    def where(self) -> str:
        """The server, without credentials."""
        return self._first.where

    @property
    def client(self) -> Any:
        """The client of the running loop."""
        return self._link().client

    def _link(self) -> Any:
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = self._link_to(self.make_client()) if self._links else self._first
        return link

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its value."""
        if self.closed:
            raise StoreUnavailable(f"the backend of {self.where} is closed; connect again")
        started = time.monotonic()
        step = advance(flow)
        while not isinstance(step, Done):
            if isinstance(step, Ask):
                step = advance(flow, await self._post(step))
            else:
                await asyncio.sleep(step.seconds)
                step = advance(flow, [time.monotonic() - started])
        return step.value  # type: ignore[no-any-return]  # mypy loses T when it narrows a generic tuple

    async def _post(self, ask: Ask) -> list[Any]:
        link = self._link()
        started, attempt = time.monotonic(), 0
        while True:
            self.trips += 1
            try:
                replies: list[Any] = await link.post(ask)
                return replies
            except Lost as lost:
                await asyncio.sleep(delay(lost, ask, attempt, time.monotonic() - started))
                attempt += 1

    async def close(self, *, own: bool) -> None:
        """Run nothing more. Close the running loop's client if it is our `own`; others ended with their loops."""
        self.closed = True
        link = self._links.pop(asyncio.get_running_loop(), None)
        if own and link is not None:
            await link.close()
