"""The connection that the tasks of an event loop share, on real servers: what it carries, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from pydantic import BaseModel

from distobjects import AsyncRedisBackend, F, OutcomeUnknown, ReadOnly, StoreUnavailable, connect_async
from distobjects._async_channel import Channel
from distobjects._async_links import AsyncPoolLink, AsyncSharedLink, async_link_to
from distobjects._flow import Command, ask, reading
from tests.fix_faults import Fault, Proxy, faulty
from tests.fix_servers import Server, free_port, poll, running
from tests.fix_stores import CONNECT_SECONDS


class Thing(BaseModel):
    n: int = 0
    text: str = ""


T = F(Thing)


def channel_of(db: AsyncRedisBackend) -> Channel:
    link = db._runner._link()
    assert isinstance(link, AsyncSharedLink)
    return link.begin()


async def connection_of(db: AsyncRedisBackend) -> int:
    [number] = await db.run(ask(reading("CLIENT", "ID")))
    return int(number)


def add(key: str = "k") -> Any:
    return ask(Command(("HINCRBY", key, "f", 1)))


async def until(condition: Any) -> None:
    """Let the event loop go on until the condition holds."""
    await asyncio.wait_for(_until(condition), 20)


async def _until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    server.flush()
    with faulty(server) as made:
        yield made


# ---- what it carries


def test_all_tasks_of_a_loop_share_one_connection_and_each_has_its_own_reply(url: str) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            await things.put_many({str(n): Thing(n=n) for n in range(500)})
            for _ in range(3):
                reads = [things.read(str(n), T.n) for n in range(500)]
                assert await asyncio.gather(*reads) == list(range(500))
            pool = db.client.connection_pool
            assert len(pool._in_use_connections) + len(pool._available_connections) == 1

    asyncio.run(work())


def test_loops_of_several_threads_each_have_a_connection_of_their_own(url: str) -> None:
    db = connect_async(url)
    things = db.objects(Thing)
    failures: list[BaseException] = []

    async def work(number: int) -> None:
        await things.put(Thing(n=number), id=str(number))
        for _ in range(5000):
            assert await things.read(str(number), T.n) == number
        await db.client.aclose()

    def run(number: int) -> None:
        try:
            asyncio.run(asyncio.wait_for(work(number), 60))
        except BaseException as error:  # noqa: BLE001  # it is told by the test's own thread
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads meet in the middle of things
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []


def test_the_commands_of_all_tasks_of_a_turn_leave_in_one_write(url: str, server: Server) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            await things.put(Thing(n=7), id="1")
            with server.client() as client:
                before = client.info("stats")["total_reads_processed"]
                for _ in range(10):
                    await asyncio.gather(*(things.read("1", T.n) for _ in range(100)))
                # The first of each turn may leave alone; asking is a read too.
                assert client.info("stats")["total_reads_processed"] - before <= 2 * 10 + 2

    asyncio.run(work())


def test_a_batch_has_all_of_its_replies_among_those_of_others(url: str) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            await things.put_many({str(n): Thing(n=n) for n in range(50)})
            batches = [things.get_many([str(n), "absent", str(n + 1)]) for n in range(20)]
            singles = [things.read(str(n), T.n) for n in range(20)]
            found = await asyncio.gather(*batches, *singles)
            assert found[:20] == [[Thing(n=n), None, Thing(n=n + 1)] for n in range(20)]
            assert found[20:] == list(range(20))
            assert await db.run(ask()) == []

    asyncio.run(work())


def test_replies_of_100_mb_arrive_whole_and_in_order(valkey_server: Server) -> None:
    async def work() -> None:
        async with connect_async(valkey_server.url, connect_seconds=CONNECT_SECONDS, operation_seconds=60) as db:
            things = db.objects(Thing)
            await things.put(Thing(n=7, text="<" + "x" * 100_000_000 + ">"), id="1")
            small, large, behind = await asyncio.gather(
                things.read("1", T.n), things.read("1", T.text), things.read("1", T.n)
            )
            assert (small, behind, len(large), large[0], large[-1]) == (7, 7, 100_000_002, "<", ">")
            await things.delete("1")

    asyncio.run(work())


def test_an_error_reply_is_one_task_s_own(url: str) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            await db.objects(Thing).put(Thing(n=7), id="1")
            wrong, right = await asyncio.gather(
                db.run(ask(Command(("HINCRBY", "Thing:1", "text", 1)))),
                db.objects(Thing).read("1", T.n),
                return_exceptions=True,
            )
            assert isinstance(wrong, Exception)
            assert isinstance(wrong.__cause__, redis.ResponseError)
            assert right == 7

    asyncio.run(work())


def test_what_does_not_fit_waits_and_what_is_cancelled_meanwhile_never_leaves(valkey_server: Server) -> None:
    valkey_server.flush()

    async def work() -> None:
        with running("valkey") as server:
            async with connect_async(server.url, connect_seconds=CONNECT_SECONDS, operation_seconds=60) as db:
                things, channel = db.objects(Thing), channel_of(db)
                await things.put(Thing(), id="1")
                os.kill(server.process.pid, signal.SIGSTOP)
                puts = [
                    asyncio.ensure_future(things.put(Thing(n=n, text="x" * 1_000_000), id=str(n))) for n in range(30)
                ]
                await until(lambda: channel._transport.get_write_buffer_size())
                cancelled = asyncio.ensure_future(db.run(add("cancelled")))
                kept = asyncio.ensure_future(db.run(add("kept")))
                await until(lambda: len(channel._queue) >= 2)
                cancelled.cancel()
                os.kill(server.process.pid, signal.SIGCONT)
                await asyncio.gather(*puts)
                assert await kept == [1]
                assert await db.run(ask(reading("EXISTS", "cancelled"))) == [0]
                assert await asyncio.gather(*(things.read(str(n), T.n) for n in range(30))) == list(range(30))
                assert not channel._due

    asyncio.run(work())


# ---- cancellation


def test_a_cancelled_task_disturbs_nobody_and_leaves_the_connection_as_it_is(url: str) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            await things.put_many({str(n): Thing(n=n) for n in range(100)})
            connection = await connection_of(db)
            for step in range(12):
                reads = [asyncio.ensure_future(things.read(str(n), T.n)) for n in range(100)]
                for _ in range(step):
                    await asyncio.sleep(0)
                for each in reads[::2]:
                    each.cancel()
                results = await asyncio.gather(*reads, return_exceptions=True)
                assert results[1::2] == list(range(1, 100, 2))
                for n, each in enumerate(results[::2]):
                    assert isinstance(each, asyncio.CancelledError) or each == 2 * n
            assert await connection_of(db) == connection
            assert not channel_of(db)._exchange.waiting

    asyncio.run(work())


def test_who_is_cancelled_while_it_connects_does_not_stop_the_others_from_being_connected(url: str) -> None:
    async def work() -> None:
        for steps in range(15):
            async with connect_async(url) as db:
                first, second = asyncio.ensure_future(db.run(add(f"a{steps}"))), asyncio.ensure_future(db.run(add("b")))
                for _ in range(steps):
                    await asyncio.sleep(0)
                first.cancel()
                assert await second == [steps + 1]
                [done] = await db.run(ask(reading("EXISTS", f"a{steps}")))
                assert done in (0, 1) if first.done() and not first.cancelled() else True

    asyncio.run(work())


# ---- connections that end


def test_reads_survive_a_connection_that_is_killed_again_and_again(url: str, server: Server) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            things = db.objects(Thing)
            await things.put_many({str(n): Thing(n=n) for n in range(50)})
            wrong, stop = list[int](), False

            async def read(n: int) -> None:
                while not stop:
                    if await things.read(str(n), T.n) != n:
                        wrong.append(n)

            readers = [asyncio.ensure_future(read(n)) for n in range(50)]
            with server.client() as client:
                for _ in range(20):
                    client.client_kill_filter(_type="normal", skipme=True)
                    await things.read("1", T.n)
                    await asyncio.gather(*(things.read(str(n), T.n) for n in range(50)))
            stop = True
            await asyncio.gather(*readers)
            assert wrong == []

    asyncio.run(work())


def test_a_cut_in_the_middle_of_a_reply_loses_no_read_and_tells_of_each_write(proxy: Proxy) -> None:
    async def work() -> None:
        async with connect_async(proxy.url, connect_seconds=CONNECT_SECONDS) as db:
            things = db.objects(Thing)
            await things.put_many({str(n): Thing(n=n) for n in range(20)})
            for fault in (Fault.CUT_REPLY, Fault.LOSE_REPLY, Fault.LOSE_REQUEST):
                key = fault.name
                proxy.arm(fault, "HINCRBY")
                reads = [things.read(str(n), T.n) for n in range(20)]
                results = await asyncio.gather(db.run(add(key)), *reads, db.run(add(key)), return_exceptions=True)
                assert results[1:-1] == list(range(20))
                writes = [results[0], results[-1]]
                acknowledged = sum(not isinstance(each, OutcomeUnknown) for each in writes)
                assert acknowledged < 2
                [stored] = await db.run(ask(reading("HGET", key, "f")))
                assert acknowledged <= int(stored or 0) <= 2

    asyncio.run(work())


def test_a_late_reply_ends_the_connection_and_others_are_asked_again(proxy: Proxy) -> None:
    async def work() -> None:
        async with connect_async(proxy.url, connect_seconds=CONNECT_SECONDS, operation_seconds=0.3) as db:
            things = db.objects(Thing)
            await things.put(Thing(n=7), id="1")
            proxy.arm(Fault.HOLD_REPLY, "HGET")
            late = asyncio.ensure_future(things.read("1", T.n))
            await until(lambda: proxy.fired)
            not_late = asyncio.ensure_future(things.read("1", T.text))
            write = asyncio.ensure_future(db.run(add()))
            with pytest.raises(StoreUnavailable, match="no reply within"):
                await late
            assert await not_late == ""
            with pytest.raises(OutcomeUnknown):
                await write
            proxy.release()
            assert await things.read("1", T.n) == 7
            assert proxy.connections == 2

    asyncio.run(work())


def test_what_had_not_left_is_sent_on_the_next_connection_once(proxy: Proxy) -> None:
    async def work() -> None:
        async with connect_async(proxy.url, connect_seconds=CONNECT_SECONDS) as db:
            channel = channel_of(db)
            await db.run(add())
            channel.pause_writing()
            waiting = [asyncio.ensure_future(db.run(add())) for _ in range(5)]
            await until(lambda: len(channel._queue) == 5)
            channel._transport.abort()
            assert sorted(await asyncio.gather(*waiting)) == [[2], [3], [4], [5], [6]]
            assert proxy.connections == 2

    asyncio.run(work())


def test_a_reply_that_nobody_waits_for_ends_the_connection(url: str) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            connection = await connection_of(db)
            channel_of(db)._transport.write(b"*1\r\n$4\r\nPING\r\n")
            await until(lambda: channel_of(db)._transport is None)
            assert await connection_of(db) != connection

    asyncio.run(work())


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_server_that_was_killed_is_unavailable_and_no_task_hangs(kind: str) -> None:
    async def work() -> None:
        with running(kind) as server:
            async with connect_async(server.url, connect_seconds=CONNECT_SECONDS) as db:
                things = db.objects(Thing)
                await things.put(Thing(), id="1")
                os.kill(server.process.pid, signal.SIGSTOP)
                reads = [asyncio.ensure_future(things.read("1", T.n)) for _ in range(50)]
                write = asyncio.ensure_future(db.run(add()))
                await until(lambda: len(channel_of(db)._exchange.waiting) == 51)
                server.process.kill()
                assert {type(each) for each in await asyncio.gather(*reads, return_exceptions=True)} == {
                    StoreUnavailable
                }
                with pytest.raises(OutcomeUnknown):
                    await write
                with pytest.raises(StoreUnavailable):
                    await db.run(add())

    asyncio.run(work())


def test_a_server_that_has_become_a_replica_is_left_for_a_new_connection() -> None:
    async def work() -> None:
        with running("valkey") as server:
            async with connect_async(server.url, connect_seconds=CONNECT_SECONDS) as db:
                await db.objects(Thing).put(Thing(n=7), id="1")
                connection = await connection_of(db)
                with server.client() as client:
                    client.replicaof("127.0.0.1", free_port())
                    refused, read = await asyncio.gather(
                        db.run(add()), db.objects(Thing).read("1", T.n), return_exceptions=True
                    )
                    assert isinstance(refused, ReadOnly)
                    assert read == 7
                    client.replicaof("NO", "ONE")
                assert await db.run(add()) == [1]
                assert await connection_of(db) != connection

    asyncio.run(work())


class Token:
    def try_get(self, name: str) -> str:
        return "default"

    def get_value(self) -> str:
        return "whatever"


def _told_to(channel: Channel) -> None:
    channel._connection.mark_for_reconnect()


def _password(channel: Channel) -> None:
    channel._connection.set_re_auth_token(Token())


def _health(channel: Channel) -> None:
    channel._connection.health_check_interval = 60
    channel._used -= 61


def _with(method: str) -> pytest.MarkDecorator:
    """Run a test where connections can be told so."""
    absent = not hasattr(redis.asyncio.Connection, method)
    return pytest.mark.skipif(absent, reason=f"this redis-py has no Connection.{method}")


@pytest.mark.parametrize(
    "happened",
    [
        pytest.param(_told_to, marks=_with("mark_for_reconnect")),  # since 7.0
        pytest.param(_password, marks=_with("set_re_auth_token")),  # since 5.3
        _health,
    ],
)
def test_a_connection_that_redis_py_would_renew_is_renewed_once(url: str, happened: Any) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            connection, channel = await connection_of(db), channel_of(db)
            for _ in range(2):
                channel._looked = 0.0  # long ago
                assert await connection_of(db) == connection
            happened(channel)
            channel._looked = 0.0
            renewed = await connection_of(db)
            assert renewed != connection
            channel._looked = 0.0
            assert await connection_of(db) == renewed

    asyncio.run(work())


def test_a_connection_is_renewed_when_all_that_left_over_it_is_answered(url: str) -> None:
    async def work() -> None:
        async with connect_async(url) as db:
            connection = await connection_of(db)
            writes = [asyncio.ensure_future(db.run(add())) for _ in range(20)]
            await until(lambda: channel_of(db)._exchange.waiting)
            channel_of(db).retire()
            renewed = asyncio.ensure_future(connection_of(db))
            assert sorted(await asyncio.gather(*writes)) == [[n] for n in range(1, 21)]
            assert await renewed != connection

    asyncio.run(work())


def test_a_sentinel_s_connection_is_renewed_when_its_pool_has_heard_of_a_failover(sentinel: Any) -> None:
    async def work() -> None:
        watching = redis.asyncio.sentinel.Sentinel([("127.0.0.1", sentinel.sentinel.port)], socket_timeout=5)
        async with watching.master_for(sentinel.name) as client:
            db = AsyncRedisBackend(client)
            connection = await connection_of(db)
            client.connection_pool.master_address = ("127.0.0.1", 1)  # so it would be told
            channel_of(db)._looked = 0.0
            assert await connection_of(db) != connection  # that of the master whom Sentinel names
            await db.close()
        for each in watching.sentinels:
            await each.aclose()

    asyncio.run(work())


# ---- whose it is


def test_the_only_connection_of_a_pool_is_not_kept(server: Server) -> None:
    def link(**options: Any) -> type:
        pool = redis.asyncio.ConnectionPool(port=server.port, **options)
        return type(async_link_to(redis.asyncio.Redis.from_pool(pool)))

    assert link(max_connections=1) is AsyncPoolLink
    assert link(max_connections=2) is AsyncSharedLink


def test_multiplex_false_takes_a_connection_for_each_round_trip(url: str) -> None:
    async def work() -> None:
        async with connect_async(url, multiplex=False) as db:
            things = db.objects(Thing)
            await things.put(Thing(n=7), id="1")
            assert await asyncio.gather(*(things.read("1", T.n) for _ in range(10))) == [7] * 10
            assert len(db.client.connection_pool._available_connections) > 1
            assert await db.objects(Thing)["1"].n == 7

    asyncio.run(work())


def test_a_user_s_disconnect_neither_hangs_nor_loses_a_read(url: str) -> None:
    async def work() -> None:
        async with redis.asyncio.Redis.from_url(url) as client:
            db = AsyncRedisBackend(client)
            await db.objects(Thing).put(Thing(n=7), id="1")
            reads = [asyncio.ensure_future(db.objects(Thing).read("1", T.n)) for _ in range(10)]
            await until(lambda: channel_of(db)._exchange.waiting)
            await asyncio.wait_for(client.connection_pool.disconnect(), 5)
            assert await asyncio.gather(*reads) == [7] * 10

    asyncio.run(work())


def test_what_is_closed_from_another_thread_at_the_worst_moment_is_closed(url: str) -> None:
    async def work() -> None:
        db = connect_async(url)
        things = db.objects(Thing)
        await things.put(Thing(n=7), id="1")
        link, db._runner._latest = db._runner._link(), (None, None)

        def closed_meanwhile() -> Channel:
            thread = threading.Thread(target=lambda: asyncio.run(db.close()))
            thread.start()
            thread.join()
            return AsyncSharedLink.begin(link)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(link, "begin", closed_meanwhile)
            assert await things.read("1", T.n) == 7  # it was on its way already
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="is closed"):
                await things.read("1", T.n)
        await link.close(own=True)

    asyncio.run(work())


def test_nothing_is_handed_out_while_a_backend_is_being_closed(url: str) -> None:
    async def work() -> None:
        db = connect_async(url)
        things = db.objects(Thing)
        await things.put(Thing(n=7), id="1")
        await things.read("1", T.n)
        watch = things.watch("1", initial=True)
        await anext(watch)
        closing = asyncio.ensure_future(db.close())  # it waits for the end of the connection that watches
        await asyncio.sleep(0)
        assert not closing.done()
        assert db._runner.channel() is None
        await closing

    asyncio.run(work())


def test_who_waits_when_a_backend_is_closed_hears_of_it_and_nothing_is_opened_again(proxy: Proxy) -> None:
    async def work() -> None:
        db = connect_async(proxy.url, connect_seconds=CONNECT_SECONDS)
        await db.objects(Thing).put(Thing(n=7), id="1")
        proxy.arm(Fault.HOLD_REPLY, "HGET")
        read = asyncio.ensure_future(db.objects(Thing).read("1", T.n))
        write = asyncio.ensure_future(db.run(add()))
        await until(lambda: proxy.fired and len(channel_of(db)._exchange.waiting) == 2)
        channel_of(db).pause_writing()
        queued = asyncio.ensure_future(db.run(add("queued")))
        await until(lambda: channel_of(db)._queue)
        await db.close()
        for each in (read, queued):
            with pytest.raises(StoreUnavailable):
                await each
        with pytest.raises(OutcomeUnknown):
            await write
        with pytest.raises(StoreUnavailable, match="is closed"):
            await db.objects(Thing).read("1", T.n)
        proxy.release()
        assert proxy.connections == 1

    asyncio.run(work())


def test_each_loop_has_a_connection_of_its_own_and_leaves_none_behind(url: str) -> None:
    def sockets() -> int:
        gc.collect()
        return sum(
            os.path.realpath(f"/proc/self/fd/{each}").startswith("socket:") for each in os.listdir("/proc/self/fd")
        )

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    before = sockets()
    db = connect_async(url)

    async def work() -> int:
        await db.objects(Thing).put(Thing(n=7), id="1")
        assert await asyncio.gather(*(db.objects(Thing).read("1", T.n) for _ in range(10))) == [7] * 10
        return await connection_of(db)

    assert len({asyncio.run(work()) for _ in range(5)}) == 5
    asyncio.run(db.close())
    assert sockets() == before


QUIET = """\
import asyncio, sys
from pydantic import BaseModel
from distobjects import F, connect_async
class Thing(BaseModel):
    n: int = 0
async def work():
    async with connect_async(sys.argv[1]) as db:
        things = db.objects(Thing)
        await things.put(Thing(), id="1")
        reads = [asyncio.ensure_future(things.read("1", F(Thing).n)) for _ in range(100)]
        await asyncio.gather(*reads[:50])
        for each in reads[50:]:
            each.cancel()
async def ends_in_the_middle():
    async with connect_async(sys.argv[1]) as db:
        for _ in range(10):
            task = asyncio.ensure_future(db.objects(Thing).exists("1"))
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0)
for _ in range(3):
    asyncio.run(work(), debug=True)
    asyncio.run(ends_in_the_middle(), debug=True)
"""


def test_a_loop_that_ends_says_nothing(url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", QUIET, url], capture_output=True, text=True, timeout=60
    )
    said = [line for line in ran.stderr.splitlines() if "took" not in line]  # of a slow machine, in debug mode
    assert (ran.returncode, said) == (0, [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("same_loop", [True, False])
def test_a_forked_child_never_uses_its_parent_s_connection(url: str, same_loop: bool) -> None:
    with asyncio.Runner() as loop:
        db = connect_async(url)
        loop.run(db.objects(Thing).put(Thing(n=7), id="1"))
        connection = loop.run(connection_of(db))

        async def differs() -> bool:
            await db.objects(Thing).exists("1")
            gc.collect()  # what is collected closes itself
            return await connection_of(db) != connection and await db.objects(Thing).read("1", T.n) == 7

        child = os.fork()
        if not child:
            try:
                right = loop.run(differs()) if same_loop else asyncio.run(differs())
            except BaseException:  # noqa: BLE001  # whatever it is, the parent is told by the exit code
                right = False
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        loop.run(asyncio.wait_for(db.objects(Thing).read("1", T.n), 2))
        assert loop.run(connection_of(db)) == connection
        loop.run(db.close())


def test_the_connection_is_encrypted_where_the_url_says_so(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("no openssl to make a certificate with")
    key, certificate, port = tmp_path / "key", tmp_path / "certificate", free_port()
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]

    async def work(server: Server) -> None:
        async with connect_async(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}", connect_seconds=20) as db:
            things = db.objects(Thing)
            await things.put_many({str(n): Thing(n=n, text="x" * 100_000) for n in range(50)})
            assert await asyncio.gather(*(things.read(str(n), T.n) for n in range(50))) == list(range(50))
            assert len(await things.read("1", T.text)) == 100_000
            connection = await connection_of(db)
            with server.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
            assert await asyncio.gather(*(things.read(str(n), T.n) for n in range(50))) == list(range(50))
            assert await connection_of(db) != connection

    with running("redis", "--tls-port", str(port), *files) as server:
        poll(lambda: server.process.poll() is None)
        asyncio.run(work(server))


def test_name_database_and_user_are_those_of_the_client(server: Server) -> None:
    async def work() -> None:
        options: dict[str, Any] = {"db": 3, "client_name": "shared", "username": "default", "password": ""}
        async with redis.asyncio.Redis(port=server.port, **options) as client:
            db = AsyncRedisBackend(client)
            await db.run(add("in-3"))
            with server.client() as other:
                [mine] = [each for each in other.client_list() if each["name"] == "shared"]
            assert mine["db"] == "3"
            assert await client.exists("in-3") == 1
            await client.delete("in-3")
            await db.close()

    asyncio.run(work())
