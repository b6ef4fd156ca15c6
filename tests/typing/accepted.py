"""What a type checker must accept, and infer: `mypy --strict` and `pyright` find no error here.

Never executed.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

import redis
from pydantic import BaseModel, Field

from distobjects import (
    AsyncDObject,
    AsyncObjects,
    AsyncRedisBackend,
    DObject,
    F,
    Objects,
    RedisBackend,
    connect,
    connect_async,
)
from distobjects.fields import IntegerField, TextField


class Address(BaseModel):
    city: str = "London"


class Student(BaseModel):
    name: str
    age: int = Field(default=0, ge=0)
    gpa: float = 0.0
    tags: list[str] = []
    home: Address = Address()
    seen: datetime | None = None

    def is_adult(self) -> bool:
        return self.age >= 18


backend = connect("memory://")
assert_type(backend, RedisBackend)
students = backend.objects(Student)
assert_type(students, Objects[Student])
S = F(Student)

s = students.create(Student(name="Harry"), id="1")
assert_type(s, Student)
assert_type(students["1"], Student)
assert_type(s.age, int)
assert_type(s.tags, list[str])
assert_type(s.home.city, str)
assert_type(s.seen, datetime | None)
assert_type(s.is_adult(), bool)
s.age = 18
s.age += 1
s.tags.append("seeker")
s.home.city = "Hogsmeade"

assert_type(students.get("1"), Student)
assert_type(students.get("1", None), Student | None)
assert_type(students.read("1", S.age), int)
assert_type(students.read("1", S.name, S.age), tuple[str, int])
students.field("1", S.age).set(12)
assert_type(students.field("1", S.name).get(), str)
assert_type(students.field("1", S.age).increment(2), int)
assert_type(students.field("1", S.gpa).increment(0.5), float)
students.field("1", S.tags).append("seeker")
students.field("1", S.tags).extend(name for name in ("seeker", "captain"))
assert_type(students.field("1", S.age).compare_and_set(12, 13), bool)
assert_type(students.field("1", S.name).update(str.title), str)
assert_type(students.delete("1"), bool)
assert_type(students.get_many(["1", "2"]), list[Student | None])
assert_type(students.get_many([s, 2]), list[Student | None])
assert_type(students.read_many(["1"], S.age), list[int | None])
assert_type(students.read_many(["1"], S.name, S.home.city), list[tuple[str, str] | None])
assert_type(students.create_many([Student(name="Ron")]), list[str])
by_name: dict[str, Student] = {"1": Student(name="Ron")}
by_number: dict[int, Student] = {1: Student(name="Ron")}
assert_type(students.create_many(by_name), list[str])
assert_type(students.put_many(by_number), list[str])
assert_type(students.delete_many(["1", s]), int)
assert_type(students.get_or_create(Student(name="Ron"), id="1"), Student)
assert_type(students.put(Student(name="Ron"), id="1"), Student)
assert_type(students.get(s), Student)
assert_type(students.read("1", S.seen), datetime | None)
assert_type(students.id_of(s), str)
assert_type(students.ttl("1"), float | None)
assert_type(students.count(), int)
assert_type(list(students), list[str])
assert_type("1" in students, bool)
assert_type(list(students.stream()), list[tuple[str, Student]])
assert_type([fault.error for fault in students.audit()], list[Exception])
students.update("1", {"age": 3})
with backend.transaction() as tx:
    assert_type(tx.edit(students, "1"), Student)
    assert_type(tx.get(students, "2"), Student)
with students.edit("1") as draft:
    assert_type(draft, Student)
    draft.age += 1
assert_type(students.mutate("1", lambda d: d.tags.append("x")), Student)
for change in students.watch("1"):
    assert_type(change.after, Student | None)
    assert_type(change.fields, frozenset[str])
students.watch(fields=[S.age], initial=True).close()
with students.mirror("1") as mirrored:
    assert_type(mirrored, Student)
with students.mirror_many(["1"]) as several:
    assert_type(several, dict[str, Student])


async def asynchronous() -> None:
    store = connect_async("memory://")
    assert_type(store, AsyncRedisBackend)
    people = store.objects(Student)
    assert_type(people, AsyncObjects[Student])
    assert_type(await people.get("1"), Student)
    assert_type(await people.read("1", S.age), int)
    await people.field("1", S.age).set(12)
    assert_type(people["1"], AsyncDObject)
    assert_type(await people.create(Student(name="Ron")), AsyncDObject)
    assert_type(await people.get("1", None), Student | None)
    assert_type(await people.read("1", S.name, S.age), tuple[str, int])
    assert_type(await people.get_many(["1"]), list[Student | None])
    assert_type([id async for id in people.ids()], list[str])
    assert_type([pair async for pair in people.stream()], list[tuple[str, Student]])
    assert_type(await people.field("1", S.age).increment(), int)
    await people.field("1", S.tags).append("seeker")
    async with people.edit("1") as draft:
        assert_type(draft, Student)
    async with people.mirror("1") as local:
        assert_type(local.age, int)
    async for change in people.watch("1"):
        assert_type(change.after, Student | None)


class MyStudent(DObject):
    class Meta:
        backend = RedisBackend(client=redis.Redis())

    first_name = TextField()
    born = IntegerField()
    nickname: str | None = None


m = MyStudent("1")
assert_type(m.first_name, str | None)
assert_type(m.born, int | None)
assert_type(m.id, str)
assert_type(m.nickname, str | None)
m.first_name = "Harry"
m.first_name = None
