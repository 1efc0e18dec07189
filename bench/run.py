"""Runs the benchmarks: the compiled ones (mesh_bench), the real program over a mesh on this machine, and other task
systems.

usage: run.py --build FOLDER [OPTION...] [CASE...]      all cases unless some are named
       run.py --from FILE [--markdown] [--plot FILE]    tells again what a run wrote

  engine    a fresh metered instance and call; tiny programs in the sandbox, in each language
  fuel      real kernels with fuel and without
  network   round trips between two peers over loopback
  job       one small job at a time over five nodes and three verifiers; Ray's no-op beside it
  shards    jobs of many shards; Ray, HyperQueue, multiprocessing.Pool and a plain loop beside them
  start     start and memory of an idle node
  open      memory of jobs and shards that wait
  growth    how a job's time and memory grow with its shards
  simulator how time and memory grow with nodes, in the simulator
  ledger    transfers, finality and memory of validators, PostgreSQL beside them; paid jobs beside the same without a ledger
  transfer  files from one node to another; Kubo, rsync, curl, aria2, a bare libp2p stream and the links' limits beside it
  dashboard what a browser shows, when and how smoothly; the HTTP server beside nginx; memory of WebSockets

Prints a table and writes the same figures, with every phase of a job, as JSON. What a figure is compared with is
measured in the same run, since the machine's speed on the day decides both; with --docs the cases that were run take
their places in docs/bench.md, docs/bench.json and docs/bench.svg. Beside each case stands how much of the machine
others took meanwhile. Nothing is retried; a case that fails says so, the others run, and the exit code is 1.
"""

import argparse
import itertools
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import dashboard
import ledger
import peers
import report
import transfer
from nodes import Events, Node, many_shards, mesh_of, through_api
from noise import Noise
from programs import COMPUTE, NO_OP, NODES, PROGRAMS, SIMULATED_NODES, SIZES, VERIFIERS, WORDS

CORES = os.cpu_count() or 1
HERE = Path(__file__).resolve().parent


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def summary(seconds):
    """Median and 99th percentile in milliseconds. With fewer than 100 samples the latter is the slowest."""
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"median_ms": statistics.median(ordered) * 1e3, "p99_ms": last * 1e3, "runs": len(ordered)}


def per_second(count, seconds):
    """What so many at once in so many seconds, in each repetition, come to: the median, and the slowest and the
    fastest."""
    return {
        "count": count,
        "seconds": seconds,
        "per_s": count / statistics.median(seconds),
        "slowest_per_s": count / max(seconds),
        "fastest_per_s": count / min(seconds),
    }


def compiled(binary, pattern):
    """Median in microseconds of each case of mesh_bench: of single iterations, or of repetitions where a case is too
    short to be timed singly."""
    output = subprocess.run(
        [
            binary,
            f"--benchmark_filter={pattern}",
            "--benchmark_format=json",
            "--benchmark_min_time=0.5",
            "--benchmark_repetitions=3",
            "--benchmark_enable_random_interleaving=true",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    repetitions = {}
    for case in json.loads(output)["benchmarks"]:
        if "error_message" in case:
            raise RuntimeError(f"{case['name']}: {case['error_message']}")
        if case["run_type"] == "iteration":
            name = re.sub(r"^(measure|kernel)/", "", case["run_name"]).removesuffix("/real_time")
            repetitions.setdefault(name, []).append(case)
    to_us = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}
    figures = {}
    for name, cases in repetitions.items():
        times = [case.get("median_us", case["real_time"] * to_us[case["time_unit"]]) for case in cases]
        figures[name] = {"median_us": statistics.median(times)}
        if "p99_us" in cases[0]:
            figures[name]["p99_us"] = statistics.median(case["p99_us"] for case in cases)
    return figures


def bench_engine(options, _):
    say("instances, calls and runs in the sandbox")
    return compiled(options.mesh_bench, "sandbox|wasmtime|tiny")


def bench_fuel(options, _):
    say("kernels with fuel and without")
    return compiled(options.mesh_bench, "kernel/")


def bench_network(options, _):
    say("round trips over loopback")
    return compiled(options.mesh_bench, "round_trip")


def peer(name, work, options, folder):
    """The system's figures, or {"missing": why}."""
    say(f"{peers.NAMES[name]}, beside it")
    try:
        figures = peers.measure(name, {"cores": CORES, "no_ops": 0, **work}, options.cache, folder)
    except peers.Missing as why:
        say(f"{peers.NAMES[name]} is not measured: {why}")
        return {"missing": str(why)}
    options.unwaited_cpu_s += figures["unwaited_cpu_s"]
    return figures


def rays_no_ops(found):
    """Ray's no-ops one at a time, of several clusters, taken together, and the medians of each; or the first thing that
    stood in the way."""
    for one in found:
        if "missing" in one:
            return one
    return {
        "no_op": summary([seconds for one in found for seconds in one["one_at_a_time_s"]]),
        "medians_ms": [statistics.median(one["one_at_a_time_s"]) * 1e3 for one in found],
        "start_s": [one["start_s"] for one in found],
    }


def bench_job(options, folder):
    say(f"{options.runs} jobs each, {NODES} nodes, {VERIFIERS} verifiers")
    # The runs themselves, without a mesh: what a job costs at least; the mesh is measured between two clusters of Ray.
    figures = {"runs_in_the_sandbox": compiled(options.mesh_bench, "^tiny_(wasm|python|javascript)_run")}
    ray = [peer("ray", {"one_at_a_time": 300}, options, folder)]
    with mesh_of(options.mesh, NODES, folder, options.cache) as nodes:
        publisher = nodes[0]
        events = Events(publisher.host, publisher.port, publisher.token)
        for name, (file, language, source) in PROGRAMS.items():
            path = folder / "programs" / name / file
            path.parent.mkdir(parents=True)
            path.write_text(source)
            task = {"function": {"language": language, "source": source}, "verifiers": VERIFIERS}
            command = [
                options.mesh,
                "--home",
                publisher.home,
                "run",
                str(path),
                "--verifiers",
                str(VERIFIERS),
                "--quiet",
            ]
            if language == "python":
                command += ["--runtime", "python"]  # the pre-started interpreter or none

            def through_cli(command=command):
                begin = time.perf_counter()
                done = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
                if done.stdout != b"hello\n":
                    raise RuntimeError(f"another result than hello: {done}")
                return time.perf_counter() - begin

            begin = time.perf_counter()
            through_api(publisher, events, task)
            cold = time.perf_counter() - begin
            for _ in range(10):  # so that each node has fetched, compiled and loaded it
                through_api(publisher, events, task)
            say(f"{WORDS[name]} through the API")
            runs = [through_api(publisher, events, task) for _ in range(options.runs)]
            say(f"{WORDS[name]} through the command line")
            through_cli()
            cli = summary([through_cli() for _ in range(options.runs)])
            moments = {key: statistics.median(run[key] for run in runs if key in run) * 1e3 for key in runs[-1]}
            figures[name] = {
                "api": summary([run["result"] for run in runs]),
                "cli": cli,
                "first_ms": cold * 1e3,
                "moments_ms": dict(sorted(moments.items(), key=lambda item: item[1])),
            }
        # What a command costs that asks nothing of anybody, and one that asks the node.
        for name, words in {
            "command": ["version"],
            "command_and_request": ["--home", publisher.home, "node", "status"],
        }.items():
            times = []
            for _ in range(20):
                begin = time.perf_counter()
                subprocess.run([options.mesh, *words], capture_output=True, check=True)
                times.append(time.perf_counter() - begin)
            figures[name] = summary(times)
        publisher.api.close()
        others = publisher.ask("GET", "/api/v1/peers")
        figures["ping_between_nodes_us"] = statistics.median(other["rtt_us"] for other in others)
        figures["memory_after_mb"] = publisher.memory_mb()
        events.close()
    # A small durable write on the same file system: what acknowledging anything costs at least.
    times = []
    with open(folder / "sync", "wb") as file:
        for _ in range(50):
            begin = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    figures["durable_write"] = summary(times)
    ray.append(peer("ray", {"one_at_a_time": 300}, options, folder))
    figures["ray"] = rays_no_ops(ray)
    return figures


def plain_loop(options, module, jobs, prefix):
    done = subprocess.run(
        [options.mesh_bench, "loop", str(module), str(jobs), str(CORES), prefix],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"mesh_bench loop: {done.stderr.strip()}")
    return json.loads(done.stdout)


def rounds_of(options, module, milliseconds):
    """Rounds of COMPUTE that take so long on a core while all cores do the same: CPU time, so that a shard is what it is
    called whatever else the machine does."""
    rounds, jobs = 20_000 * milliseconds, 32 * CORES
    for _ in range(2):
        runs = [plain_loop(options, module, jobs, f"{rounds} ") for _ in range(3)]
        took_ms = min(run["cpu_seconds"] for run in runs) * 1e3 / jobs
        rounds = max(1, round(rounds * milliseconds / took_ms))
    return rounds


def bench_shards(options, folder):
    no_op, compute, code = folder / "no_op.wat", folder / "compute.wat", folder / "compute.code"
    no_op.write_text(NO_OP)
    compute.write_text(COMPUTE)
    subprocess.run([options.mesh_bench, "compile", str(compute), str(code)], check=True)
    serial = itertools.count(100)

    def fresh(prefix):
        """Makes a job's inputs its own, as long as those of any other: what an earlier one left is of no use."""
        return f"{prefix}{next(serial)}"

    def truth(name, text):
        """The output for one input, from bare wasmtime."""
        if name == "no_op":
            return b""
        out = folder / "truth"
        subprocess.run([options.mesh_bench, "shard", str(code), text, str(out)], check=True)
        return out.read_bytes()

    say("how many rounds are a millisecond")
    jobs = {"no_op": (no_op, NO_OP, options.no_ops, "")}
    for name, milliseconds, count in (("1ms", 1, options.shards_1ms), ("10ms", 10, options.shards_10ms)):
        jobs[name] = (compute, COMPUTE, count, f"{rounds_of(options, compute, milliseconds)} ")
    wasm = folder / "compute.wasm"
    wasm.write_text(COMPUTE)  # wasmtime's Python package reads the text, too
    others = {
        "no_ops": options.no_ops,
        "one_at_a_time": 100,
        "mesh_bench": options.mesh_bench,
        "compiled": str(code),
        "module": str(wasm),
        "shards": {
            name: {"count": jobs[name][2], "prefix": jobs[name][3], "output": truth(name, f"{jobs[name][3]}0").hex()}
            for name in SIZES
        },
    }
    figures = {name: {"prefix": job[3]} for name, job in jobs.items()} | {"missing": {}}
    times, counts, answered, singly = {}, {}, {}, {}

    def ours(nodes, name, kind, inputs):
        verifiers = VERIFIERS if kind.startswith("verified") else 0
        accepted, seconds, job = many_shards(nodes[0], jobs[name][1], inputs, verifiers)
        times.setdefault((name, kind), []).append(seconds)
        answered.setdefault((name, kind), []).append(accepted)
        answer, right = nodes[0].ask("GET", f"/api/v1/tasks/{job}/result?shard=0"), truth(name, inputs[0])
        if answer != right:
            raise RuntimeError(f"the first shard of {name} gave {answer.hex()}, not {right.hex()}")

    # Everything is started anew for each repetition, and they take turns: what slows the machine for a while slows all.
    for repetition in range(options.repetitions):
        turn = f"{repetition + 1} of {options.repetitions}"
        here = folder / str(repetition)
        here.mkdir()
        for name, (module, _, count, prefix) in jobs.items():
            say(f"plain loop, {count} shards of {name}, {turn}")
            mine = fresh(prefix)
            loop = plain_loop(options, module, count, mine)
            times.setdefault((name, "loop"), []).append(loop["seconds"])
            figures[name].setdefault("cpu_ms_of_one", []).append(loop["cpu_seconds"] * 1e3 / count)
            if loop["output"] != truth(name, f"{mine}0").hex():
                raise RuntimeError(f"the sandbox and bare wasmtime differ over {name}")
        with mesh_of(options.mesh, NODES, here, options.cache) as nodes:
            for _, source, _, prefix in jobs.values():
                for verifiers in (0, VERIFIERS):  # so that each node has fetched, compiled and loaded it
                    mine = fresh(prefix)
                    many_shards(nodes[0], source, [f"{mine}{i}" for i in range(20 * NODES)], verifiers)
            # Nothing to tell one shard from another, as another system's no-op has nothing either.
            for kind in ("unverified_no_input", "verified_no_input"):
                say(f"{options.no_ops} shards of no_op, {kind}, {turn}")
                ours(nodes, "no_op", kind, [""] * options.no_ops)
            for name, (_, _, count, prefix) in jobs.items():
                for kind in ("unverified", "verified"):
                    say(f"{count} shards of {name}, {kind}, {turn}")
                    mine = fresh(prefix)
                    ours(nodes, name, kind, [f"{mine}{i}" for i in range(count)])
            figures["memory_mb"] = [node.memory_mb() for node in nodes]
        shutil.rmtree(here)
        for system in peers.NAMES:
            if system in figures["missing"]:
                continue
            found = peer(system, others, options, folder)
            if "missing" in found:
                figures["missing"][system] = found["missing"]
                continue
            singly.setdefault(system, []).extend(found["one_at_a_time_s"])
            for name in jobs:
                times.setdefault((name, system), []).append(found[name]["seconds"])
                counts[name, system] = found[name]["count"]
    for (name, kind), seconds in times.items():
        if kind in figures["missing"]:  # it went wrong later on
            continue
        figures[name][kind] = per_second(counts.get((name, kind), jobs[name][2]), seconds)
        if (name, kind) in answered:
            figures[name][kind]["accepted_s"] = answered[name, kind]
    figures["one_at_a_time"] = {system: summary(seconds) for system, seconds in singly.items()}
    return figures


def bench_start(options, folder):
    say("starts and memory of an idle node")
    figures = {}
    for name, fresh in {"new_home": True, "known_home": False}.items():
        listens, answers = [], []
        for i in range(10):
            node = Node(options.mesh, str(folder / (f"start{i}" if fresh else "start0")), options.cache)
            listens.append(node.speaks_s)
            answers.append(node.answers_s)
            node.stop()
        figures[name] = {"says_where_it_listens": summary(listens), "first_api_answer": summary(answers)}
    node = Node(options.mesh, str(folder / "start0"), options.cache)
    time.sleep(options.idle_s)
    figures["idle_mb"] = node.memory_mb()
    figures["threads"] = len(os.listdir(f"/proc/{node.process.pid}/task"))
    node.stop()
    return figures


def bench_open(options, folder):
    """What waits costs: jobs, then shards of one job, that a node keeps open since nobody is there to run them."""
    figures = {}
    function = {"language": "wat", "source": NO_OP}
    for name, jobs, shards in (("jobs", 1000, 1), ("shards", 1, 10_000)):
        say(f"memory of {jobs * shards} open {name}")
        node = Node(options.mesh, str(folder / f"open_{name}"), options.cache, flags=("--no-work",))
        try:
            node.ask(
                "POST", "/api/v1/tasks", {"function": function, "inputs": [{"text": "first"}], "verifiers": VERIFIERS}
            )
            time.sleep(options.idle_s)
            before = node.memory_mb()
            begin = time.perf_counter()
            for i in range(jobs):
                node.ask(
                    "POST",
                    "/api/v1/tasks",
                    {
                        "function": function,
                        "map": True,
                        "verifiers": VERIFIERS,
                        "inputs": [{"text": f"{i} {k}"} for k in range(shards)],
                    },
                )
            seconds = time.perf_counter() - begin
            time.sleep(options.idle_s)
            after = node.memory_mb()
            figures[name] = {
                "count": jobs * shards,
                "before_mb": before,
                "after_mb": after,
                "submitted_in_s": seconds,
                "kib_each": (after["VmRSS"] - before["VmRSS"]) * 1024 / (jobs * shards),
            }
        finally:
            node.stop()
    return figures


def bench_growth(options, folder):
    """Verified jobs of no-ops without input, ten times as many each time, on a new mesh each: memory is of the first
    job alone, time the median of several."""
    figures = {}
    count = options.growth_from
    while count <= options.growth_to:
        say(f"jobs of {count} shards")
        here = folder / str(count)
        with mesh_of(options.mesh, NODES, here, options.cache) as nodes:
            many_shards(nodes[0], NO_OP, [f"warm {i}" for i in range(20 * NODES)], VERIFIERS)
            before = [node.memory_mb()["VmRSS"] for node in nodes]
            for node in nodes:
                node.forget_peak_memory()
            try:
                seconds = [many_shards(nodes[0], NO_OP, [""] * count, VERIFIERS)[1]]
                grown = [node.memory_mb()["VmHWM"] - was for node, was in zip(nodes, before, strict=True)]
                if count <= 10_000:
                    seconds += [many_shards(nodes[0], NO_OP, [""] * count, VERIFIERS)[1] for _ in range(4)]
            except (RuntimeError, OSError) as error:
                say(f"not done: {error}")
                figures[str(count)] = {"failed": str(error)[:300]}
            else:
                figures[str(count)] = {
                    **per_second(count, seconds),
                    "publisher_grew_mb": grown[0],
                    "others_grew_mb": max(grown[1:]),
                }
        shutil.rmtree(here)
        count *= 10
    return figures


def simulate(program, words, limit_s):
    """One run of mesh_sim, or {"missing": why}. All that this case knows of what the program prints is here."""
    done, used = run_alone([str(program), "--no-shrink", "--quiet", *words], limit_s)
    if done is None:
        return {"missing": f"it did not end within {limit_s:.0f} s"}
    if done.returncode == 2:
        return {"missing": " ".join(done.stderr.split())[:200]}
    figures = {**used, "exit_code": done.returncode}
    wanted = {
        "node_hours_per_s": r"([\d.]+) simulated node-hours per second",
        "events_per_s": r"(\d+) events per second",
        "virtual_hours": r"in ([\d.]+) virtual hours",
        "direct_kib": r"per node and task: ([\d.]+) KiB direct",
        "gossip_kib": r"([\d.]+) KiB gossip",
    }
    for name, pattern in wanted.items():
        found = re.search(pattern, done.stdout)
        if not found:
            raise RuntimeError(f"mesh_sim says nothing like `{pattern}`: {done.stdout[-200:]} {done.stderr[-200:]}")
        figures[name] = float(found[1])
    done_jobs = re.search(r"(\d+) done", done.stdout)  # how many came to each end is said of those ends alone that came
    figures["jobs_done"] = int(done_jobs[1]) if done_jobs else 0
    return figures


def run_alone(command, limit_s):
    """The finished command, and what it used: wall_s, cpu_s and peak_mb of resident memory. None for the command if it
    had not ended by then, and was ended."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        alarm = threading.Timer(limit_s, process.kill)
        alarm.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            alarm.cancel()
        wall_s = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())
    figures = {"wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    return (None if process.returncode == -signal.SIGKILL else done), figures


def bench_simulator(options, _):
    program = Path(options.build).resolve() / "bin" / "mesh_sim"
    if not program.exists():
        return {"missing": f"there is no {program.name} in the build folder"}
    say(f"{SIMULATED_NODES} simulated nodes under every fault and every kind of liar, for half an hour of theirs")
    words = ["--nodes", str(SIMULATED_NODES), "--hours", "0.5"]
    figures = {"faults": simulate(program, words, options.simulator_limit_s)}
    nodes = 1
    while (nodes := nodes * 10) <= options.nodes_to:
        say(f"{nodes} simulated nodes without faults, for a minute of theirs")
        # The same load for all; signatures are left out, since they take their share of a node and no more.
        words = [
            "--only",
            "--fast-signatures",
            "--nodes",
            str(nodes),
            "--jobs",
            "20",
            "--shards",
            "10",
            "--load-s",
            "60",
        ]
        figures[str(nodes)] = simulate(program, [*words, "--drain-s", "0"], options.simulator_limit_s)
    return figures


def bench_transfer(options, folder):
    kubo = next(iter(sorted(Path(options.cache, "kubo").glob("*/ipfs"))), None)
    stream_speed = Path(options.cache, "cargo/release/examples/stream_speed")
    work = {
        "mesh": options.mesh,
        "cache": options.cache,
        "ipfs": str(kubo) if kubo else "ipfs",
        "stream_speed": str(stream_speed) if stream_speed.exists() else None,
        "mebibytes": options.mebibytes,
        "repetitions": options.repetitions,
        "small_files": options.small_files,
        "patience": 6,
        "large_mebibytes": options.large_mebibytes,
        "link_mebibytes": options.link_mebibytes,
        "round_trip_ms": 60,
    }
    return transfer.of_all(work, folder, say)


def bench_ledger(options, folder):
    return ledger.of_all(options, folder, say)


def bench_dashboard(options, folder):
    work = {
        "mesh": options.mesh,
        "cache": options.cache,
        "loads": options.loads,
        "events": options.events,
        "shards": options.shown_shards,
        "frames_s": options.frames_s,
        "repetitions": options.repetitions,
        "wrk_s": options.wrk_s,
        "sockets": options.sockets,
    }
    return dashboard.of_all(work, folder, say)


CASES = {
    "engine": bench_engine,
    "fuel": bench_fuel,
    "network": bench_network,
    "job": bench_job,
    "shards": bench_shards,
    "start": bench_start,
    "open": bench_open,
    "growth": bench_growth,
    "simulator": bench_simulator,
    "ledger": bench_ledger,
    "transfer": bench_transfer,
    "dashboard": bench_dashboard,
}


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.machine()


def commit():
    """The commit that is measured; with "-dirty" if the sources, not docs/, differ from it."""

    def git(*words):
        done = subprocess.run(["git", "-C", str(HERE), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)docs")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def run_cases(options):
    options.mesh = str(Path(options.build).resolve() / "mesh")
    options.mesh_bench = str(Path(options.build).resolve() / "bin" / "mesh_bench")
    figures = {"machine": {"cores": CORES, "processor": processor()}}
    build = commit()
    for case in options.cases or CASES:
        folder = Path(tempfile.mkdtemp(prefix=f"mesh-bench-{case[:2]}"))
        noise, options.unwaited_cpu_s = Noise(), 0.0
        try:
            figures[case] = CASES[case](options, folder)
        except (RuntimeError, OSError, KeyError, subprocess.SubprocessError) as error:
            words = getattr(error, "stderr", None) or str(error)
            figures[case] = {
                "failed": (words.decode() if isinstance(words, bytes) else words).strip()[-300:] or type(error).__name__
            }
            say(f"{case} FAILED: {figures[case]['failed']}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        figures[case]["run"] = {
            "date": time.strftime("%Y-%m-%d"),
            "commit": build,
            **noise.told(options.unwaited_cpu_s),
        }
    return figures


def has_failed(found):
    return "failed" in found or any("failed" in value for value in found.values() if isinstance(value, dict))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--build", help="the build folder, with mesh, bin/mesh_bench and bin/mesh_sim")
    what.add_argument("--from", dest="told", metavar="FILE", help="measure nothing: the figures are in this file")
    parser.add_argument(
        "--cache",
        default=os.environ.get("MESH_CACHE") or str(Path.home() / ".cache/meshwork"),
        help="folder for compiled code and other systems, kept",
    )
    parser.add_argument("--json", help="write the figures into this file")
    parser.add_argument("--plot", help="draw them into this SVG file")
    parser.add_argument("--docs", metavar="FOLDER", help="put the cases into bench.md, bench.json and bench.svg there")
    parser.add_argument(
        "--markdown", action="store_true", help="print the table as Markdown, with when and how each case was run"
    )
    parser.add_argument("--runs", type=int, default=100, help="measured jobs of a kind (job)")
    parser.add_argument(
        "--repetitions", type=int, default=5, help="of what is measured several times, and of what stands beside it (shards, transfer, dashboard)"
    )
    parser.add_argument("--no-ops", type=int, default=10_000, help="shards that do nothing (shards)")
    parser.add_argument("--shards-1ms", type=int, default=1000, help="shards of a millisecond (shards)")
    parser.add_argument("--shards-10ms", type=int, default=1000, help="shards of ten milliseconds (shards)")
    parser.add_argument("--growth-from", type=int, default=100, help="shards of the smallest job (growth)")
    parser.add_argument("--growth-to", type=int, default=100_000, help="shards of the largest job (growth)")
    parser.add_argument("--nodes-to", type=int, default=1000, help="nodes of the largest simulated mesh (simulator)")
    parser.add_argument(
        "--simulator-limit-s",
        type=float,
        default=300,
        help="for how long one run of the simulator is waited (simulator)",
    )
    parser.add_argument("--mebibytes", type=int, default=512, help="of the file over loopback (transfer)")
    parser.add_argument("--small-files", type=int, default=100_000, help="of 200 bytes (transfer)")
    parser.add_argument("--large-mebibytes", type=int, default=4096, help="of the file that memory is looked at with (transfer)")
    parser.add_argument("--link-mebibytes", type=int, default=256, help="of the file over slow links (transfer)")
    parser.add_argument("--ledger-accounts", type=int, default=1_000_000, help="of one validator, and of PostgreSQL (ledger)")
    parser.add_argument("--transfers", type=int, default=300_000, help="that one validator finalises (ledger)")
    parser.add_argument("--shared-accounts", type=int, default=20_000, help="of four validators (ledger)")
    parser.add_argument("--shared-transfers", type=int, default=100_000, help="that four validators finalise (ledger)")
    parser.add_argument("--finality-runs", type=int, default=200, help="transfers, one at a time (ledger)")
    parser.add_argument("--postgres-seconds", type=int, default=15, help="for each number of clients (ledger)")
    parser.add_argument("--ledger-runs", type=int, default=40, help="of one small job with a fee, and without (ledger)")
    parser.add_argument("--ledger-shards", type=int, default=10_000, help="of the job with a fee (ledger)")
    parser.add_argument("--ledger-repetitions", type=int, default=3, help="of the job of many shards (ledger)")
    parser.add_argument("--loads", type=int, default=11, help="of the first page, with nothing in any cache (dashboard)")
    parser.add_argument("--events", type=int, default=1000, help="that are waited for on the screen (dashboard)")
    parser.add_argument("--shown-shards", type=int, default=10_000, help="of the job whose page is looked at (dashboard)")
    parser.add_argument("--frames-s", type=int, default=20, help="for how long it is (dashboard)")
    parser.add_argument("--wrk-s", type=int, default=5, help="for how long a server is asked at a time (dashboard)")
    parser.add_argument("--sockets", type=int, default=1000, help="WebSockets that listen to a node (dashboard)")
    parser.add_argument("--idle-s", type=float, default=5, help="rest before memory is read")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    options = parser.parse_args()
    unknown = [case for case in options.cases if case not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]}; there are {' '.join(CASES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nodes and folders are taken down on the way out
    figures = json.loads(Path(options.told).read_text()) if options.told else run_cases(options)
    print(report.markdown(figures) if options.markdown else report.plain(figures))
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot:
        Path(options.plot).write_text(report.svg(figures))
    if options.docs:
        report.into_docs(figures, Path(options.docs))
    return 1 if any(has_failed(figures.get(case, {})) for case in CASES) else 0


if __name__ == "__main__":
    sys.exit(main())
