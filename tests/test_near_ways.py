"""The near cache by every way to a server: TCP, Unix socket, TLS, Sentinel, RESP2 and RESP3; and where none is."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import fakeredis
import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel

from distobjects import AsyncRedisBackend, Near, RedisBackend, Unsupported
from tests.fix_servers import Server, Watched, free_port, poll, running
from tests.fix_stores import FACES, Store
from tests.test_near_cache import Student, age, link_of, opened, trips_of_a_read, warm
from tests.test_watch import cut, watching
from tests.test_watch import opened as watched


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server, and its URL over TLS."""
    folder, openssl = tmp_path_factory.mktemp("tls"), shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate: apt-get install openssl")
    key, certificate, port = folder / "key.pem", folder / "certificate.pem", free_port()
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = [openssl, *request.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    with running("redis", "--tls-port", str(port), *files, "--tls-auth-clients", "no") as server:
        yield server, f"rediss://localhost:{port}/0?ssl_ca_certs={quote(str(certificate), safe='')}"


def _is_kept_and_heard_of(store: Store) -> None:
    """Read from memory, hear of a change, of an own write, of the end of a connection."""
    warm(store, 1)
    assert trips_of_a_read(store) == 0
    store.raw.hset("Student:1", "age", 2)
    poll(lambda: age(store) == 2)
    poll(lambda: trips_of_a_read(store) == 0)
    store.objects(Student).update("1", {"age": 3})
    assert age(store) == 3
    first = link_of(store)._listener
    store.raw.client_kill_filter(_id=first.id)
    store.raw.hset("Student:1", "age", 4)
    poll(lambda: age(store) == 4)
    poll(lambda: trips_of_a_read(store) == 0)
    assert link_of(store)._listener is not first


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("socket", ["tcp", "unix"])
def test_over_a_socket(server: Server, socket: str, face: str, protocol: int) -> None:
    url = f"{server.url}?protocol={protocol}" if socket == "tcp" else f"{server.unix_url}&protocol={protocol}"
    with opened(server, face, url, Near()) as store:
        _is_kept_and_heard_of(store)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("face", FACES)
def test_over_tls(tls: tuple[Server, str], face: str, protocol: int) -> None:
    server, url = tls
    with opened(server, face, f"{url}&protocol={protocol}&socket_connect_timeout=10", Near()) as store:
        _is_kept_and_heard_of(store)


@pytest.mark.parametrize("face", FACES)
def test_watching_over_tls(tls: tuple[Server, str], face: str) -> None:
    server, url = tls
    with watched(server, face, f"{url}&socket_connect_timeout=10") as store, watching(store, "1", initial=True) as one:
        assert one.next().after is None
        with watching(store, initial=True) as all_:
            for value in range(3):
                store.raw.hset("Student:1", "age", value)
                assert (one.next().after.age, all_.next().after.age) == (value, value)
            cut(store)  # over TLS too, it goes on over another one
            store.raw.delete("Student:1")
            assert one.next().after is all_.next().after is None


@pytest.mark.parametrize("face", FACES)
def test_through_sentinel(sentinel: Watched, face: str) -> None:
    with _through(sentinel, face) as store:
        _is_kept_and_heard_of(store)


@contextmanager
def _through(watched: Watched, face: str) -> Iterator[Store]:
    watched.master.flush()
    places = [("127.0.0.1", watched.sentinel.port)]
    with watched.master.client() as raw:
        if face == "sync":
            sentinel = redis.sentinel.Sentinel(places, socket_timeout=5)
            with sentinel.master_for(watched.name) as client, RedisBackend(client, near=Near()) as db:
                yield Store(db, raw, watched.master, None)
            for each in sentinel.sentinels:
                each.close()
            return
        with asyncio.Runner() as loop:
            awaited = redis.asyncio.sentinel.Sentinel(places, socket_timeout=5)
            client = awaited.master_for(watched.name)
            backend = AsyncRedisBackend(client, near=Near())
            yield Store(backend, raw, watched.master, loop)
            for close in (backend.close, client.aclose, *(each.aclose for each in awaited.sentinels)):
                loop.run(close())


@pytest.mark.parametrize("face", FACES)
def test_a_store_in_memory_says_that_it_tells_nobody(face: str) -> None:
    kind: Any = fakeredis.FakeRedis if face == "sync" else fakeredis.FakeAsyncRedis
    with pytest.raises(Unsupported) as refusal:
        (RedisBackend if face == "sync" else AsyncRedisBackend)(kind(), near=Near())
    assert str(refusal.value) == (
        "memory: near= needs a server that tells what changes, over a connection of its own, and this is "
        f"{kind.__name__}; leave near= out, or connect to one Redis (6 or later) or Valkey by its URL"
    )
