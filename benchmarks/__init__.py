"""Speed, as ratios measured side by side in one run. Nothing here is a test: numbers of one machine prove little.

`python -m benchmarks` measures every module that `__main__.MODULES` names, on every server that is installed. Such a
module has one function, a generator, which sets up, yields what is to be measured, and clears up after it:

    def cases(server: Server, *, quick: bool) -> Iterator[Case | Fact]:
        client = redis.Redis(port=server.port)
        with connect(server.url) as db:
            student = db.objects(Student).put(Student(name="Harry"), id="1")
            yield Case(
                "read, TCP",
                ("redis-py hget", lambda: client.hget("Student:1", "name")),
                {"str": lambda: student.name},
                target=0.52,
                stretch=0.45,
            )

A `Case` is timed, in rounds where its contenders take turns, when it has been yielded and before the generator goes
on; a `Fact` was measured by the module, and is no ratio. What depends on the server (`server.name` is "valkey" or
"redis") depends on it there: targets, commands. `quick` asks for sizes that take seconds in all; how many rounds and
calls is no concern of the module's. A curve is one case for each point, with the same name and another `at`. All
processes share one CPU, unless the module says `PINNED = False`.
"""
