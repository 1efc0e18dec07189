"""What the dashboard and the server below it do, each part beside what sets its limit or serves the same.

usage: dashboard_tasks.py load|events|frames|http|sockets, with the work as JSON on stdin

The work: mesh, cache, folder, and what each part says below. Prints one JSON object. Run by dashboard.py inside namespaces that
hold nothing but a loopback device; the browser is driven by dashboard_browser.mjs, one browser for each measurement."""

import collections
import contextlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from nodes import Events, Node, many_shards
from programs import COMPUTE, NO_OP
from transfer_tasks import cpu_s, server

SCRIPT = Path(__file__).resolve().parent / "dashboard_browser.mjs"
NGINX_PORT = 28080
PLAIN = "<!doctype html><title>Plain</title><h1>Plain</h1>"
# Each is told of twice. Twice as many as are asked for, since the browser takes its share of the machine.
SHARDS_PER_S = 100
CALIBRATED = 100
JOB_EVERY_S = 0.05
# A fast turn of the wheel: 2,400 pixels a second at most.
WHEEL = {"step": 40, "every_ms": 16}
LONG_MS = 50
CONNECTIONS = 64


def spread(values):
    """Median, 99th percentile and worst; with fewer than 100 the last two are one."""
    ordered = sorted(values)
    if not ordered:
        raise RuntimeError("there is nothing to take a median of")
    last = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"count": len(ordered), "median_ms": statistics.median(ordered), "p99_ms": last, "worst_ms": ordered[-1]}


class Browser:
    """One part of dashboard_browser.mjs: `with Browser(part, work) as browser`."""

    def __init__(self, part, work):
        self.part, self.work = part, work

    def __enter__(self):
        words = ["node", str(SCRIPT), self.part]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.tell(self.work)
        return self

    def tell(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            words = self.process.stderr.read().strip().splitlines()
            error = next((one for one in words if "Error" in one), words[-1] if words else "no words")
            raise RuntimeError(f"the browser's part {self.part} failed: {error.strip()[:250]}")
        return json.loads(line)

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def in_browser(part, work):
    with Browser(part, work) as browser:
        return browser.answer()


@contextlib.contextmanager
def one_node(work, *flags):
    node = Node(work["mesh"], str(Path(work["folder"]) / "node"), work["cache"], flags=flags)
    try:
        yield node
    finally:
        node.stop()


def link(node, path=""):
    return f"http://{node.host}:{node.port}/{path}#token={node.token}"


def run_small(node, events, label):
    """A job of one no-op from beginning to end: what the node told meanwhile."""
    node.api.close()  # an idle one may have been closed by the node
    task = {"function": {"language": "wat", "source": NO_OP}, "verifiers": 0, "label": label}
    job = node.ask("POST", "/api/v1/tasks", task)["id"]
    told = []
    while not told or told[-1]["kind"] != "job.done" or told[-1].get("job") != job:
        told.append(events.next())
    if told[-1].get("phase") != "done":
        raise RuntimeError(f"a small job is {told[-1].get('phase')}")
    return told


@contextlib.contextmanager
def nginx(folder, files):
    """One worker that serves these files on NGINX_PORT as fast as it can."""
    folder.mkdir()
    (folder / "www").mkdir()
    for name, content in files.items():
        (folder / "www" / name).write_bytes(content)
    kept = " ".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error;\n"
        f"events {{ worker_connections 512; }} http {{ access_log off; sendfile on; tcp_nopush on; {kept}\n"
        f"keepalive_requests 100000000; open_file_cache max=16; types {{ text/html html; application/json json; }}\n"
        f"server {{ listen 127.0.0.1:{NGINX_PORT}; root {folder}/www; }} }}\n"
    )
    with server(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error")], NGINX_PORT) as process:
        yield process


# ---- Parts.


def load(work):
    """`loads` of the first page with nothing in any cache, a plain page's beside them; and the bytes of all pages but the
    editor."""
    figures = {}
    with one_node(work) as node, nginx(Path(work["folder"]) / "nginx", {"plain.html": PLAIN.encode()}):
        events = Events(node.host, node.port, node.token)
        for i in range(20):
            run_small(node, events, f"before {i}")
        events.close()
        figures |= in_browser(
            "loads",
            {
                "dashboard": {"link": link(node), "selector": "main [role=row]:not(.vhead)"},
                "plain": {"link": f"http://127.0.0.1:{NGINX_PORT}/plain.html", "selector": "h1"},
                "count": work["loads"],
            },
        )
        figures["all_pages"] = in_browser("bytes", {"link": link(node, "jobs")})
    return figures


def moment_ms(event):
    """The event's own time, which the node gave it, as what Date.now() is."""
    clock = time.strptime(event["time"][:19], "%Y-%m-%dT%H:%M:%S")
    return (time.mktime(clock) - time.timezone) * 1000 + int(event["time"][20:23])


def paced(node, events, labels, enough):
    """Small jobs, one each JOB_EVERY_S if the node is as fast, until `enough` says of all that was told that it is."""
    told = []
    begin = time.monotonic()
    for number, label in enumerate(labels):
        told += run_small(node, events, label)
        if enough(told):
            return told
        time.sleep(max(0.0, begin + (number + 1) * JOB_EVERY_S - time.monotonic()))
    return told


def rows_shown(node, count):
    """Milliseconds from each event's own time until its row is on the page of the node's activity; and how many never were."""
    with Browser("rows", {"link": link(node, "activity"), "cells": 2}) as browser:
        browser.answer()
        events = Events(node.host, node.port, node.token)
        told = paced(node, events, (f"event {i}" for i in range(count)), lambda told: len(told) >= count)
        events.close()
        browser.tell({"until": [told[-1]["time"][11:23], told[-1]["kind"]]})
        seen = collections.defaultdict(collections.deque)
        for now, *cells in browser.answer()["seen"]:
            seen[tuple(cells)].append(now)
    delays = []
    for event in told:
        moments = seen[event["time"][11:23], event["kind"]]
        if moments:
            delays.append(moments.popleft() - moment_ms(event))
    seconds = (moment_ms(told[-1]) - moment_ms(told[0])) / 1000
    return {**spread(delays), "unseen": len(told) - len(delays), "events_per_s": len(told) / seconds}


def ends_shown(node, count):
    """Milliseconds from the event that a job is done until the list of jobs says so."""
    with Browser("ends", {"link": link(node, "jobs"), "prefix": "ending "}) as browser:
        browser.answer()
        events = Events(node.host, node.port, node.token)
        # A full stop, so that no label is the beginning of another.
        labels = [f"ending {i}." for i in range(count)]
        told = paced(node, events, labels, lambda _: False)
        events.close()
        browser.tell({"until": [labels[-1]]})
        seen = {label: now for now, label in browser.answer()["seen"]}
    ends = [moment_ms(event) for event in told if event["kind"] == "job.done"]
    delays = [seen[label] - end for label, end in zip(labels, ends, strict=True) if label in seen]
    return {**spread(delays), "unseen": count - len(delays)}


def events(work):
    """`events` events, and a tenth as many jobs."""
    with one_node(work) as node:
        first = Events(node.host, node.port, node.token)
        run_small(node, first, "before")
        first.close()
        return {"rows": rows_shown(node, work["events"]), "ends": ends_shown(node, max(1, work["events"] // 10))}


def rounds_for(node, shards_per_s):
    """So many rounds of COMPUTE that a core to itself gets through so many shards a second: found by the CPU time that the node
    uses, so that what else the machine does makes the job slower and never faster."""
    many_shards(node, COMPUTE, ["1 1"], 0)  # so that it is compiled and loaded
    rounds, wanted_s = 20_000, CALIBRATED / shards_per_s
    while True:
        before = cpu_s(node.process.pid)
        many_shards(node, COMPUTE, [f"{rounds} {i}" for i in range(CALIBRATED)], 0)
        used_s = max(0.01, cpu_s(node.process.pid) - before)
        rounds = max(1, round(rounds * min(8, wanted_s / used_s)))
        if used_s > wanted_s / 2:
            return rounds


class Counter(threading.Thread):
    """Takes a node's events as they come, and when they did, until it is stopped."""

    def __init__(self, node, job):
        super().__init__(daemon=True)
        self.events, self.job, self.moments, self.ended = Events(node.host, node.port, node.token), job, [], False

    def run(self):
        with contextlib.suppress(OSError, RuntimeError, ValueError, TypeError):
            while not self.ended:
                event = self.events.next()
                if event.get("job") == self.job:
                    self.moments.append(time.time() * 1000)
                    self.ended = event["kind"] == "job.done"

    def rate(self, found):
        count = sum(found["begin"] <= moment <= found["end"] for moment in self.moments)
        return count / (found["end"] - found["begin"]) * 1000


def frames(work):
    """A job of `shards` shards, that goes on at SHARDS_PER_S at most, on its page, which is scrolled for `frames_s`; and
    before it a page without a script, of as many lines, beside the same job."""
    lines = "".join(f"<p>{i}</p>" for i in range(work["shards"]))
    page = f"<!doctype html><title>Lines</title><div style='height:480px;overflow:auto'>{lines}</div>"
    with one_node(work, "--slots", "1") as node, nginx(Path(work["folder"]) / "nginx", {"lines.html": page.encode()}):
        rounds = rounds_for(node, SHARDS_PER_S)
        inputs = [{"text": f"{rounds} {i + 1000}"} for i in range(work["shards"])]
        task = {"function": {"language": "wat", "source": COMPUTE}, "map": True, "inputs": inputs, "verifiers": 0}
        node.api.close()
        job = node.ask("POST", "/api/v1/tasks", task)["id"]
        counter = Counter(node, job)
        counter.start()
        told = {"seconds": work["frames_s"], **WHEEL}
        plain = {"link": f"http://127.0.0.1:{NGINX_PORT}/lines.html", "ready": "div p:last-child", "scroller": "div"}
        dashboard = {
            "link": link(node, f"jobs/{job}"),
            "ready": f"[aria-label='Shards'][aria-rowcount='{work['shards'] + 1}']",
            "scroller": "[aria-label='Shards'] .vscroll",
        }
        figures = {"rounds": rounds, "shards": work["shards"]}
        for name, one in (("plain", plain), ("dashboard", dashboard)):
            found = in_browser("frames", {**told, **one})
            slow = sum(delta > LONG_MS for delta in found["deltas"])
            kept = {key: found[key] for key in ("scrolled", "longest")}
            figures[name] = {**spread(found["deltas"]), "over_50_ms": slow, **kept}
            if counter.ended:
                raise RuntimeError("the job ended before its page had been looked at for long enough")
            if not counter.is_alive():
                raise RuntimeError("the node's events ended before the job did")
            figures[name]["events_per_s"] = counter.rate(found)
        return figures


@contextlib.contextmanager
def pinned(core):
    """What is started in here stays on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wrk(url, token, seconds, core, pid):
    """Requests a second, all of them answered with 200, and how busy the server's core was with it."""
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", url]
    used, begin = cpu_s(pid), time.monotonic()
    with pinned(core):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    used, taken = cpu_s(pid) - used, time.monotonic() - begin
    rate, slow = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout), re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if done.returncode != 0 or not rate or not slow:
        raise RuntimeError(f"wrk failed: {(done.stderr or done.stdout).strip()[-200:]}")
    if wrong := re.search(r"(Non-2xx.*|Socket errors.*)", done.stdout):
        raise RuntimeError(f"not every request was answered: {wrong[1]}")
    milliseconds = float(slow[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[slow[2]]
    return {"per_s": float(rate[1]), "per_cpu_s": float(rate[1]) * taken / used, "busy": used / taken, "p99_ms": milliseconds}


def http(work):
    """Small JSON, in `repetitions` turns of `wrk_s` each, from the node and, the same bytes in a file, from nginx."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise RuntimeError("two cores are needed: one for the server, one for wrk")
    figures = {}
    with contextlib.ExitStack() as stack:
        with pinned(cores[0]):
            node = stack.enter_context(one_node(work))
            paths = {"addrs": "/api/v1/addrs", "node": "/api/v1/node"}
            files = {}
            for name, path in paths.items():
                node.api.request("GET", path, headers={"Authorization": "Bearer " + node.token})
                files[f"{name}.json"] = node.api.getresponse().read()
            web = stack.enter_context(nginx(Path(work["folder"]) / "nginx", files))
        for name, path in paths.items():
            figures[name] = {"path": path, "bytes": len(files[f"{name}.json"]), "mesh": [], "nginx": []}
            ours, theirs = f"http://{node.host}:{node.port}{path}", f"http://127.0.0.1:{NGINX_PORT}/{name}.json"
            for _ in range(work["repetitions"]):
                figures[name]["mesh"].append(wrk(ours, node.token, work["wrk_s"], cores[1], node.process.pid))
                figures[name]["nginx"].append(wrk(theirs, node.token, work["wrk_s"], cores[1], web.pid))
    return figures


def sockets(work):
    """`sockets` WebSockets on the node's events: what they take, and until all of them have heard of a job."""
    count = work["sockets"]
    with one_node(work) as node:
        before = node.memory_mb()
        # Here and not before: the node's own bound is the one that it was given.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count + 1000), most))
        first = Events(node.host, node.port, node.token)
        others = [Events(node.host, node.port, node.token) for _ in range(count - 1)]
        connected = node.memory_mb()
        taken = []
        for i in range(work["repetitions"]):
            begin = time.perf_counter()
            job = run_small(node, first, f"heard by all {i}")[-1]["job"]
            for one in others:
                while (event := one.next())["kind"] != "job.done" or event.get("job") != job:
                    pass
            taken.append(time.perf_counter() - begin)
        after = node.memory_mb()
        for one in (first, *others):
            one.close()
    figures = {"count": count, "before_mb": before, "connected_mb": connected, "after_mb": after}
    return {**figures, "heard_by_all_s": statistics.median(taken)}


if __name__ == "__main__":
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parts = {"load": load, "events": events, "frames": frames, "http": http, "sockets": sockets}
    json.dump(parts[sys.argv[1]](json.load(sys.stdin)), results)
    results.close()
