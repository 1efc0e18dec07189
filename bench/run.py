"""Runs the benchmarks: the compiled ones (mesh_bench), the real program over a mesh on this machine, and other task systems.

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
  simulator how time grows with nodes, in the simulator

Prints a table and writes the same figures, with every phase of a job, as JSON. What a figure is compared with is measured in
the same run, since the machine's speed on the day decides both. Nothing is retried; a case that fails says so, the others
run, and the exit code is 1.
"""

import argparse
import itertools
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
import plot
from nodes import Events, Node, many_shards, mesh_of, through_api

NODES = 5
VERIFIERS = 3
CORES = os.cpu_count() or 1
WAT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
PROGRAMS = {"wasm": ("hello.wat", "wat", WAT), "python": ("hello.py", "python", "print('hello')"),
            "javascript": ("hello.js", "javascript", "console.log('hello')")}
WORDS = {"wasm": "wasm", "python": "Python", "javascript": "JavaScript"}
NO_OP = """(module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "mesh_run") (param i32 i32) (result i64) (i64.const 0)))"""
# Reads "ROUNDS SEED" and gives eight bytes that only so many dependent multiplications lead to.
COMPUTE = """(module (memory (export "memory") 1)
  (func (export "mesh_alloc") (param i32) (result i32) (i32.const 1024))
  (global $at (mut i32) (i32.const 0))
  (func $number (param $end i32) (result i64) (local $value i64) (local $letter i32)
    (block $done (loop $digit
      (br_if $done (i32.ge_u (global.get $at) (local.get $end)))
      (local.set $letter (i32.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (br_if $done (i32.lt_u (local.get $letter) (i32.const 48)))
      (local.set $value (i64.add (i64.mul (local.get $value) (i64.const 10))
        (i64.extend_i32_u (i32.sub (local.get $letter) (i32.const 48)))))
      (br $digit)))
    (local.get $value))
  (func (export "mesh_run") (param $begin i32) (param $bytes i32) (result i64)
    (local $rounds i64) (local $x i64) (local $end i32)
    (global.set $at (local.get $begin))
    (local.set $end (i32.add (local.get $begin) (local.get $bytes)))
    (local.set $rounds (call $number (local.get $end)))
    (local.set $x (call $number (local.get $end)))
    (block $done (loop $round
      (br_if $done (i64.eqz (local.get $rounds)))
      (local.set $x (i64.add (local.get $rounds)
        (i64.mul (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 29))) (i64.const -7046029254386353131))))
      (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
      (br $round)))
    (i64.store (i32.const 2048) (local.get $x))
    (i64.const 8796093022216)))"""  # 2048 << 32 | 8
KERNELS = {"sha256": "SHA-256", "nbody": "n-body", "sort": "heap sort", "json": "JSON"}
SIZES = {"1ms": "1 ms", "10ms": "10 ms"}


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def summary(seconds):
    """Median and 99th percentile in milliseconds. With fewer than 100 samples the latter is the slowest."""
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"median_ms": statistics.median(ordered) * 1e3, "p99_ms": last * 1e3, "runs": len(ordered)}


def per_second(count, seconds):
    return {"count": count, "seconds": seconds, "per_s": count / statistics.median(seconds)}


def compiled(binary, pattern):
    """Median in microseconds of each case of mesh_bench: of single iterations, or of repetitions where a case is too short
    to be timed singly."""
    output = subprocess.run([binary, f"--benchmark_filter={pattern}", "--benchmark_format=json", "--benchmark_min_time=0.5",
                             "--benchmark_repetitions=3"], capture_output=True, text=True, check=True).stdout
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
    work = {"cores": CORES, "repetitions": options.repetitions, "no_ops": 0, **work}
    try:
        return peers.measure(name, work, options.cache, folder)
    except peers.Missing as why:
        say(f"{peers.NAMES[name]} is not measured: {why}")
        return {"missing": str(why)}


def bench_job(options, folder):
    say(f"{options.runs} jobs each, {NODES} nodes, {VERIFIERS} verifiers")
    figures = {}
    with mesh_of(options.mesh, NODES, folder, options.cache) as nodes:
        publisher = nodes[0]
        events = Events(publisher.host, publisher.port, publisher.token)
        for name, (file, language, source) in PROGRAMS.items():
            path = folder / "programs" / name / file
            path.parent.mkdir(parents=True)
            path.write_text(source)
            task = {"function": {"language": language, "source": source}, "verifiers": VERIFIERS}
            command = [options.mesh, "--home", publisher.home, "run", str(path), "--verifiers", str(VERIFIERS), "--quiet"]

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
            figures[name] = {"api": summary([run["result"] for run in runs]), "cli": cli, "first_ms": cold * 1e3,
                             "moments_ms": dict(sorted(moments.items(), key=lambda item: item[1]))}
        # What a command costs that asks nothing of anybody, and one that asks the node.
        for name, words in {"command": ["version"], "command_and_request": ["--home", publisher.home, "node", "status"]}.items():
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
    ray = peer("ray", {"one_at_a_time": 300}, options, folder)
    figures["ray"] = ray if "missing" in ray else {"no_op": summary(ray["one_at_a_time_s"]), "start_s": ray["start_s"]}
    return figures


def plain_loop(options, module, jobs, prefix):
    done = subprocess.run([options.mesh_bench, "loop", str(module), str(jobs), str(CORES), prefix], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"mesh_bench loop: {done.stderr.strip()}")
    return json.loads(done.stdout)


def rounds_of(options, module, milliseconds):
    """Rounds of COMPUTE that take about so long on a core while all cores do the same."""
    rounds = 20_000 * milliseconds
    for _ in range(2):
        runs = [plain_loop(options, module, 32 * CORES, f"{rounds} ") for _ in range(3)]
        took_ms = min(run["seconds"] for run in runs) * 1e3 / 32
        rounds = max(1, round(rounds * milliseconds / took_ms))
    return rounds


def bench_shards(options, folder):
    no_op, compute, code = folder / "no_op.wat", folder / "compute.wat", folder / "compute.code"
    no_op.write_text(NO_OP)
    compute.write_text(COMPUTE)
    subprocess.run([options.mesh_bench, "compile", str(compute), str(code)], check=True)
    serial = itertools.count(100)

    def fresh(prefix):
        """Makes the inputs of a job its own, as long as those of any other: what an earlier one left behind is of no use."""
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
    figures = {name: {"prefix": job[3]} for name, job in jobs.items()}
    times, answered = {}, {}
    with mesh_of(options.mesh, NODES, folder, options.cache) as nodes:
        for _, source, _, prefix in jobs.values():
            for verifiers in (0, VERIFIERS):  # so that each node has fetched, compiled and loaded it
                mine = fresh(prefix)
                many_shards(nodes[0], source, [f"{mine}{i}" for i in range(20 * NODES)], verifiers)
        for repetition in range(options.repetitions):
            for name, (module, source, count, prefix) in jobs.items():
                say(f"{count} shards of {name}, {repetition + 1} of {options.repetitions}")
                mine = fresh(prefix)
                loop = plain_loop(options, module, count, mine)
                times.setdefault((name, "loop"), []).append(loop["seconds"])
                if loop["output"] != truth(name, f"{mine}0").hex():
                    raise RuntimeError(f"the sandbox and bare wasmtime differ over {name}")
                for kind, verifiers in (("unverified", 0), ("verified", VERIFIERS)):
                    mine = fresh(prefix)
                    accepted, seconds, job = many_shards(nodes[0], source, [f"{mine}{i}" for i in range(count)], verifiers)
                    times.setdefault((name, kind), []).append(seconds)
                    answered.setdefault((name, kind), []).append(accepted)
                    answer = nodes[0].ask("GET", f"/api/v1/tasks/{job}/result?shard=0")
                    if answer != truth(name, f"{mine}0"):
                        raise RuntimeError(f"the first shard of {name} gave {answer.hex()}, not {truth(name, f'{mine}0').hex()}")
                if name == "no_op":  # nothing to tell one shard from another, as another system's no-op has nothing either
                    for kind, verifiers in (("unverified_no_input", 0), ("verified_no_input", VERIFIERS)):
                        accepted, seconds, _ = many_shards(nodes[0], source, [""] * count, verifiers)
                        times.setdefault((name, kind), []).append(seconds)
                        answered.setdefault((name, kind), []).append(accepted)
        figures["memory_mb"] = [node.memory_mb() for node in nodes]
    for (name, kind), seconds in times.items():
        figures[name][kind] = per_second(jobs[name][2], seconds)
        if (name, kind) in answered:
            figures[name][kind]["accepted_s"] = answered[name, kind]
    wasm = folder / "compute.wasm"
    wasm.write_text(COMPUTE)  # wasmtime's Python package reads the text, too
    work = {"no_ops": options.no_ops, "one_at_a_time": 300, "mesh_bench": options.mesh_bench, "compiled": str(code), "module": str(wasm),
            "shards": {name: {"count": jobs[name][2], "prefix": jobs[name][3], "output": truth(name, f"{jobs[name][3]}0").hex()}
                       for name in SIZES}}
    figures["missing"] = {}
    for system in peers.NAMES:
        found = peer(system, work, options, folder)
        if "missing" in found:
            figures["missing"][system] = found["missing"]
            continue
        for name in jobs:
            figures[name][system] = per_second(found[name]["count"], found[name]["seconds"])
        figures.setdefault("one_at_a_time", {})[system] = summary(found["one_at_a_time_s"])
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
            node.ask("POST", "/api/v1/tasks", {"function": function, "inputs": [{"text": "first"}], "verifiers": VERIFIERS})
            time.sleep(options.idle_s)
            before = node.memory_mb()
            begin = time.perf_counter()
            for i in range(jobs):
                node.ask("POST", "/api/v1/tasks", {"function": function, "map": True, "verifiers": VERIFIERS,
                                                   "inputs": [{"text": f"{i} {k}"} for k in range(shards)]})
            seconds = time.perf_counter() - begin
            time.sleep(options.idle_s)
            after = node.memory_mb()
            figures[name] = {"count": jobs * shards, "before_mb": before, "after_mb": after, "submitted_in_s": seconds,
                             "kib_each": (after["VmRSS"] - before["VmRSS"]) * 1024 / (jobs * shards)}
        finally:
            node.stop()
    return figures


def bench_growth(options, folder):
    """Verified jobs of no-ops, ten times as many each time, on a new mesh each, so that memory is of that job alone."""
    figures = {}
    count = 100
    while count <= options.growth_to:
        say(f"a job of {count} shards")
        with mesh_of(options.mesh, NODES, folder / f"growth{count}", options.cache) as nodes:
            many_shards(nodes[0], NO_OP, [f"warm {i}" for i in range(5 * NODES)], VERIFIERS)
            before = [node.memory_mb()["VmRSS"] for node in nodes]
            for node in nodes:
                node.forget_peak_memory()
            try:
                _, seconds, _ = many_shards(nodes[0], NO_OP, [str(i) for i in range(count)], VERIFIERS)
            except RuntimeError as error:
                say(f"not done: {error}")
                figures[str(count)] = {"missing": str(error)[:300]}
            else:
                grown = [node.memory_mb()["VmHWM"] - was for node, was in zip(nodes, before)]
                figures[str(count)] = {"seconds": seconds, "publisher_grew_mb": grown[0], "others_grew_mb": max(grown[1:])}
        count *= 10
    return figures


def bench_simulator(options, _):
    """mesh_sim with the same job over more and more nodes."""
    program = Path(options.build) / "bin" / "mesh_sim"
    if not program.exists():
        return {"missing": f"there is no {program.name} in the build folder"}
    figures = {}
    nodes = 1
    while (nodes := nodes * 10) <= options.nodes_to:
        say(f"{nodes} simulated nodes")
        command = [str(program), "--only", "--no-shrink", "--quiet", "--nodes", str(nodes), "--jobs", "20", "--shards", "10",
                   "--load-s", "20"]
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode == 2:
            return {"missing": f"mesh_sim does not take these words: {done.stderr.strip()[:200]}"}
        speed = re.search(r"([\d.]+) simulated node-hours per second", done.stdout)
        traffic = re.search(r"per node and task: ([\d.]+) KiB direct", done.stdout)
        figures[str(nodes)] = {"exit_code": done.returncode, "wall_s": wall, "output": done.stdout,
                               "cpu_s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
                               "node_hours_per_s": float(speed[1]) if speed else None,
                               "kib_per_node_and_task": float(traffic[1]) if traffic else None}
    return figures


class Rows:
    """The table: what, the figure, what stands beside it, how the two compare, and what is aimed at."""

    def __init__(self):
        self.rows = []

    def add(self, what, figure, beside="", ratio="", aim=""):
        self.rows.append((what, figure, beside, ratio, aim))


def ms(value):
    return f"{value['median_ms']:.1f} ms, p99 {value['p99_ms']:.1f}"


def us(value):
    scale, unit = (1e3, "ms") if value["median_us"] >= 1e4 else (1, "us")
    return f"{value['median_us'] / scale:.1f} {unit}" + (f", p99 {value['p99_us'] / scale:.0f}" if "p99_us" in value else "")


def rate(value):
    return f"{value['per_s']:,.0f}/s"


def as_ratio(value):
    return f"{value:.2f} x"


def rows_of_engine(engine, _, rows):
    ours, bare = engine["through_the_sandbox"], engine["bare_wasmtime"]
    rows.add("fresh metered instance and call, sandbox", us(ours), "bare wasmtime " + us(bare),
             as_ratio(ours["median_us"] / bare["median_us"]), "at most 1.3 x")
    for name, words in WORDS.items():
        if f"tiny_{name}_run" in engine:
            full = engine.get(f"tiny_full_{name}_run")
            rows.add(f"tiny {words}, run in the sandbox", us(engine[f"tiny_{name}_run"]), "full interpreter " + us(full) if full else "")


def rows_of_fuel(fuel, _, rows):
    for name, words in KERNELS.items():
        on, off = fuel[f"{name}_metered"], fuel[f"{name}_unmetered"]
        rows.add(f"{words} with fuel", us(on), "without " + us(off), as_ratio(on["median_us"] / off["median_us"]))


def rows_of_network(network, _, rows):
    rows.add("64 bytes there and back, TCP", us(network["message_round_trip_tcp"]))
    rows.add("the same, QUIC", us(network["message_round_trip_quic"]))
    rows.add("gossip there and back, validated, TCP", us(network["gossip_round_trip_tcp"]))


def rows_of_job(job, figures, rows):
    engine, ray = figures.get("engine", {}), job["ray"]
    for name, words in WORDS.items():
        api, cli = job[name]["api"], job[name]["cli"]
        what = f"tiny {words}, {NODES} nodes, {VERIFIERS} verifiers"
        if name == "wasm" and "missing" in ray:
            rows.add(what + ", API", ms(api), "Ray is not measured", "", "at most 8 x")
        elif name == "wasm":
            rows.add(what + ", API", ms(api), "Ray's no-op, one at a time " + ms(ray["no_op"]),
                     as_ratio(api["median_ms"] / ray["no_op"]["median_ms"]), "at most 8 x")
        elif f"tiny_{name}_run" in engine:
            call = engine[f"tiny_{name}_run"]["median_us"] / 1e3
            floor = 2 * job["wasm"]["api"]["median_ms"] + call
            rows.add(what + ", API", ms(api), f"2 x wasm + the {words} call {floor:.1f} ms", as_ratio(api["median_ms"] / floor),
                     "at most 1 x" if name == "python" else "")
        else:
            rows.add(what + ", API", ms(api))
        more = cli["median_ms"] - api["median_ms"]
        rows.add(what + ", mesh run", ms(cli), "through the API " + ms(api), f"{more:+.1f} ms", "at most +10 ms")
    if "missing" in ray:
        rows.add("Ray's no-op, one at a time", "not measured", ray["missing"])
    rows.add("a command that asks nobody", ms(job["command"]))
    rows.add("a command that makes one request", ms(job["command_and_request"]))
    rows.add("4 KiB written and synced", ms(job["durable_write"]))
    memory = job["memory_after_mb"]
    rows.add("memory of the publisher after these jobs", f"{memory['VmRSS']:.0f} MiB", f"peak {memory['VmHWM']:.0f} MiB")


def rows_of_shards(shards, _, rows):
    def compared(case, kind, words, with_system, aim=""):
        value, missing = case[kind], shards["missing"].get(with_system)
        if missing:
            return rows.add(words, rate(value), f"{peers.NAMES[with_system]} is not measured", "", aim)
        other = case[with_system]
        return rows.add(words, rate(value), f"{peers.NAMES[with_system]} {rate(other)}", as_ratio(value["per_s"] / other["per_s"]), aim)

    case = shards["no_op"]
    count = f"{case['loop']['count']:,} no-ops"
    compared(case, "verified_no_input", f"{count}, {VERIFIERS} verifiers", "ray", "at least 10 x")
    compared(case, "verified", f"{count}, each its own input, {VERIFIERS} verifiers", "ray")
    compared(case, "unverified_no_input", f"{count}, unverified", "pool", "at least 1 x")
    compared(case, "unverified", f"{count}, each its own input, unverified", "pool")
    rows.add(f"{count} in a plain loop", rate(case["loop"]))
    if "hyperqueue" in case:
        rows.add("no-ops in HyperQueue", rate(case["hyperqueue"]), f"{case['hyperqueue']['count']:,} processes")
    for name, words in SIZES.items():
        case = shards[name]
        loop = case["loop"]["per_s"]
        count = f"{case['loop']['count']:,} shards of {words}"
        for kind, runs in (("verified", VERIFIERS + 1), ("unverified", 1)):
            checked = f"{VERIFIERS} verifiers" if kind == "verified" else "unverified"
            rows.add(f"{count}, {checked}", rate(case[kind]), f"plain loop / {runs} = {loop / runs:,.0f}/s",
                     f"{100 * case[kind]['per_s'] * runs / loop:.0f} %", "at least 85 %" if (name, kind) == ("10ms", "verified") else "")
        beside = ", ".join(f"{peers.NAMES[system]} {rate(case[system])}" for system in peers.NAMES if system in case)
        rows.add(f"{count} elsewhere", f"plain loop {loop:,.0f}/s", beside)
    for system, why in shards["missing"].items():
        rows.add(peers.NAMES[system], "not measured", why)


def rows_of_start(start, _, rows):
    for name, words in {"new_home": "start to first API answer, new home", "known_home": "the same, known home"}.items():
        rows.add(words, ms(start[name]["first_api_answer"]), "", "", "under 300 ms")
    idle = start["idle_mb"]
    rows.add("idle node, resident", f"{idle['VmRSS']:.0f} MiB",
             f"of it anonymous {idle['RssAnon']:.0f} MiB, peak {idle['VmHWM']:.0f} MiB", "", "under 60 MB")


def rows_of_open(waiting, _, rows):
    for name, words in {"jobs": "memory of 1,000 open jobs of a shard", "shards": "memory of 1,000 open shards of one job"}.items():
        value = waiting[name]
        rows.add(words, f"{value['kib_each'] * 1000 / 1024:.1f} MiB",
                 f"{value['count']:,} taken in {value['submitted_in_s']:.1f} s, resident {value['after_mb']['VmRSS']:.0f} MiB")


def rows_of_growth(growth, _, rows):
    for count, value in growth.items():
        words = f"a verified job of {int(count):,} shards"
        if "missing" in value:
            rows.add(words, "not done", value["missing"])
        else:
            rows.add(words, f"{value['seconds']:.2f} s", f"publisher grew by {value['publisher_grew_mb']:.1f} MiB, another by at most "
                     f"{value['others_grew_mb']:.1f}", f"{value['seconds'] * 1e6 / int(count):.0f} us a shard")


def rows_of_simulator(simulator, _, rows):
    if "missing" in simulator:
        return rows.add("simulator", "not measured", simulator["missing"])
    for nodes, value in simulator.items():
        ended = "" if value["exit_code"] == 0 else f", exit code {value['exit_code']}"
        hours = f"{value['node_hours_per_s']:.1f} node-hours/s" if value["node_hours_per_s"] else ""
        words = f"{int(nodes):,} simulated nodes, 20 s of load, 20 jobs"
        traffic = f", {value['kib_per_node_and_task']:.1f} KiB a node and task" if value["kib_per_node_and_task"] else ""
        rows.add(words, f"{value['wall_s']:.1f} s", f"CPU {value['cpu_s']:.1f} s{traffic}{ended}", hours)
    return None


CASES = {"engine": (bench_engine, rows_of_engine), "fuel": (bench_fuel, rows_of_fuel), "network": (bench_network, rows_of_network),
         "job": (bench_job, rows_of_job), "shards": (bench_shards, rows_of_shards), "start": (bench_start, rows_of_start),
         "open": (bench_open, rows_of_open), "growth": (bench_growth, rows_of_growth),
         "simulator": (bench_simulator, rows_of_simulator)}


def table_of(figures):
    rows = Rows()
    for case, (_, tell) in CASES.items():
        found = figures.get(case)
        if found is None:
            continue
        if "failed" in found:
            rows.add(case, "FAILED", found["failed"])
        else:
            tell(found, figures, rows)
    return rows.rows


def conditions(figures):
    machine = figures["machine"]
    return (f"{machine['cores']} cores, {machine['processor']}, load {machine['load_before']:.1f} before and "
            f"{machine['load_after']:.1f} after, {figures['runs']} jobs one at a time and {figures['repetitions']} repetitions of "
            f"those with many shards, {figures['date']}")


def panels_of(figures):
    def good(case):
        found = figures.get(case, {"missing": ""})
        return None if "failed" in found or "missing" in found else found

    panels = []
    shards = figures.get("shards")
    if shards and "failed" not in shards:
        panel = plot.Panel(f"Many shards: {NODES} nodes on this machine, and other systems", "shards a second")
        panels.append(panel)
        for name, words in {"no_op": "no-op", **{size: f"{text} of work" for size, text in SIZES.items()}}.items():
            case = shards[name]
            panel.group(words)
            more = "_no_input" if name == "no_op" else ""
            bars = {"verified" + more: (f"Meshwork, {VERIFIERS} verifiers", "verified"),
                    "unverified" + more: ("Meshwork, unverified", "ours"),
                    **{system: (called, "other") for system, called in peers.NAMES.items()}, "loop": ("plain loop, one process", "floor")}
            for key, (label, kind) in bars.items():
                if key in case:
                    panel.bar(label, case[key]["per_s"], rate(case[key]), kind)
    if job := good("job"):
        panel = plot.Panel(f"One small job: {NODES} nodes, {VERIFIERS} verifiers; the line ends at p99", "ms")
        panels.append(panel)
        for name, words in WORDS.items():
            for way, label in {"api": "API", "cli": "mesh run"}.items():
                value = job[name][way]
                panel.bar(f"{words}, {label}", value["median_ms"], f"{value['median_ms']:.1f} ms", "verified", value["p99_ms"])
        if "no_op" in job["ray"]:
            value = job["ray"]["no_op"]
            panel.bar("Ray, a no-op, nothing verified", value["median_ms"], f"{value['median_ms']:.1f} ms", "other", value["p99_ms"])
    if fuel := good("fuel"):
        panel = plot.Panel("What metering costs: time with fuel over time without", "ratio", logarithmic=False)
        panels.append(panel)
        for name, words in KERNELS.items():
            value = fuel[f"{name}_metered"]["median_us"] / fuel[f"{name}_unmetered"]["median_us"]
            panel.bar(words, value, as_ratio(value), "ours")
    if growth := good("growth"):
        panel = plot.Panel(f"A verified job of so many no-ops: {NODES} nodes", "s")
        panels.append(panel)
        for count, value in growth.items():
            if "seconds" in value:
                words = f"{value['seconds']:.2f} s; publisher +{value['publisher_grew_mb']:.0f} MiB"
                panel.bar(f"{int(count):,} shards", value["seconds"], words, "verified")
    return panels


def markdown(rows):
    head = ("what", "median", "beside it, in the same run", "ratio", "aim")
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, ("---",) * 5, *rows))


MOMENTS = {"accepted": "accepted", "job.offer": "first offer", "job.award": "awarded", "job.committed": "committed",
           "job.drawn": "verifiers drawn", "job.shard": "verdict", "result": "result in hand"}


def phases(figures):
    """Where the time of the tiny wasm goes, as Markdown; empty if it was not measured."""
    known = figures.get("job", {}).get("wasm", {}).get("moments_ms", {})
    moments = {words: known[key] for key, words in MOMENTS.items() if key in known}
    if not moments:
        return ""
    rows = ([f"{moment:.1f}" for moment in moments.values()], ["---"] * len(moments), list(moments))
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"\n\nWhere the time of the tiny wasm goes (medians, milliseconds since the request):\n\n{table}"


def plain(rows):
    head = ("", "median", "beside it, in the same run", "ratio", "aim")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (head, *rows))


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.machine()


def run_cases(options):
    options.mesh = str(Path(options.build).resolve() / "mesh")
    options.mesh_bench = str(Path(options.build).resolve() / "bin" / "mesh_bench")
    figures = {"machine": {"cores": CORES, "processor": processor(), "load_before": os.getloadavg()[0]},
               "runs": options.runs, "repetitions": options.repetitions, "date": time.strftime("%Y-%m-%d")}
    for case in options.cases or CASES:
        folder = Path(tempfile.mkdtemp(prefix=f"mesh-bench-{case[:2]}"))
        try:
            figures[case] = CASES[case][0](options, folder)
        except (RuntimeError, OSError, KeyError, subprocess.SubprocessError) as error:
            words = getattr(error, "stderr", None) or str(error)
            figures[case] = {"failed": (words.decode() if isinstance(words, bytes) else words).strip()[-300:] or type(error).__name__}
            say(f"{case} FAILED: {figures[case]['failed']}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    figures["machine"]["load_after"] = os.getloadavg()[0]
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--build", help="the build folder, with mesh, bin/mesh_bench and bin/mesh_sim")
    what.add_argument("--from", dest="told", metavar="FILE", help="measure nothing: the figures are in this file")
    parser.add_argument("--cache", default=os.environ.get("MESH_CACHE") or str(Path.home() / ".cache/meshwork"),
                        help="folder for compiled code and other systems, kept")
    parser.add_argument("--json", help="write the figures into this file")
    parser.add_argument("--plot", help="draw them into this SVG file")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, with the conditions above it")
    parser.add_argument("--runs", type=int, default=50, help="measured jobs of a kind (job)")
    parser.add_argument("--repetitions", type=int, default=3, help="of each job of many shards, and of what stands beside it (shards)")
    parser.add_argument("--no-ops", type=int, default=10_000, help="shards that do nothing (shards)")
    parser.add_argument("--shards-1ms", type=int, default=1000, help="shards of a millisecond (shards)")
    parser.add_argument("--shards-10ms", type=int, default=1000, help="shards of ten milliseconds (shards)")
    parser.add_argument("--growth-to", type=int, default=100_000, help="shards of the largest job (growth)")
    parser.add_argument("--nodes-to", type=int, default=1000, help="nodes of the largest simulated mesh (simulator)")
    parser.add_argument("--idle-s", type=float, default=5, help="rest before memory is read")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    options = parser.parse_args()
    unknown = [case for case in options.cases if case not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]}; there are {' '.join(CASES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nodes and folders are taken down on the way out
    figures = json.loads(Path(options.told).read_text()) if options.told else run_cases(options)
    rows = table_of(figures)
    print(f"{conditions(figures)}\n\n{markdown(rows)}{phases(figures)}" if options.markdown else plain(rows))
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")
    if options.plot:
        panels = panels_of(figures)
        if any(panel.rows for panel in panels):
            Path(options.plot).write_text(plot.svg(panels, conditions(figures)))
        else:
            say("nothing of what was measured is in the plot")
    return 1 if any("failed" in figures.get(case, {}) for case in CASES) else 0


if __name__ == "__main__":
    sys.exit(main())
