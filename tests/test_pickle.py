"""A pickled live object is a model, a key and a URL without credentials; never data, never a password."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from distobjects import AsyncRedisBackend, DObject, RedisBackend, connect, connect_async
from distobjects.fields import TextField
from tests.fix_servers import recorder, running
from tests.fix_stores import Store, handed_over

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


class Student(BaseModel):
    name: str
    age: int = 0


class Declared(DObject):
    class Meta:
        backend = connect("memory://pickled")

    name = TextField()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_live_object_comes_back_as_the_same_one(store: Store, protocol: int) -> None:
    students = store.objects(Student)
    live = students.create(Student(name="Harry"), id="1")
    with store.counted() as trips:
        back = pickle.loads(pickle.dumps(live, protocol))
        assert back == live
        assert type(back) is type(live)
    assert trips == [0]
    assert store.run(back.name) == "Harry"


def test_a_pickle_holds_no_data(store: Store) -> None:
    live = store.objects(Student).create(Student(name="Harry"), id="1")
    assert b"Harry" not in pickle.dumps(live)


def test_prefix_and_name_come_back_too(live: Store) -> None:
    assert live.server is not None
    with connect(live.server.url, prefix="app:") as backend:
        made = backend.objects(Student, name="pupils").create(Student(name="Harry"), id="{1}")
        assert live.raw.keys("*") == [b"app:pupils:%7B1%7D"]
        back = pickle.loads(pickle.dumps(made))
        assert back == made
        assert back.name == "Harry"


def test_it_finds_the_open_backend_of_its_url_or_connects(live: Store) -> None:
    assert live.server is not None
    with connect(live.server.unix_url) as backend:
        made = backend.objects(Student).create(Student(name="Harry"), id="1")
        pickled = pickle.dumps(made)
        assert pickle.loads(pickled) == made
    back: Any = pickle.loads(pickled)
    assert back != made
    assert back.name == "Harry"
    with type(back)._binding.backend:
        pass


READER = "import pickle, sys; print(pickle.load(sys.stdin.buffer).name)"


def test_another_process_reads_what_it_points_to(live: Store) -> None:
    made = live.objects(Student).create(Student(name="Harry"), id="1")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", READER],
        input=pickle.dumps(made),
        capture_output=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"Harry\n", b"")


@pytest.mark.parametrize("face", ["sync", "async"])
def test_credentials_are_in_no_pickle_and_no_repr(face: str) -> None:
    with running("valkey", "--requirepass", "secret") as server:
        url = f"redis://default:secret@127.0.0.1:{server.port}/0?password=secret"
        if face == "sync":
            with connect(url) as backend:
                live: Any = backend.objects(Student).create(Student(name="Harry"), id="1")
                pickled = pickle.dumps(live)
                assert pickle.loads(pickled).name == "Harry"  # the open backend knows the password
                shown = repr((backend, live, backend.objects(Student)))
        else:
            other = connect_async(url)
            live = other.objects(Student)["1"]
            pickled = pickle.dumps(live)
            assert pickle.loads(pickled) == live
            shown = repr((other, live, other.objects(Student)))
    assert b"secret" not in pickled
    assert "secret" not in shown


@pytest.mark.parametrize("topology", ["client", "fakeredis", "sentinel", "cluster", "valkey-py"])
@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_client_that_was_handed_over_refuses_and_names_the_way(
    topology: str, face: str, request: pytest.FixtureRequest
) -> None:
    with handed_over(topology, face, request) as store:
        live = store.objects(Student).create(Student(name="Harry"), id="1")
        with pytest.raises(TypeError, match=r"connect(_async)?\(url\)"):
            pickle.dumps(live)
        assert pickle.loads(pickle.dumps(store.objects(Student).get("1"))) == Student(name="Harry")


def test_pickling_asks_for_nothing(live: Store) -> None:
    assert live.server is not None
    made = live.objects(Student)["1"]
    with recorder(live.server) as seen:
        pickle.loads(pickle.dumps(made))
    assert seen.commands == []


def test_an_object_of_the_class_form_is_its_class_and_id() -> None:
    made = Declared("1")
    made.name = "Harry"
    back = pickle.loads(pickle.dumps(made))
    assert back == made
    assert type(back) is Declared
    assert back.name == "Harry"
    made.clear()


def test_a_backend_is_not_kept_alive_by_what_it_could_be_found_by() -> None:
    import gc
    import weakref

    for open_ in (connect, connect_async):
        backend: RedisBackend | AsyncRedisBackend = open_("memory://short-lived")
        gone = weakref.ref(backend)
        del backend
        gc.collect()
        assert gone() is None
