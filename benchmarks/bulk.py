"""Many objects: reading and writing them validated, against redis-py's pipelines and the model's own validation.

By the number of objects, of ten mixed fields each, and by the number of fields, numbers and text in turn. Time is shown
for one object.
"""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
from pydantic import BaseModel, create_model

from distobjects import F, connect

from ._case import Case, Fact
from ._server import Server
from .whole import Pupil, pupil

_CHUNK = 1000
_COUNTS = (1_000, 10_000, 100_000)
_FIELDS = (5, 25, 100)


def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
    """Compare by number of objects, then by number of fields."""
    whole = pupil()
    for count in _COUNTS[:1] if quick else _COUNTS:
        yield from _of(server, Pupil, whole, count, count, "objects")
    for size in _FIELDS[:1] if quick else _FIELDS:
        fields = {f"field{n}": (int, n) if n % 2 else (str, f"value {n}") for n in range(size)}
        model: Any = create_model("Form", **fields)
        yield from _of(server, model, model(), 1_000, size, "fields")
    yield from _growing(server, *((200, 2_000) if quick else (1_000, 1_000_000)))


def _of(server: Server, model: type[BaseModel], value: BaseModel, count: int, at: int, axis: str) -> Iterator[Case]:
    client = redis.Redis(port=server.port, decode_responses=True)
    client.flushall()
    ids = [str(n) for n in range(count)]
    field = next(iter(model.model_fields))
    packs = {name for name, each in value if not isinstance(each, (str, int, float)) or isinstance(each, bool)}

    def in_pipelines(put: Callable[[Any, str], object]) -> Iterator[list[Any]]:
        for start in range(0, count, _CHUNK):
            pipeline = client.pipeline(transaction=False)
            for id in ids[start : start + _CHUNK]:
                put(pipeline, id)
            yield pipeline.execute()

    def write() -> None:
        def put(pipeline: Any, id: str) -> None:
            dumped = value.model_dump(mode="json")
            pipeline.hset(f"theirs:{id}", mapping=dumped | {name: json.dumps(dumped[name]) for name in packs})

        for _ in in_pipelines(put):
            pass

    def read() -> None:
        for replies in in_pipelines(lambda pipeline, id: pipeline.hgetall(f"theirs:{id}")):
            for reply in replies:
                model.model_validate(reply | {name: json.loads(reply[name]) for name in packs})

    def read_one() -> None:
        for _ in in_pipelines(lambda pipeline, id: pipeline.hget(f"theirs:{id}", field)):
            pass

    with connect(server.url) as ours:
        objects = ours.objects(model)

        common: dict[str, Any] = {"calls": 1, "work": count, "at": at, "axis": axis}
        yield Case(
            "write",
            ("redis-py pipeline of HSET, model_dump", write),
            {"put_many": lambda: objects.put_many(dict.fromkeys(ids, value))},
            target=0.62,
            stretch=0.50,
            **common,
        )
        yield Case(
            "create what is new",
            ("redis-py pipeline of HSET, model_dump", lambda: (client.flushall(), write())),
            {"create_many": lambda: (client.flushall(), objects.create_many(dict.fromkeys(ids, value)))},
            target=0.62,
            stretch=0.50,
            **common,
        )
        write()
        objects.put_many(dict.fromkeys(ids, value))
        yield Case(
            "read",
            ("redis-py pipeline of HGETALL, model_validate", read),
            {"stream": lambda: deque(objects.stream(ids), 0), "get_many": lambda: objects.get_many(ids)},
            target=0.45,
            stretch=0.38,
            **common,
        )
        yield Case(
            "read one field",
            ("redis-py pipeline of HGET", read_one),
            {"read_many": lambda: objects.read_many(ids, getattr(F(model), field))},
            target=0.20,
            stretch=0.12,
            **common,
        )


class Numbered(Pupil):
    """It carries its id, so that a million need not be held."""

    id: int


def _growing(server: Server, few: int, many: int) -> Iterator[Fact]:
    """Tell what each of many objects takes, to what each of few does: the few again and again, before and after."""
    whole = dict(pupil())

    def values(count: int) -> Iterator[Numbered]:
        return (Numbered.model_construct(**whole, id=n) for n in range(count))

    with redis.Redis(port=server.port) as client, connect(server.url) as ours:
        objects = ours.objects(Numbered)
        used: list[int] = []

        def streamed(count: int) -> None:
            for n, _ in enumerate(objects.stream(range(count))):
                if not n % few:
                    used.append(_resident_bytes())

        ways: dict[str, Callable[[int], object]] = {
            "put_many": lambda count: objects.put_many(values(count)),
            "stream": streamed,
        }
        client.flushall()
        for name, way in ways.items():
            times = [_seconds(way, few) for _ in range(50)]
            used.clear()
            each = _seconds(way, many) / many
            times += [_seconds(way, few) for _ in range(50)]
            ratio = each / (statistics.median(times) / few)
            yield Fact(f"{name}, one of {many:,} objects to one of {few:,}", ratio, "x", target=1.2)
        yield Fact(f"stream, {many:,} objects, memory", (max(used) - used[0]) / 1e6, "MB")
        client.flushall()


def _seconds(way: Callable[[int], object], count: int) -> float:
    started = time.perf_counter()
    way(count)
    return time.perf_counter() - started


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
