"""The case `ledger`: what a federation's ledger does, beside PostgreSQL and the limit that signatures set, and what it costs jobs.

Validators are real nodes with real storage. All of them, their peers and the load run on this machine."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import peers
import postgres
from nodes import JobFailed, Node, federation_of, many_shards, mesh_of, until
from programs import NO_OP, VERIFIERS, WAT

CORES = os.cpu_count() or 1
NODES = 5
VALIDATORS = 4
CREDIT = 1_000_000
# An account of the load has at least so much, and pays for every transfer.
OWN = 1_000_000
IDLE = ("--slots", "1", "--no-work")


def load(options, nodes, accounts, transfers):
    """What `mesh_bench ledger-load` found of these validators."""
    first = nodes[0]
    ledger = first.ask("GET", "/api/v1/ledger")
    fee = int(ledger["parameters"]["transaction_fee"])
    account = subprocess.run([options.mesh_bench, "ledger-account"], capture_output=True, text=True, check=True).stdout.strip()
    # Made by the steward: enough for all, and for what the tree costs.
    credits = accounts * (OWN + 2 * fee) + CREDIT
    grant = {"kind": "grant", "to": account, "amount": str(credits), "timeout_ms": 120_000}
    first.ask("POST", "/api/v1/ledger/transactions", grant)
    for node in nodes:
        until(lambda node=node: node.ask("GET", f"/api/v1/ledger/accounts/{account}")["exists"], "all know the load's first account")
    plan = {
        "federation": ledger["federation"]["cid"],
        "nodes": [{"port": node.port, "token": node.token} for node in nodes],
        "accounts": accounts,
        "transfers": transfers,
        "own": OWN,
        "fee": fee,
    }
    before = cpu_s(nodes)
    done = subprocess.run([options.mesh_bench, "ledger-load"], input=json.dumps(plan), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"mesh_bench ledger-load: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    for node in nodes:
        node.api.close()  # an idle one may have been closed by the node
        until(lambda node=node: node.ask("GET", "/api/v1/ledger")["waiting"] == 0, "nothing waits any more")
    until(lambda: len({node.ask("GET", "/api/v1/ledger")["state_root"] for node in nodes}) == 1, "the validators agree")
    found["validators_cpu_s"] = cpu_s(nodes) - before
    found["per_s"] = found["transfers"]["count"] / found["transfers"]["seconds"]
    found["limit_per_s"] = CORES / (len(nodes) * found["verify_us"] * 1e-6)
    return found


def cpu_s(nodes):
    def of(node):
        fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    return sum(of(node) for node in nodes)


def finality_s(nodes, count):
    """Seconds from the request to the answer that a transfer is final, one at a time, each node in its turn."""
    someone = nodes[-1].ask("GET", "/api/v1/ledger/accounts/self")["account"]
    other = nodes[0].ask("GET", "/api/v1/ledger/accounts/self")["account"]
    times = []
    for i in range(count):
        node = nodes[i % len(nodes)]
        to = other if node is nodes[-1] else someone
        node.api.close()
        node.ask("GET", "/api/v1/ledger")  # the connection is there
        begin = time.perf_counter()
        answer = node.ask("POST", "/api/v1/ledger/transactions", {"kind": "transfer", "to": to, "amount": "1"})
        times.append(time.perf_counter() - begin)
        if answer["status"] != "final":
            raise RuntimeError(f"a transfer is not final: {answer}")
    return times


def verification(options, home):
    """A stopped node's chain checked from its beginning, as somebody does who has the file and nothing else."""
    file = Path(home) / "ledger.db"
    begin = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [options.mesh, "--home", home, "ledger", "verify", "--file", str(file), "--json"]
    done = subprocess.run(words, capture_output=True, check=False)
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"mesh ledger verify: {done.stderr.decode().strip()}")
    report = json.loads(done.stdout)
    return {
        "transactions": report["transactions"],
        "blocks": report["height"],
        "seconds": seconds,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "file_mb": file.stat().st_size / 1e6,
    }


def restart(options, home):
    """A stopped validator is started again: until it answers, and its chain is there."""
    node = Node(options.mesh, home, options.cache, (), IDLE)
    try:
        return {"seconds": node.answers_s, "height": node.ask("GET", "/api/v1/ledger")["height"], "memory_mb": node.memory_mb()}
    finally:
        node.stop()


def late_comer(options, home, first):
    """A member that comes when the chain is there already: until it has all of it."""
    height = first.ask("GET", "/api/v1/ledger")["height"]
    token = first.ask("POST", "/api/v1/invitations", {})["token"]
    begin = time.perf_counter()
    node = Node(options.mesh, home, options.cache, [token, first.addresses[0]], IDLE)
    try:
        until(lambda: node.ask("GET", "/api/v1/ledger")["height"] >= height, "who came late has the chain")
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "base": node.ask("GET", "/api/v1/ledger")["base_height"], "height": height}
    finally:
        node.stop()


def one_validator(options, folder, say):
    say(f"one validator, {options.ledger_accounts:,} accounts, {options.transfers:,} transfers")
    with federation_of(options.mesh, 1, 0, folder, options.cache, IDLE) as nodes:
        found = load(options, nodes, options.ledger_accounts, options.transfers)
        time.sleep(options.idle_s)
        found["accounts"] = nodes[0].ask("GET", "/api/v1/ledger")["accounts"]
        found["memory_mb"] = nodes[0].memory_mb()
        say("somebody comes late")
        found["late"] = late_comer(options, str(folder / "late"), nodes[0])
    say("it starts again")
    found["restart"] = restart(options, nodes[0].home)
    say("its chain, checked without it")
    found["verification"] = verification(options, nodes[0].home)
    shutil.rmtree(folder)
    return found


def four_validators(options, folder, say):
    say(f"{VALIDATORS} validators, {options.shared_accounts:,} accounts, {options.shared_transfers:,} transfers")
    with federation_of(options.mesh, VALIDATORS, 0, folder, options.cache, IDLE) as nodes:
        finality = finality_s(nodes, options.finality_runs)
        found = load(options, nodes, options.shared_accounts, options.shared_transfers)
        found["finality_s"] = finality
        found["memory_mb"] = [node.memory_mb() for node in nodes]
    shutil.rmtree(folder)
    return found


def jobs(options, folder, say):
    """The same jobs in a mesh without a ledger and, for a fee, in one with it; they take turns."""
    program = folder / "hello.wat"
    program.write_text(WAT)
    fee = 1_000
    found = {"runs": {"without": [], "with": []}, "shards": {"without": [], "with": []}, "count": options.ledger_shards}
    # The fifth is no validator: it publishes. All others may be drawn, and have more at stake than a large job asks for.
    with (
        mesh_of(options.mesh, NODES, folder / "without", options.cache) as plain,
        federation_of(options.mesh, VALIDATORS, 1, folder / "with", options.cache, gift=300 * CREDIT) as paying,
    ):
        for node in paying:
            node.ask("POST", "/api/v1/ledger/transactions", {"kind": "bond", "amount": str(200 * CREDIT)})
        for node in paying:
            until(
                lambda node=node: node.ask("GET", "/api/v1/ledger/accounts/self")["attestation"],
                "the ledger knows what each node can run",
            )
        publishers = {"without": plain[0], "with": paying[-1]}

        def hello(kind):
            words = [options.mesh, "--home", publishers[kind].home, "run", str(program), "--verifiers", str(VERIFIERS), "--quiet"]
            if kind == "with":
                words += ["--fee", str(fee)]
            begin = time.perf_counter()
            done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode != 0 or done.stdout != b"hello\n":
                raise JobFailed(f"mesh run {kind} a ledger: {done.stdout!r} {done.stderr.decode()[-300:]}")
            return time.perf_counter() - begin

        for kind in publishers:
            for _ in range(5):  # so that each node has fetched, compiled and loaded it
                hello(kind)
        say(f"{options.ledger_runs} times mesh run with a fee, and without a ledger")
        for _ in range(options.ledger_runs):
            for kind, times in found["runs"].items():
                times.append(hello(kind))
        found["finality_s"] = finality_s(paying, options.finality_runs)
        for repetition in range(options.ledger_repetitions):
            for kind, times in found["shards"].items():
                say(f"{options.ledger_shards:,} shards {kind} a ledger, {repetition + 1} of {options.ledger_repetitions}")
                more = {"fee": fee} if kind == "with" else {}
                inputs = [f"{repetition} {i}" for i in range(options.ledger_shards)]
                times.append(many_shards(publishers[kind], NO_OP, inputs, VERIFIERS, **more)[1])
    shutil.rmtree(folder / "without")
    shutil.rmtree(folder / "with")
    return found


def database(options, folder, say, accounts):
    say(f"PostgreSQL, {accounts:,} accounts, beside it")
    try:
        return postgres.measure(accounts, options.postgres_seconds, folder / "postgres")
    except peers.Missing as why:
        say(f"PostgreSQL is not measured: {why}")
        return {"missing": str(why)}


def of_all(options, folder, say):
    """PostgreSQL before, between and after the validators: what slows the machine for a while slows both."""
    accounts = options.ledger_accounts
    figures = {"postgres": [database(options, folder, say, accounts)]}

    def part(name, measure, place):
        try:
            figures[name] = measure(options, place, say)
        except (RuntimeError, OSError, KeyError, subprocess.SubprocessError) as error:
            say(f"{name} FAILED: {error}")
            figures[name] = {"failed": str(error)[-300:]}

    part("one", one_validator, folder / "one")
    figures["postgres"].append(database(options, folder, say, accounts))
    part("four", four_validators, folder / "four")
    figures["postgres"].append(database(options, folder, say, accounts))
    part("jobs", jobs, folder)
    if "missing" not in figures["postgres"][0] and "missing" not in figures["postgres"][-1]:
        rates = [one["per_s"] for one in figures["postgres"] if "missing" not in one]
        figures["postgres_per_s"] = statistics.median(rates)
    return figures
