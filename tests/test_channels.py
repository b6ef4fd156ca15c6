"""Connections driven by their sockets: whatever happens in the middle of a reply, none reaches the wrong caller."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.sentinel
import valkey
from pydantic import BaseModel
from redis._parsers import _RESP3Parser
from redis.connection import DefaultParser

from distobjects import OutcomeUnknown, RedisBackend, StoreUnavailable, _leases, _resp, connect
from distobjects._channels import ClientChannel, SocketChannel, open_channel
from distobjects._flow import Argument, Command, ask, reading
from distobjects._redis import plain_socket

from .fix_faults import Fault, Proxy, faulty
from .fix_servers import Server, poll


class Thing(BaseModel):
    n: int = 0
    text: str = ""


@pytest.fixture(params=["hiredis", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read replies by hiredis, and without it."""
    if request.param == "python":
        monkeypatch.setattr(_resp, "_hiredis", None)


@pytest.fixture(autouse=True)
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases last, however slow the machine is: here they are looked at while they are idle."""
    monkeypatch.setattr(_leases, "_LEASE_SECONDS", 3600.0)


@pytest.fixture
def proxy(server: Server, url: str) -> Iterator[Proxy]:
    with faulty(server) as made:
        yield made


def client_of(port: int, **options: Any) -> redis.Redis:
    """Make a client whose connections are few: what one caller leaves behind, the next one would find."""
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=4, timeout=1, **options)
    return redis.Redis.from_pool(pool)


def run(backend: RedisBackend, *args: Argument, writing: bool = False) -> Any:
    [reply] = backend.run(ask(Command(args, repeatable=not writing)))
    return reply


def lease_of(backend: RedisBackend) -> Any:
    """Return the only lease, which is idle."""
    [lease] = backend._runner._link._leases._idle
    return lease


@pytest.fixture(params=[2, 3])
def backend(request: pytest.FixtureRequest, server: Server, url: str) -> Iterator[RedisBackend]:
    with client_of(server.port, protocol=request.param) as client, RedisBackend(client) as made:
        run(made, "SET", "k", "v")
        yield made


# ---- which connections


def test_a_plain_connection_is_driven_by_its_socket(backend: RedisBackend, server: Server) -> None:
    assert isinstance(lease_of(backend).channel, SocketChannel)
    with connect(server.unix_url) as db:
        run(db, "PING")
        assert isinstance(lease_of(db).channel, SocketChannel)


class Traced(redis.Connection):
    """A connection that a user has made for a purpose of their own."""


def test_a_connection_that_is_more_than_its_socket_is_not(server: Server, url: str) -> None:
    pool = redis.ConnectionPool(connection_class=Traced, port=server.port)
    with RedisBackend(redis.Redis(connection_pool=pool)) as backend:
        assert run(backend, "PING") == b"PONG"
        assert isinstance(lease_of(backend).channel, ClientChannel)
    for other in (redis.SSLConnection(), valkey.SSLConnection(), Traced()):
        assert plain_socket(other) is None


class Cooperative(socket.socket):
    """As gevent's and eventlet's are: it waits in a way of its own."""


@contextmanager
def connected(server: Server, **options: Any) -> Iterator[Any]:
    connection: Any = redis.Connection(port=server.port, **options)
    connection.connect()
    try:
        yield connection
    finally:
        connection.disconnect()


def test_a_patched_socket_is_not_driven_by_hand(server: Server) -> None:
    with connected(server) as connection:
        assert plain_socket(connection) is connection._sock
        connection._sock = Cooperative(fileno=connection._sock.detach())
        assert plain_socket(connection) is None


def test_a_connection_with_something_unread_on_it_is_left_to_redis_py(server: Server) -> None:
    with connected(server) as connection:
        connection.send_command("PING")
        poll(lambda: connection.can_read(timeout=0))
        assert isinstance(open_channel(connection, (redis.RedisError, OSError), "here"), ClientChannel)
        assert connection.read_response() == b"PONG"


def test_a_connection_that_died_is_left_to_redis_py(server: Server) -> None:
    with connected(server) as connection:
        connection._sock.shutdown(socket.SHUT_RDWR)
        assert isinstance(open_channel(connection, (redis.RedisError, OSError), "here"), ClientChannel)


# ---- a socket comes back as it was


@pytest.mark.parametrize("seconds", [None, 0.25, 5])
def test_a_socket_has_its_own_time_outs_again_when_it_is_given_back(server: Server, seconds: float | None) -> None:
    with client_of(server.port, socket_timeout=seconds) as client:
        backend = RedisBackend(client)
        run(backend, "PING")
        stream = lease_of(backend).connection._sock
        assert stream.gettimeout() is None
        assert (_timeout(stream) > 0) == (seconds is not None)
        backend.close()
        assert stream.gettimeout() == seconds
        assert _timeout(stream) == 0
        assert client.ping()


def _timeout(stream: socket.socket) -> float:
    seconds, micros = struct.unpack("ll", stream.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    return float(seconds + micros / 1e6)


def test_a_connection_that_its_owner_has_closed_is_replaced_before_a_write(backend: RedisBackend) -> None:
    for n in range(5):
        backend.client.connection_pool.disconnect()
        assert run(backend, "INCR", "n", writing=True) == n + 1


def test_a_socket_on_which_nothing_can_leave_any_more_costs_no_outcome(backend: RedisBackend) -> None:
    for n in range(5):
        lease_of(backend).connection._sock.shutdown(socket.SHUT_WR)
        assert run(backend, "INCR", "n", writing=True) == n + 1


# ---- replies


def test_a_reply_may_come_byte_by_byte(proxy: Proxy) -> None:
    with client_of(proxy.port) as client, RedisBackend(client) as backend:
        things = backend.objects(Thing)
        thing = things.put(Thing(n=7, text="wörd\r\n"), id="1")
        proxy.arm(Fault.SLICE_REPLY, "HGET", times=2)
        proxy.arm(Fault.SLICE_REPLY, "HMGET")
        assert [thing.n, thing.text] == [7, "wörd\r\n"]
        assert things.get("1") == Thing(n=7, text="wörd\r\n")
        assert len(proxy.fired) == 3
        assert proxy.connections == 1


def test_a_reply_may_have_a_hundred_megabytes(server: Server, url: str) -> None:
    size = 100 * 2**20
    with client_of(server.port) as client, RedisBackend(client) as backend:
        run(backend, "SETRANGE", "large", size - 1, "x", writing=True)
        assert run(backend, "GET", "large") == bytes(size - 1) + b"x"
        run(backend, "SET", "large", bytes(size), writing=True)
        assert run(backend, "STRLEN", "large") == size
        run(backend, "DEL", "large", writing=True)


def test_an_error_is_one_of_redis_py_s_underneath(backend: RedisBackend) -> None:
    with pytest.raises(Exception, match="wrong number of arguments") as caught:
        run(backend, "GET")
    assert type(caught.value.__cause__) is redis.ResponseError
    assert run(backend, "GET", "k") == b"v"


@pytest.mark.parametrize("fault", [Fault.HOLD_REPLY, Fault.STALL_REPLY])
def test_a_time_out_in_the_middle_of_a_reply_leaves_it_for_nobody(proxy: Proxy, fault: Fault) -> None:
    with client_of(proxy.port, socket_timeout=0.2) as client, RedisBackend(client) as backend:
        run(backend, "SET", "k", "v")
        proxy.arm(fault, "GET")
        with pytest.raises(StoreUnavailable) as caught:
            run(backend, "GET", "k")
        assert isinstance(caught.value.__cause__, TimeoutError)
        proxy.arm(fault, "INCR")
        with pytest.raises(OutcomeUnknown):
            run(backend, "INCR", "n", writing=True)
        proxy.release()
        assert [run(backend, "GET", "n"), run(backend, "GET", "k")] == [b"1", b"v"]
        assert proxy.connections == 3


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY])
def test_a_reply_that_is_cut_is_asked_for_again_or_of_unknown_outcome(proxy: Proxy, fault: Fault) -> None:
    with client_of(proxy.port) as client, RedisBackend(client) as backend:
        thing = backend.objects(Thing).put(Thing(n=7), id="1")
        proxy.arm(fault, "HGET")
        assert thing.n == 7
        proxy.arm(fault, "INCR")
        with pytest.raises(OutcomeUnknown):
            run(backend, "INCR", "n", writing=True)
        assert [run(backend, "GET", "n"), thing.text] == [b"1", ""]


def test_what_follows_a_reply_unasked_reaches_nobody(server: Server, url: str) -> None:
    with client_of(server.port, protocol=2) as client, RedisBackend(client) as backend:
        assert run(backend, "SUBSCRIBE", "a", "b") == [b"subscribe", b"a", 1]  # and of b, which RESP2 sends as a reply
        assert [run(backend, "ECHO", text) for text in "12"] == [b"1", b"2"]
        subscribed, _ = backend.run(ask(reading("SUBSCRIBE", "a", "b"), reading("PING")))
        assert subscribed == [b"subscribe", b"a", 1]
        assert [run(backend, "ECHO", text) for text in "12"] == [b"1", b"2"]


def test_what_follows_a_reply_unasked_reaches_nobody_who_has_asked_ahead(server: Server, url: str) -> None:
    with client_of(server.port, protocol=2) as client, RedisBackend(client) as backend:
        flows = [ask(reading(*args)) for args in (("SUBSCRIBE", "a", "b"), ("ECHO", "1"), ("ECHO", "2"))]
        assert [*backend._each(flows)] == [[[b"subscribe", b"a", 1]], [b"1"], [b"2"]]
        assert [run(backend, "ECHO", text) for text in "12"] == [b"1", b"2"]


@pytest.mark.parametrize("theirs", [DefaultParser, _RESP3Parser])
def test_what_the_server_pushes_is_no_reply(server: Server, url: str, theirs: Any) -> None:
    client = client_of(server.port, protocol=3, parser_class=theirs)
    with client, RedisBackend(client) as backend, server.client() as other:
        before = run(backend, "CLIENT", "ID")
        run(backend, "CLIENT", "TRACKING", "ON", "BCAST")
        heard: list[Any] = []
        parser = lease_of(backend).connection._parser
        listens = hasattr(parser, "set_invalidation_push_handler")  # before redis-py 6.2, its hiredis parser does not
        if listens:
            parser.set_invalidation_push_handler(heard.append)
        for n in range(3):
            other.set("k", n)
            other.ping()  # by its reply, the message is on its way
            assert run(backend, "GET", "k") == b"%d" % n
        # redis-py was told of the first; then the connection was closed
        assert heard == [[b"invalidate", [b"k"]]] * listens
        assert run(backend, "CLIENT", "ID") != before


# ---- signals, forks


@contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def struck(proxy: Proxy) -> Iterator[None]:
    """Send this thread a signal as soon as a fault of the proxy has happened."""

    def send() -> None:
        poll(lambda: proxy.fired)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()


@pytest.mark.parametrize("fault", [Fault.HOLD_REPLY, Fault.STALL_REPLY])
def test_a_signal_that_is_handled_does_not_disturb_a_reply(proxy: Proxy, fault: Fault) -> None:
    with client_of(proxy.port) as client, RedisBackend(client) as backend:
        run(backend, "SET", "k", "v")
        proxy.arm(fault, "GET")
        with handled(signal.SIGUSR1, lambda *_: proxy.release()), struck(proxy):
            assert run(backend, "GET", "k") == b"v"
        assert proxy.connections == 1


@pytest.mark.parametrize("fault", [Fault.HOLD_REPLY, Fault.STALL_REPLY])
def test_an_interrupt_in_the_middle_of_a_reply_leaves_it_for_nobody(proxy: Proxy, fault: Fault) -> None:
    with client_of(proxy.port) as client, RedisBackend(client) as backend:
        run(backend, "SET", "k", "v")
        proxy.arm(fault, "GET")
        with handled(signal.SIGUSR1, signal.default_int_handler), struck(proxy), pytest.raises(KeyboardInterrupt):
            run(backend, "GET", "k")
        proxy.release()
        assert [run(backend, "ECHO", text) for text in ("1", "2")] == [b"1", b"2"]
        assert proxy.connections == 2


def test_a_child_leaves_its_parent_s_socket_as_it_is(backend: RedisBackend) -> None:
    before = run(backend, "CLIENT", "ID")
    child = os.fork()
    if child == 0:  # no assert here: the child must not run the rest of the suite
        own = run(backend, "CLIENT", "ID") != before
        backend.close()
        os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    lease = lease_of(backend)
    assert lease.connection._sock.gettimeout() is None
    assert os.get_blocking(lease.connection._sock.fileno())  # which parent and child share
    assert run(backend, "GET", "k") == b"v"


def test_a_socket_of_a_lease_that_is_over_is_redis_py_s_again(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_leases, "_LEASE_SECONDS", 0.05)
    with client_of(server.port, socket_timeout=5) as client, RedisBackend(client) as backend:
        run(backend, "SET", "k", "v")
        [connection] = client.connection_pool._connections
        poll(lambda: connection._sock.gettimeout() is not None)  # the thread that gives back has done so
        assert _timeout(connection._sock) == 0
        assert [run(backend, "GET", "k") for _ in range(3)] == [b"v"] * 3
