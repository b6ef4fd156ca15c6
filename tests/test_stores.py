"""Which store a URL means, and which one no URL means."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pytest
import redis
from pydantic import BaseModel

import distobjects
from distobjects import _embedded, connect, connect_async
from distobjects._stores import Timeouts, resolve, without_credentials
from distobjects.errors import StoreUnavailable
from tests.fix_servers import Server, binary, free_port, poll, running

ROOT = Path(distobjects.__file__).parents[1]
SECRET = "correct-horse"
OPEN = [connect, connect_async]


class Thing(BaseModel):
    n: int = 0


def stored(db: Any, n: int) -> int:
    """Store a thing and read it back, in either colour, and close."""
    if isinstance(db, distobjects.RedisBackend):
        with db:
            return db.objects(Thing).put(Thing(n=n), id="1").n

    async def storing() -> int:
        async with db:
            thing = await db.objects(Thing).put(Thing(n=n), id="1")
            read: int = await thing.n
            return read

    return asyncio.run(storing())


# ---- URLs


@pytest.mark.parametrize("open_", OPEN)
def test_every_form_of_url_opens_the_server_that_it_names(open_: Callable[..., Any], server: Server) -> None:
    server.flush()
    forms = [
        f"redis://127.0.0.1:{server.port}/3",
        f"redis://127.0.0.1:{server.port}?db=3",
        f"valkey://127.0.0.1:{server.port}/3",
        f"unix://{server.socket}?db=3",
        f"redis://127.0.0.1:{server.port}/3?protocol=3",
    ]
    for n, url in enumerate(forms):
        db = open_(url)
        assert db.url == url
        assert stored(db, n) == n
        with server.client(db=3) as client:
            assert client.hgetall("Thing:1") == {b"n": b"%d" % n}


@pytest.mark.parametrize("open_", OPEN)
def test_a_server_is_talked_to_over_tls(open_: Callable[..., Any], tmp_path: Path) -> None:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "certificate.pem", free_port()
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate: apt-get install openssl")
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = [openssl, *request.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    with running("redis", "--tls-port", str(port), *files, "--tls-auth-clients", "no"):
        for scheme in ("rediss", "valkeys"):
            url = f"{scheme}://localhost:{port}/0?ssl_ca_certs={quote(str(certificate), safe='')}"
            assert stored(open_(url, connect_seconds=10), 7) == 7
        with pytest.raises(StoreUnavailable, match=f"rediss://localhost:{port}/0: .*CERTIFICATE_VERIFY_FAILED"):
            stored(open_(f"rediss://localhost:{port}/0", connect_seconds=10), 7)


@pytest.mark.parametrize("open_", OPEN)
def test_credentials_are_used_and_never_shown(open_: Callable[..., Any], server: Server) -> None:
    with server.client() as client:
        client.acl_setuser("clerk", enabled=True, reset=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+@all"])
    place = f"127.0.0.1:{server.port}/0"
    for url in (f"redis://clerk:{SECRET}@{place}", f"redis://{place}?username=clerk&password={SECRET}"):
        db = open_(url)
        assert (db.url, repr(db)) == (f"redis://{place}", f"<{type(db).__name__} redis://{place}>")
        assert stored(db, 1) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://u:{SECRET}@h:1/2", "redis://h:1/2"),
        (f"redis://:{SECRET}@h", "redis://h"),
        (f"valkeys://u:{SECRET}@[::1]:9/1?socket_timeout=3", "valkeys://[::1]:9/1?socket_timeout=3"),
        (f"unix://u:{SECRET}@/run/s?db=2", "unix:///run/s?db=2"),
        (f"unix:///run/s?username=u&password={SECRET}&db=2", "unix:///run/s?db=2"),
        ("embedded:///var/lib/app?binary=/bin/x", "embedded:///var/lib/app?binary=%2Fbin%2Fx"),
    ],
)
def test_a_url_without_credentials_opens_the_same_place(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
    assert without_credentials(shown) == shown


@pytest.mark.parametrize("open_", OPEN)
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://u:{SECRET}@h", "scheme 'http' is none of memory://, embedded://, redis://"),
        (f"redis-server:{SECRET}", "scheme 'redis-server' is none of"),
        (SECRET, "scheme '' is none of"),
        (f"redis://:{SECRET}/@h:1", "port in the URL is no number .* as %XX"),
        (f"redis://:{SECRET}#@h:1", "port in the URL is no number"),
        (f"redis://:{SECRET}@h:70000", "port in the URL is no number up to 65535"),
        (f"redis://:{SECRET}@h?colour=red", r"redis://h:6379/0 has an option that redis-py refuses: .*'colour'"),
        (f"redis://:{SECRET}@h?protocol=9", "redis://h:6379/0 has an option that redis-py refuses: protocol"),
        (f"redis://:{SECRET}@h?db=first", "Invalid value for 'db'"),
        (f"embedded://u:{SECRET}@data", "'embedded://data': an embedded directory is a full path"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_at_once(open_: Callable[..., Any], url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        open_(url)
    assert SECRET not in str(caught.value)


def test_a_time_out_in_the_url_counts_before_the_argument(server: Server) -> None:
    with connect(f"{server.url}?socket_timeout=3.5", operation_seconds=1, connect_seconds=2) as db:
        options = db.client.connection_pool.connection_kwargs
        assert (options["socket_timeout"], options["socket_connect_timeout"]) == (3.5, 2)


# ---- clients of our own


@pytest.mark.parametrize("open_", OPEN)
def test_our_own_clients_repeat_nothing_and_wait_for_a_free_connection(open_: Callable[..., Any]) -> None:
    asynchronous = open_ is connect_async
    for query in ("", "?protocol=3"):
        store = resolve(f"redis://h{query}", Timeouts(1.5, 2.5), asynchronous=asynchronous)
        pool = store.open().connection_pool
        assert isinstance(pool, redis.asyncio.BlockingConnectionPool if asynchronous else redis.BlockingConnectionPool)
        assert (pool.timeout, pool.max_connections) == (2.5, 64)
        assert pool.connection_kwargs["retry"]._retries == 0
        enabled = getattr(pool, "maint_notifications_enabled", None)
        assert enabled is None or not enabled()


@pytest.mark.parametrize("open_", OPEN)
def test_the_server_sees_who_we_are(open_: Callable[..., Any], valkey_server: Server) -> None:
    async def list_clients(db: Any) -> Any:
        async with db:
            await db.objects(Thing).exists("1")
            return await db.client.client_list()

    db = open_(valkey_server.url)
    if open_ is connect:
        with db:
            db.objects(Thing).exists("1")
            clients = db.client.client_list()
    else:
        clients = asyncio.run(list_clients(db))
    assert any("distobjects" in each["lib-name"] for each in clients)


# ---- no URL


@contextmanager
def no_binary(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide every server that could be embedded."""
    with patch.context() as patched:
        patched.setattr(_embedded, "_wheel", lambda: None)
        patched.setenv("PATH", "")
        yield


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment that names no store, with the user's data in a directory of the test's own."""
    for name in ("DISTOBJECTS_URL", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("VALKEY_URL", "redis://127.0.0.1:1/0")
    return monkeypatch


@pytest.mark.parametrize("open_", OPEN)
def test_the_argument_counts_before_the_variable(open_: Callable[..., Any], nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv("DISTOBJECTS_URL", "memory://variable")
    assert open_("memory://argument").url == "memory://argument"
    assert open_().url == "memory://variable"


@pytest.mark.usefixtures("valkey_server")
@pytest.mark.parametrize("open_", OPEN)
def test_the_default_is_an_embedded_server_and_no_other_variable_is_asked(
    open_: Callable[..., Any], nowhere: pytest.MonkeyPatch
) -> None:
    nowhere.setenv("DISTOBJECTS_URL", "")
    db = open_()
    assert db.url == f"embedded://{_embedded.default_directory()}"
    assert stored(db, 5) == 5
    assert stored(open_(db.url), 6) == 6


@pytest.mark.usefixtures("valkey_server")
@pytest.mark.parametrize("open_", OPEN)
def test_a_directory_of_any_name_serves_as_the_default(open_: Callable[..., Any], nowhere: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(suffix=" 50%25?#") as folder:  # short enough for the socket to be in it
        nowhere.setenv("XDG_DATA_HOME", folder)
        db = open_()
        assert stored(db, 5) == 5
        assert _embedded.default_directory().is_dir()
        assert stored(open_(db.url), 6) == 6


@pytest.mark.parametrize("open_", OPEN)
def test_without_a_binary_the_default_is_memory_with_one_warning_that_shows_the_callers_line(
    open_: Callable[..., Any], nowhere: pytest.MonkeyPatch
) -> None:
    with no_binary(nowhere), pytest.warns(RuntimeWarning) as warned:
        db = open_()
    assert db.url == "memory://"
    [warning] = warned
    assert warning.filename == __file__
    assert "end with it" in str(warning.message)
    assert "distobjects[embedded]" in str(warning.message)
    assert stored(db, 1) == 1


@pytest.mark.parametrize("workers", ["", "0", "1"])
def test_one_worker_may_use_memory(nowhere: pytest.MonkeyPatch, workers: str) -> None:
    nowhere.setenv("WEB_CONCURRENCY", workers)
    with no_binary(nowhere), pytest.warns(RuntimeWarning):
        connect().close()


@pytest.mark.parametrize("open_", OPEN)
def test_several_workers_are_refused_the_memory_that_each_would_have_of_its_own(
    open_: Callable[..., Any], nowhere: pytest.MonkeyPatch
) -> None:
    nowhere.setenv("WEB_CONCURRENCY", "4")
    with no_binary(nowhere):
        with pytest.raises(StoreUnavailable, match=r"WEB_CONCURRENCY is 4.*set DISTOBJECTS_URL"):
            open_()
        assert open_("memory://asked for").url == "memory://asked for"


WORKER = """
import multiprocessing
from distobjects import StoreUnavailable, _embedded, connect
_embedded._wheel = lambda: None
def work():
    try:
        connect()
    except StoreUnavailable as error:
        print(error)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
"""


def test_a_child_of_multiprocessing_is_refused_memory_of_its_own(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv("PATH", "")
    ended = subprocess.run(
        [sys.executable, "-c", WORKER], cwd=ROOT, check=True, timeout=60, capture_output=True, text=True
    )
    assert "this is a worker process: each worker would have a store of its own" in ended.stdout


# ---- memory


def test_memory_is_shared_by_name_in_the_process_and_by_both_colours() -> None:
    with connect("memory://shared") as one, connect("memory://shared/") as same, connect("memory://other") as other:
        one.objects(Thing).put(Thing(n=1), id="1")
        assert same.objects(Thing)["1"].n == 1
        assert "1" not in other.objects(Thing)

        async def also() -> int:
            async with connect_async("memory://shared") as late:
                await late.objects(Thing).update("1", {"n": 2})
                n: int = await late.objects(Thing)["1"].n
                return n

        assert asyncio.run(also()) == 2
        assert asyncio.run(also()) == 2  # in another event loop
        assert one.objects(Thing)["1"].n == 2


def test_memory_is_shared_by_threads() -> None:
    with connect("memory://threads") as db:
        db.objects(Thing).put(Thing(), id="1")
        threads = [threading.Thread(target=_add, args=(db,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.objects(Thing)["1"].n == 40


def _add(db: distobjects.RedisBackend) -> None:
    for _ in range(10):
        db.objects(Thing)["1"].n += 1


# ---- embedded servers


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    binary("valkey")
    return tmp_path / "a data directory"


def served(directory: Path) -> bool:
    return (directory / "server.pid").exists()


def test_one_embedded_server_serves_both_colours_of_a_process_until_the_last_is_closed(directory: Path) -> None:
    url = f"embedded://{quote(str(directory))}"
    one, two = connect(url), connect_async(url)
    assert one.url == two.url == url
    one.objects(Thing).put(Thing(n=1), id="1")

    async def use() -> int:
        async with two:
            n: int = await two.objects(Thing)["1"].n
            return n

    assert asyncio.run(use()) == 1
    assert one.objects(Thing)["1"].n == 1
    one.close()
    assert not served(directory)
    with connect(url) as again:
        assert again.objects(Thing)["1"].n == 1
        assert served(directory)


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_the_url_may_name_the_binary(directory: Path, kind: str) -> None:
    path = binary(kind)
    with connect(f"embedded://{quote(str(directory))}?binary={quote(path)}") as db:
        assert db.client.info("server")["executable"] == path
    with pytest.raises(StoreUnavailable, match="no server at '/nowhere'"):
        connect(f"embedded://{quote(str(directory))}?binary=/nowhere")


@pytest.mark.usefixtures("nowhere")
def test_an_embedded_url_without_a_directory_is_the_default_one() -> None:
    binary("valkey")
    with connect("embedded://") as db:
        assert db.client.info("persistence")["aof_enabled"] == 1
        assert served(_embedded.default_directory())


@pytest.mark.parametrize("open_", OPEN)
def test_what_is_refused_after_the_server_was_started_stops_it_again(
    open_: Callable[..., Any], directory: Path
) -> None:
    with pytest.raises(ValueError, match="may hold one"):
        open_(f"embedded://{quote(str(directory))}", prefix="{a}{b}")
    assert directory.exists()
    assert not served(directory)


def test_two_processes_share_an_embedded_server(directory: Path) -> None:
    url = f"embedded://{quote(str(directory))}"
    program = """
import sys
from distobjects import connect
from tests.test_stores import Thing
with connect(sys.argv[1]) as db:
    db.objects(Thing)["1"].n += 1
"""
    with connect(url) as db:
        thing = db.objects(Thing).create(Thing(n=1), id="1")
        subprocess.run([sys.executable, "-c", program, url], cwd=ROOT, check=True, timeout=60)
        assert thing.n == 2
    poll(lambda: not served(directory))


def test_nothing_is_left_open_when_a_store_is_closed(server: Server) -> None:
    with server.client() as client, ExitStack() as stack:
        before = len(client.client_list())
        stores = [stack.enter_context(connect(server.url)) for _ in range(3)]
        for db in stores:
            db.objects(Thing).exists("1")
        assert len(client.client_list()) == before + 3
        stack.close()
        poll(lambda: len(client.client_list()) == before)
