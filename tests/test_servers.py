"""The fixtures are what they say: real servers, of the kind that was asked for, and our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.cluster import RedisCluster

from tests import fix_servers
from tests.fix_servers import Server, Watched, binary, poll, recorder, running


def test_each_kind_answers_with_its_own_name(server: Server) -> None:
    with server.client() as client:
        info = client.info("server")
    assert info["process_id"] == server.process.pid
    assert info.get("server_name", "redis") == server.kind
    assert info[f"{server.kind}_version"]


def test_port_and_socket_lead_to_the_same_server(server: Server) -> None:
    with server.client() as by_port, server.client(unix_socket_path=server.socket) as by_socket:
        assert by_port.info("server")["run_id"] == by_socket.info("server")["run_id"]


def test_the_url_fixture_empties_the_server(server: Server, request: pytest.FixtureRequest) -> None:
    with server.client() as client:
        client.set("left", "over")
        assert request.getfixturevalue("url") == server.url
        assert client.dbsize() == 0


def test_the_recorder_sees_what_is_sent_and_in_order(server: Server) -> None:
    with recorder(server) as seen, server.client(client_name="noise") as client:
        client.hset("h", "f", "v")
        client.pipeline(transaction=False).hget("h", "f").get("k").execute()
        client.eval("return redis.call('HGET', KEYS[1], 'f')", 1, "h")
    assert seen.commands == ["HSET", "HGET", "GET", "EVAL"]
    assert seen.lines[1] == "HGET h f"


def test_the_recorder_sees_nothing_where_nothing_is_sent(server: Server) -> None:
    with recorder(server) as seen:
        pass
    assert seen.commands == []


def test_command_counts_see_inside_of_scripts(server: Server) -> None:
    with server.client() as client:
        before = server.command_counts().get("STRLEN", 0)
        client.eval("return redis.call('STRLEN', KEYS[1])", 1, "k")
        assert server.command_counts()["STRLEN"] == before + 1


@pytest.mark.parametrize("kind", fix_servers.KINDS)
def test_a_server_of_the_test_s_own_takes_options_and_leaves_nothing_behind(kind: str) -> None:
    with running(kind, "--requirepass", "secret") as own, own.client(password="secret") as client:
        assert client.ping()
    assert own.process.poll() is not None
    assert not Path(own.socket).parent.exists()


def test_a_taken_port_is_no_failure(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter([server.port, fix_servers.free_port()])
    monkeypatch.setattr(fix_servers, "free_port", lambda: next(ports))
    with running(server.kind) as own, own.client() as client:
        assert client.info("server")["process_id"] == own.process.pid


def test_a_server_that_refuses_to_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no-such-option"), running("valkey", "--no-such-option", "1"):
        pass


def test_a_missing_server_skips_or_fails_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(fix_servers.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install"):
        binary("redis")
    monkeypatch.setenv(fix_servers.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install"):
        binary("redis")


def test_the_cluster_serves_every_slot(cluster_server: Server) -> None:
    with RedisCluster(host="127.0.0.1", port=cluster_server.port) as cluster:
        for key in ("a", "b", "{a}b"):
            assert cluster.set(key, key)
        assert cluster.get("{a}b") == b"{a}b"


def test_sentinel_knows_its_master(sentinel: Watched) -> None:
    client = sentinel.client()
    assert client.discover_master(sentinel.name) == ("127.0.0.1", sentinel.master.port)
    with client.master_for(sentinel.name) as master:
        assert master.info("server")["process_id"] == sentinel.master.process.pid


def test_poll_returns_what_it_waited_for_or_gives_up() -> None:
    answers = iter([0, 0, 7])
    assert poll(lambda: next(answers)) == 7
    with pytest.raises(TimeoutError):
        poll(lambda: False, seconds=0.01)
