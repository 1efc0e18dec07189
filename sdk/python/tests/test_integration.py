"""The client against five real nodes."""

import asyncio
import concurrent.futures
import io
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nodes import Proxy, has_own_disks, running, until

import meshwork
from meshwork._folder import packed

pytestmark = pytest.mark.integration

FACTOR = 3


def scaled(x):
    return math.isqrt(x) * FACTOR, str(x)


def square(x):
    return x * x


def inverse(x):
    return 1 / (x - 7)


def busy(rounds):
    total = 0
    for i in range(rounds):
        total = (total * 31 + i) % 1_000_003
    return total


ENDLESS = 10**12


def test_map_equals_the_builtin_map(mesh):
    assert list(mesh.map(square, range(1000))) == list(map(square, range(1000)))


def test_map_carries_what_the_function_uses_and_takes_several_iterables(mesh):
    assert list(mesh.map(scaled, range(50))) == list(map(scaled, range(50)))
    assert list(mesh.map(pow, [2, 3, 4], [5, 6])) == [32, 729]
    assert list(mesh.map(square, [])) == []


def test_map_puts_many_items_into_a_part(mesh):
    results = mesh.map(square, range(5000), verifiers=0)
    assert results.job.status().shards <= 256
    assert sum(results) == sum(map(square, range(5000)))


def test_progress_is_one_line_that_ends_complete(mesh, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert mesh.run(square, 3) == 9
    assert list(mesh.map(square, range(4), chunksize=2)) == [0, 1, 4, 9]
    lines = sys.stderr.getvalue().split("\n")
    assert [line.rpartition("] ")[2].rstrip() for line in lines] == ["1/1, done", "2/2, done", ""]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_an_exception_names_the_item_and_the_line(mesh):
    results = mesh.map(inverse, range(20), chunksize=5)
    assert [next(results) for _ in range(7)] == list(map(inverse, range(7)))
    with pytest.raises(meshwork.GuestError) as caught:
        next(results)
    error = caught.value
    assert (error.kind, error.index) == ("ZeroDivisionError", 7)
    line = inverse.__code__.co_firstlineno + 1
    assert error.frames[-1] == (__file__, line, "inverse")
    assert "return 1 / (x - 7)" in str(error)
    assert list(results) == []


def test_run_gives_a_functions_value_and_a_programs_result(mesh, tmp_path):
    assert mesh.run(busy, 1000) == busy(1000)
    program = tmp_path / "upper.js"
    program.write_text("console.log(JSON.stringify([1, 2]))")
    assert mesh.run(program).json() == [1, 2]
    program = tmp_path / "upper.py"
    program.write_text("import sys\nprint(sys.stdin.read().upper(), sys.argv[1:], end='')")
    results = mesh.run(program, ["a", b"b"], args=["x"])
    assert [result.text for result in results] == ["A ['x']", "B ['x']"]


def summed(values):
    return sum(values), len(values)


def half(values):
    return sum(values) / (len(values) - 8)


def test_map_reduce_equals_the_fold_of_the_builtin_map(mesh):
    assert mesh.map_reduce(square, summed, range(100)) == summed(list(map(square, range(100))))
    assert mesh.map_reduce(pow, max, [2, 3, 4], [5, 6, 2], chunksize=2) == 729
    with pytest.raises(ValueError, match="nothing to reduce"):
        mesh.map_reduce(square, sum, [])


def test_what_goes_wrong_in_a_map_reduce_says_where(mesh):
    with pytest.raises(meshwork.GuestError, match="inverse raised ZeroDivisionError") as caught:
        mesh.map_reduce(inverse, sum, range(10), chunksize=3)
    assert caught.value.index == 7
    with pytest.raises(meshwork.GuestError, match="half raised ZeroDivisionError") as caught:
        mesh.map_reduce(square, half, range(8))
    assert caught.value.frames[-1] == (__file__, half.__code__.co_firstlineno + 1, "half")


def test_a_program_reduces_the_results_of_another(mesh, tmp_path):
    words = write(tmp_path, "words.py", "import sys\nprint(len(sys.stdin.read().split()), end='')")
    total = write(tmp_path, "total.py", "import sys\nprint(sum(map(int, sys.stdin)))")
    inputs = ["one two", "three", "four five six"]
    assert mesh.run(words, inputs, reduce=total).json() == 6
    plan = mesh.plan(words, inputs, reduce=total)
    assert plan.reduce
    assert {peer.peer: peer.lacks for peer in plan.peers} == {peer.peer: None for peer in mesh.peers() if peer.connected}
    job = mesh.start(words, inputs, reduce=total)
    assert job.result().text == "6\n"
    assert [result.text for result in job.results()] == ["2", "1", "3"]
    fails = write(tmp_path, "fails.js", "throw new Error('no such total')")
    with pytest.raises(meshwork.GuestError, match="no such total"):
        mesh.run(words, inputs, reduce=fails)
    with pytest.raises(TypeError, match="map_reduce"):
        mesh.run(square, 3, reduce=total)
    with pytest.raises(TypeError, match="name its file"):
        mesh.run(words, inputs, reduce=summed)


def test_a_programs_folder_goes_along(mesh, tmp_path):
    (tmp_path / "tools").mkdir()
    write(tmp_path / "tools", "__init__.py", "")
    write(tmp_path / "tools", "words.py", "def count(text):\n    return len(text.split())")
    write(tmp_path, "main.py", "import sqlite3, sys\nfrom tools import words\nprint(words.count(sys.stdin.read()))")
    write(
        tmp_path, "total.py", "import sys\nfrom tools import words\nprint(words.count(sys.stdin.read()), sys.argv[1:])"
    )
    (tmp_path / "large").write_bytes(bytes(3 << 20))
    assert mesh.run(tmp_path, "one two").text == "2\n"
    assert packed(tmp_path).cid == mesh.add(tmp_path).cid
    total = meshwork.ProgramFolder(tmp_path, "total.py")
    assert mesh.run(total, "a b c", ["x"]).text == "3 ['x']\n"
    assert mesh.run(tmp_path, ["one two", "three"], reduce=total).text == "2 []\n"


def test_a_program_that_fails_shows_its_log(mesh, tmp_path):
    program = tmp_path / "fails.py"
    program.write_text("import sys\nsys.exit('no such luck')")
    with pytest.raises(meshwork.GuestError, match="no such luck"):
        mesh.run(program)


def test_out_of_fuel_is_the_guests_error(mesh):
    with pytest.raises(meshwork.GuestError, match="fuel"):
        mesh.run(busy, ENDLESS, fuel=2_000_000_000)


def test_jobs_have_logs_receipts_and_a_story(mesh, tmp_path):
    program = tmp_path / "talks.py"
    program.write_text("import sys\nprint('a word', file=sys.stderr)\nprint(1)")
    job = mesh.start(program, label="<b>\x1b[1m")
    assert "".join(line.text for line in job.logs(follow=True)) == "a word\n"
    assert job.wait().phase == "done"
    assert job.result().text == "1\n"
    assert [result.bytes for result in job.results()] == [b"1\n"]
    assert job.explain().shards[0].decision == "accepted"
    assert job.receipts()[:1]
    assert mesh.job(job.id[:30]).id == job.id
    with pytest.raises(meshwork.NotFound):
        mesh.job("bafyreizzzzz")


def test_a_log_that_is_cut_goes_on_without_loss(five, tmp_path):
    program = write(
        tmp_path,
        "talks.py",
        "import sys\nfor i in range(400):\n    print('line', i, file=sys.stderr, flush=True)\n    sum(range(20_000))\n",
    )
    with (
        Proxy(five[0], "/logs?", [700, 2000, 5000]) as proxy,
        meshwork.connect(url=proxy.url, token=five[0].token) as mesh,
    ):
        log = b"".join(line.data for line in mesh.start(program).logs(follow=True))
    assert log.decode() == "".join(f"line {i}\n" for i in range(400))
    assert proxy.cuts == []


def test_submit_and_cancel(mesh):
    assert mesh.submit(square, 12).result(120) == 144
    future = mesh.submit(busy, ENDLESS)
    until(lambda: future.job, "the job is known")
    assert future.cancel()
    job = mesh.job(future.job)
    assert job.wait(60).phase == "stopped"
    with pytest.raises(meshwork.JobStopped):
        job.result()


def test_the_executor_is_one_of_concurrent_futures(mesh):
    with meshwork.Executor(mesh) as executor:
        futures = [executor.submit(inverse, x) for x in range(20)]
        done = concurrent.futures.wait(futures, 300).done
        assert len(done) == 20
        assert [future.result() for future in futures if future is not futures[7]] == [
            inverse(x) for x in range(20) if x != 7
        ]
        assert futures[7].exception().kind == "ZeroDivisionError"
        assert len({future.job for future in futures}) < 20
        assert list(executor.map(square, range(30))) == list(map(square, range(30)))
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(square, 1)


def test_a_wait_that_is_too_short_leaves_the_job_alone(mesh):
    job = mesh.start(busy, ENDLESS)
    with pytest.raises(meshwork.TimedOut, match="goes on"):
        job.wait(0.01)
    assert not job.status().ended
    job.stop()
    assert job.wait().phase == "stopped"


def test_a_job_has_a_limit_of_its_own(mesh):
    with pytest.raises(meshwork.JobTimedOut):
        mesh.run(busy, ENDLESS, timeout=2)


def test_the_asynchronous_client_does_the_same(five):
    async def story():
        async with await meshwork.connect_async(five[1].home) as mesh:
            assert [x async for x in mesh.map(square, range(40))] == list(map(square, range(40)))
            assert await asyncio.gather(*(mesh.submit(square, x) for x in range(5))) == [0, 1, 4, 9, 16]
            assert await mesh.run(busy, 100) == busy(100)
            job = await mesh.start(square, 3)
            assert await job.value() == 9
            assert len(await mesh.peers()) >= 4

    asyncio.run(story())


def test_content_goes_in_and_comes_out(mesh, five, tmp_path):
    asset = mesh.add(b"some bytes")
    with meshwork.connect(five[2].home) as other:
        assert other.get(asset.cid) == b"some bytes"
        assert other.get_to(asset.cid, tmp_path / "file") == 10
    assert (tmp_path / "file").read_bytes() == b"some bytes"
    assert mesh.run(write(tmp_path, "cat.py", "import sys\nprint(sys.stdin.read())"), asset).text == "some bytes\n"
    assert mesh.ping(five[3].address.split("/p2p/")[1]).rtt_us > 0
    with pytest.raises(meshwork.NotFound, match="no-ledger"):
        mesh.balance()


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_a_wrong_token_and_no_node_are_told_apart(five, tmp_path, monkeypatch):
    with pytest.raises(meshwork.Unauthorized):
        meshwork.connect(url=five[0].url, token="wrong")
    with meshwork.connect(url=five[0].url, token=five[0].token) as mesh:
        assert mesh.node().ready
    with pytest.raises(meshwork.NodeUnreachable, match="mesh up"):
        meshwork.connect(tmp_path)
    monkeypatch.setenv("MESH_HOME", str(five[0].home))
    with meshwork.connect() as mesh:
        assert mesh.request("GET", "/api/v1/node")["peer"] == mesh.node().peer


def test_a_function_of_the_command_line_is_carried(five):
    code = (
        "import meshwork\n"
        "def cube(x):\n"
        "    return x ** 3\n"
        "mesh = meshwork.connect()\n"
        "assert list(mesh.map(cube, range(1000))) == list(map(cube, range(1000)))\n"
        "print('equal')\n"
    )
    environment = {
        **os.environ, "MESH_HOME": str(five[0].home), "PYTHONPATH": str(Path(meshwork.__file__).parents[1]),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-Xutf8", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("equal\n", "", 0)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_node_that_restarts_in_mid_job_is_found_again(tmp_path, how):
    with running(1, tmp_path) as (node,), meshwork.connect(node.home) as mesh:
        results = mesh.map(busy, [3_000_000 + x for x in range(6)], chunksize=1, verifiers=0)
        assert next(results) == busy(3_000_000)
        node.end(how)
        node.start()
        assert list(results) == [busy(3_000_000 + x) for x in range(1, 6)]


def test_a_node_that_stays_away_ends_the_wait(tmp_path):
    with running(1, tmp_path) as (node,), meshwork.connect(node.home, patience=0.5) as mesh:
        job = mesh.start(busy, ENDLESS, verifiers=0)
        node.end()
        with pytest.raises(meshwork.NodeUnreachable):
            job.wait()


def large(size):
    """Bytes of which no two pieces are equal, so that none is kept once for many."""
    content = bytearray(size)
    for at in range(0, size, 1 << 16):
        content[at : at + 8] = (at + 1).to_bytes(8, "little")
    return bytes(content)


def test_what_is_too_large_for_the_node_is_refused_by_its_size(tmp_path):
    with running(1, tmp_path) as (node,), meshwork.connect(node.home) as mesh:
        for size in (65 << 20, 512 << 20):
            with pytest.raises(meshwork.Exhausted, match="at most 67108864 bytes") as caught:
                mesh.add(large(size))
            assert caught.value.status == 413
        assert mesh.run(square, 3) == 9


def blocks_under_way(node):
    return [*(node.files / "blocks/tmp").iterdir()]


@pytest.mark.skipif(not has_own_disks(), reason="this system gives a node no disk of its own")
def test_an_upload_to_a_full_disk_is_refused_and_loses_nothing(tmp_path):
    with (
        running(1, tmp_path, ("--max-body", "4096"), disk_mib=128) as (node,),
        meshwork.connect(url=node.url, token=node.token) as mesh,
    ):
        kept = mesh.add(b"what was there before")
        with pytest.raises(meshwork.Exhausted, match="No space left on device") as caught:
            mesh.add(large(512 << 20))
        assert caught.value.status == 507
        assert blocks_under_way(node) == []
        node.enlarge_disk(512)
        assert mesh.get(kept.cid) == b"what was there before"
        assert mesh.run(square, 3) == 9


def test_the_readme_is_true(five, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MESH_HOME", str(five[0].home))
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "README.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert len(blocks) >= 3
    for number, block in enumerate(blocks):
        file = write(tmp_path, f"example{number}.py", block)
        names = {"__name__": f"example{number}"}
        exec(compile(block, str(file), "exec"), names)
        if isinstance(names.get("mesh"), meshwork.Mesh):
            names["mesh"].close()
    assert capsys.readouterr().out
