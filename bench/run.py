"""Runs the benchmarks: the compiled ones (mesh_bench), and the real program over a mesh on this machine.

usage: run.py --build FOLDER [--json FILE] [--runs N] [CASE...]      cases: engine network job start (all unless named)

Prints a table and writes the same figures, with every phase of a job, as JSON. The floor of a figure is measured in the
same run, since the machine's speed on the day decides both.
"""

import argparse
import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NODES = 5
VERIFIERS = 3
WAT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
PYTHON = "print('hello')"
PROGRAMS = {"wasm": ("hello.wat", "wat", WAT), "python": ("hello.py", "python", PYTHON)}


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def summary(seconds):
    """Median and 99th percentile in milliseconds. With fewer than 100 samples the latter is the slowest."""
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"median_ms": statistics.median(ordered) * 1e3, "p99_ms": last * 1e3, "runs": len(ordered)}


class Events:
    """The events' WebSocket: as much of RFC 6455 as a reader of small text frames needs."""

    def __init__(self, host, port, token):
        self.sock = socket.create_connection((host, port), timeout=120)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /api/v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: meshwork.v1\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        self.stream = self.sock.makefile("rb")
        status = self.stream.readline().decode().strip()
        if " 101 " not in status:
            raise RuntimeError(f"the events' WebSocket was refused: {status}")
        while self.stream.readline().strip():
            pass

    def next(self):
        text = b""
        while True:
            first, length = self.stream.read(2)
            if length & 0x80:
                raise RuntimeError("a server masked a frame")
            if length == 126:
                length = int.from_bytes(self.stream.read(2), "big")
            elif length == 127:
                length = int.from_bytes(self.stream.read(8), "big")
            payload = self.stream.read(length)
            kind = first & 0x0F
            if kind == 8:
                raise RuntimeError("the node closed the events' WebSocket")
            if kind == 9:  # ping: answered, masked by zeros
                self.sock.sendall(bytes([0x8A, 0x80 | length]) + bytes(4) + payload)
            if kind in (0, 1):
                text += payload
                if first & 0x80:
                    return json.loads(text)

    def close(self):
        self.stream.close()
        self.sock.close()


class Node:
    def __init__(self, mesh, home, cache, join=()):
        self.command = [mesh, "up", "--home", home, "--cache", cache, "--no-mdns", "--json", "--api", "127.0.0.1:0",
                        "--listen", "/ip4/127.0.0.1/tcp/0", *(word for address in join for word in ("--join", address))]
        self.home = home
        with open(Path(home).with_suffix(".log"), "ab") as log:
            begin = time.perf_counter()
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline()
        self.speaks_s = time.perf_counter() - begin
        if not line:
            raise RuntimeError(f"a node did not start: {self.process.communicate()}")
        facts = json.loads(line)
        self.addresses = facts["addresses"]
        link, self.token = facts["api"].split("/#token=")
        self.host, port = link.removeprefix("http://").split(":")
        self.port = int(port)
        self.api = http.client.HTTPConnection(self.host, self.port, timeout=120)
        self.ask("GET", "/api/v1/node")
        self.answers_s = time.perf_counter() - begin

    def ask(self, method, path, body=None):
        headers = {"Authorization": "Bearer " + self.token}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.api.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.api.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        return content if path.endswith("/result") else json.loads(content)

    def memory_mb(self):
        wanted = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[name].split()[0]) / 1024 for name in wanted}

    def stop(self):
        self.api.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def mesh_of(mesh, count, folder, cache):
    """Nodes that all know each other and what each can do."""
    nodes = []
    try:
        for i in range(count):
            nodes.append(Node(mesh, str(folder / f"node{i}"), cache, [node.addresses[0] for node in nodes]))
        limit = time.monotonic() + 60
        for node in nodes:
            while sum(peer["connected"] and peer["resources"] is not None for peer in node.ask("GET", "/api/v1/peers")) < count - 1:
                if time.monotonic() > limit:
                    raise RuntimeError("the nodes did not find each other within a minute")
                time.sleep(0.1)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


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
            repetitions.setdefault(case["run_name"].removeprefix("measure/").removesuffix("/real_time"), []).append(case)
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


def bench_network(options, _):
    say("round trips over loopback")
    return compiled(options.mesh_bench, "round_trip")


def through_api(node, events, task):
    """Seconds from the request to the result in hand, and the moments between by what happened."""
    node.api.close()  # an idle one may have been closed by the node
    begin = time.perf_counter()
    job = node.ask("POST", "/api/v1/tasks", task)["id"]
    moments = {"accepted": time.perf_counter() - begin}
    while True:
        event = events.next()
        now = time.perf_counter() - begin
        if event.get("job") != job:
            continue
        name = event["kind"] + (" " + event["phase"] if event["kind"] == "job.phase" else "")
        moments.setdefault(name, now)  # the first and the last of each kind
        moments[name + " (last)"] = now
        if event["kind"] == "job.done":
            break
    if node.ask("GET", f"/api/v1/tasks/{job}/result") != b"hello\n":
        raise RuntimeError("another result than hello")
    moments["result"] = time.perf_counter() - begin
    view = node.ask("GET", f"/api/v1/tasks/{job}")
    if view["unverified"] or view["phase"] != "done":
        raise RuntimeError(f"the job is {view['phase']}, unverified: {view['unverified']}")
    return moments


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
            say(f"{name} through the API")
            runs = [through_api(publisher, events, task) for _ in range(options.runs)]
            say(f"{name} through the command line")
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
        peers = publisher.ask("GET", "/api/v1/peers")
        figures["ping_between_nodes_us"] = statistics.median(peer["rtt_us"] for peer in peers)
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


def rows_of(figures):
    """(what, measured, floor) for the table; the floor is what the same run found to be the least possible."""

    def us(name, case):
        value = figures[name][case]
        scale, unit = (1e3, "ms") if value["median_us"] >= 1e4 else (1, "us")
        return f"{value['median_us'] / scale:.1f} {unit}" + (f", p99 {value['p99_us'] / scale:.0f}" if "p99_us" in value else "")

    def ms(value):
        return f"{value['median_ms']:.1f} ms, p99 {value['p99_ms']:.1f}"

    if "engine" in figures:
        yield "fresh metered instance and call, sandbox", us("engine", "through_the_sandbox"), "bare wasmtime " + us("engine", "bare_wasmtime")
        yield "tiny wasm, run in the sandbox", us("engine", "tiny_wasm_run"), ""
        yield "tiny Python, run in the sandbox", us("engine", "tiny_python_run"), "full interpreter " + us("engine", "tiny_full_python_run")
        yield "tiny JavaScript, run in the sandbox", us("engine", "tiny_javascript_run"), ""
    if "network" in figures:
        yield "message there and back, TCP", us("network", "message_round_trip_tcp"), ""
        yield "message there and back, QUIC", us("network", "message_round_trip_quic"), ""
        yield "gossip there and back, TCP", us("network", "gossip_round_trip_tcp"), ""
    if "job" in figures:
        job = figures["job"]
        for name, case in {"wasm": "tiny_wasm_run", "python": "tiny_python_run"}.items():
            floor = ""
            if "engine" in figures and "network" in figures:
                # What cannot overlap: the worker's run and then the verifiers'; the exchanges of docs/protocols.md (intent and
                # offer, award and commitment, round and nonces, draw and commitments, reveals); and what must be durable
                # before it is said (intent, round, nonce, draw, verdict).
                floor_ms = (2 * figures["engine"][case]["median_us"] + 5 * figures["network"]["message_round_trip_tcp"]["median_us"]) / 1e3
                floor = f"2 runs + 5 round trips {floor_ms:.1f} ms, + 5 synced writes {floor_ms + 5 * job['durable_write']['median_ms']:.1f} ms"
            yield f"tiny {name}, {NODES} nodes, {VERIFIERS} verifiers, API", ms(job[name]["api"]), floor
            yield f"tiny {name}, {NODES} nodes, {VERIFIERS} verifiers, mesh run", ms(job[name]["cli"]), "a command and a request " + ms(job["command_and_request"])
        yield "a command that asks nobody", ms(job["command"]), ""
        yield "4 KiB written and synced", ms(job["durable_write"]), ""
        yield "memory of that publisher", f"{job['memory_after_mb']['VmRSS']:.0f} MiB", f"peak {job['memory_after_mb']['VmHWM']:.0f} MiB"
    if "start" in figures:
        start = figures["start"]
        for name, words in {"new_home": "start to first API answer, new home", "known_home": "the same, known home"}.items():
            yield words, ms(start[name]["first_api_answer"]), ""
        idle = start["idle_mb"]
        yield "idle node, resident", f"{idle['VmRSS']:.0f} MiB", f"of it anonymous {idle['RssAnon']:.0f} MiB, peak {idle['VmHWM']:.0f} MiB"


CASES = {"engine": bench_engine, "network": bench_network, "job": bench_job, "start": bench_start}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="the build folder, with mesh and bin/mesh_bench")
    parser.add_argument("--cache", default=os.environ.get("MESH_CACHE") or str(Path.home() / ".cache/meshwork"),
                        help="folder for compiled code, kept")
    parser.add_argument("--json", help="write the figures into this file")
    parser.add_argument("--runs", type=int, default=50, help="measured jobs of a kind")
    parser.add_argument("--idle-s", type=float, default=5, help="rest before memory is read")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    options = parser.parse_args()
    unknown = [case for case in options.cases if case not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]}; there are {' '.join(CASES)}")
    options.mesh = str(Path(options.build) / "mesh")
    options.mesh_bench = str(Path(options.build) / "bin" / "mesh_bench")
    folder = Path(tempfile.mkdtemp(prefix="mesh-bench-"))
    figures = {"machine": {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}, "runs": options.runs}
    try:
        for case in options.cases or CASES:
            figures[case] = CASES[case](options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures["machine"]["load_after"] = os.getloadavg()[0]
    rows = [("", "median", "beside it"), *rows_of(figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
