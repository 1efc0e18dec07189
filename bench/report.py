"""Tells what a run found: the table, for people and for docs/bench.md, and the plot."""

import json
import statistics

import peers
import plot
from programs import KERNELS, NODES, SIMULATED_NODES, SIZES, VERIFIERS, WORDS


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
    return f"{value['median_us'] / scale:.1f} {unit}" + (
        f", p99 {value['p99_us'] / scale:.0f}" if "p99_us" in value else ""
    )


def rate(value):
    """The median a second, and from the slowest repetition to the fastest."""
    return f"{value['per_s']:,.0f}/s ({value['slowest_per_s']:,.0f} to {value['fastest_per_s']:,.0f})"


def as_ratio(value):
    return f"{value:.2f} x"


def rows_of_engine(engine, rows):
    ours, bare = engine["through_the_sandbox"], engine["bare_wasmtime"]
    rows.add(
        "fresh metered instance and call, sandbox",
        us(ours),
        "bare wasmtime " + us(bare),
        as_ratio(ours["median_us"] / bare["median_us"]),
        "at most 1.3 x",
    )
    for name, words in WORDS.items():
        if f"tiny_{name}_run" in engine:
            full = engine.get(f"tiny_full_{name}_run")
            rows.add(
                f"tiny {words}, run in the sandbox",
                us(engine[f"tiny_{name}_run"]),
                "full interpreter " + us(full) if full else "",
            )


def rows_of_fuel(fuel, rows):
    for name, words in KERNELS.items():
        on, off = fuel[f"{name}_metered"], fuel[f"{name}_unmetered"]
        rows.add(f"{words} with fuel", us(on), "without " + us(off), as_ratio(on["median_us"] / off["median_us"]))


def rows_of_network(network, rows):
    rows.add("64 bytes there and back, TCP", us(network["message_round_trip_tcp"]))
    rows.add("the same, QUIC", us(network["message_round_trip_quic"]))
    rows.add("gossip there and back, validated, TCP", us(network["gossip_round_trip_tcp"]))


def rows_of_job(job, rows):
    ray, alone = job["ray"], job["runs_in_the_sandbox"]
    if "missing" not in ray:
        rays = f"Ray's no-op, one at a time {ms(ray['no_op'])}; medians " + " and ".join(
            f"{value:.1f}" for value in ray["medians_ms"]
        )
    for name, words in WORDS.items():
        api, cli = job[name]["api"], job[name]["cli"]
        what = f"tiny {words}, {NODES} nodes, {VERIFIERS} verifiers"
        if name == "wasm" and "missing" in ray:
            rows.add(what + ", API", ms(api), "Ray is not measured", "", "at most 8 x")
        elif name == "wasm":
            rows.add(
                what + ", API", ms(api), rays, as_ratio(api["median_ms"] / ray["no_op"]["median_ms"]), "at most 8 x"
            )
        else:
            call = alone[f"tiny_{name}_run"]["median_us"] / 1e3
            floor = 2 * job["wasm"]["api"]["median_ms"] + call
            rows.add(
                what + ", API",
                ms(api),
                f"2 x wasm + the {words} call {floor:.1f} ms",
                as_ratio(api["median_ms"] / floor),
                "at most 1 x" if name == "python" else "",
            )
        more = cli["median_ms"] - api["median_ms"]
        rows.add(what + ", mesh run", ms(cli), "through the API " + ms(api), f"{more:+.1f} ms", "at most +10 ms")
    if "missing" in ray:
        rows.add("Ray's no-op, one at a time", "not measured", ray["missing"])
    rows.add("a command that asks nobody", ms(job["command"]))
    rows.add("a command that makes one request", ms(job["command_and_request"]))
    rows.add("4 KiB written and synced", ms(job["durable_write"]))
    memory = job["memory_after_mb"]
    rows.add(
        "memory of the publisher after these jobs", f"{memory['VmRSS']:.0f} MiB", f"peak {memory['VmHWM']:.0f} MiB"
    )


def rows_of_shards(shards, rows):
    def compared(case, kind, words, with_system, aim=""):
        value, missing = case[kind], shards["missing"].get(with_system)
        if missing:
            return rows.add(words, rate(value), f"{peers.NAMES[with_system]} is not measured", "", aim)
        other = case[with_system]
        return rows.add(
            words,
            rate(value),
            f"{peers.NAMES[with_system]} {rate(other)}",
            as_ratio(value["per_s"] / other["per_s"]),
            aim,
        )

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
            rows.add(
                f"{count}, {checked}",
                rate(case[kind]),
                f"plain loop / {runs} = {loop / runs:,.0f}/s",
                f"{100 * case[kind]['per_s'] * runs / loop:.0f} %",
                "at least 85 %" if (name, kind) == ("10ms", "verified") else "",
            )
        beside = ", ".join(f"{peers.NAMES[system]} {rate(case[system])}" for system in peers.NAMES if system in case)
        each = f"{statistics.median(case['cpu_ms_of_one']):.2f} ms of CPU time each"
        rows.add(f"{count} in a plain loop", rate(case["loop"]), each)
        rows.add(f"{count} elsewhere", "", beside)
    for system, why in shards["missing"].items():
        rows.add(peers.NAMES[system], "not measured", why)


def rows_of_start(start, rows):
    for name, words in {
        "new_home": "start to first API answer, new home",
        "known_home": "the same, known home",
    }.items():
        rows.add(words, ms(start[name]["first_api_answer"]), "", "", "under 300 ms")
    idle = start["idle_mb"]
    rows.add(
        "idle node, resident",
        f"{idle['VmRSS']:.0f} MiB",
        f"of it anonymous {idle['RssAnon']:.0f} MiB, peak {idle['VmHWM']:.0f} MiB",
        "",
        "under 60 MB",
    )


def rows_of_open(waiting, rows):
    for name, words in {
        "jobs": "memory of 1,000 open jobs of a shard",
        "shards": "memory of 1,000 open shards of one job",
    }.items():
        value = waiting[name]
        rows.add(
            words,
            f"{value['kib_each'] * 1000 / 1024:.1f} MiB",
            f"{value['count']:,} taken in {value['submitted_in_s']:.1f} s, "
            f"resident {value['after_mb']['VmRSS']:.0f} MiB",
        )


def rows_of_growth(growth, rows):
    for count, value in growth.items():
        words = f"a verified job of {int(count):,} shards"
        if "failed" in value:
            rows.add(words, "FAILED", value["failed"])
        else:
            rows.add(
                words,
                f"{value['count'] / value['per_s']:.2f} s",
                f"publisher grew by {value['publisher_grew_mb']:.1f} MiB, "
                f"another by at most {value['others_grew_mb']:.1f}",
                f"{1e6 / value['per_s']:.0f} us a shard",
            )


def rows_of_simulator(simulator, rows):
    if "missing" in simulator:
        return rows.add("simulator", "not measured", simulator["missing"])
    for nodes, value in simulator.items():
        if nodes == "faults":
            words = f"{SIMULATED_NODES} simulated nodes, every fault and kind of liar, half an hour of theirs"
        else:
            words = f"{int(nodes):,} simulated nodes, 20 jobs in a minute of theirs"
        if "missing" in value:
            rows.add(words, "not done", value["missing"])
            continue
        beside = f"{value['wall_s']:.1f} s, {value['events_per_s']:,.0f} events/s, {value['jobs_done']:.0f} jobs done"
        if nodes != "faults":
            beside += f"; a node and task {value['direct_kib']:.1f} KiB direct, {value['gossip_kib']:.1f} KiB gossip"
        if value["exit_code"] != 0:
            beside += f"; exit code {value['exit_code']}"
        memory = value["peak_mb"] * 1024 / (SIMULATED_NODES if nodes == "faults" else int(nodes))
        rows.add(words, f"{value['node_hours_per_s']:.1f} node-hours/s", beside, f"{memory:,.0f} KiB of memory a node")
    return None


def rows_of_ledger(found, rows):
    database = found.get("postgres_per_s")
    if database is None:
        why = next(one["missing"] for one in found["postgres"] if "missing" in one)
        rows.add("PostgreSQL", "not measured", why)
    else:
        each = ", ".join(f"{one['per_s']:,.0f}" if "per_s" in one else one["missing"] for one in found["postgres"])
        best = found["postgres"][0]
        beside_database = f"PostgreSQL {best['version'].split()[0]} {database:,.0f}/s (of {each})"
    for name, words, aim in (("one", "one validator", 8), ("four", "four validators", 2)):
        what = f"signed transfers finalised, {words}"
        value = found[name]
        if "failed" in value:
            rows.add(what, "FAILED", value["failed"])
            continue
        rate_of_it = f"{value['per_s']:,.0f}/s"
        if database is not None:
            rows.add(what, rate_of_it, beside_database, as_ratio(value["per_s"] / database), f"at least {aim} x")
        rows.add(
            what,
            rate_of_it,
            f"limit: each signature by each validator, {value['verify_us']:.1f} us with all cores at it "
            f"({value['verify_alone_us']:.1f} with one): {value['limit_per_s']:,.0f}/s",
            f"{100 * value['per_s'] / value['limit_per_s']:.0f} %",
            "at least 50 %",
        )
        spread, used = value["spread"], value["transfers"]
        rows.add(
            f"transfers that make accounts, {words}",
            f"{spread['count'] / spread['seconds']:,.0f}/s",
            f"{spread['count']:,} accounts; largest block {used['largest_block']:,}; the load took {used['cpu_s']:.1f} CPU s of "
            f"{used['seconds']:.1f} s",
        )
    if "failed" not in found["four"]:
        median = statistics.median(found["four"]["finality_s"]) * 1e3
        rows.add("from submission to finality, four validators", f"{median:.1f} ms", "one at a time", "", "at most 50 ms")
    if "failed" not in found["one"]:
        one = found["one"]
        chain = one["verification"]
        per_s = chain["transactions"] / chain["seconds"]
        core = 1e6 / one["verify_alone_us"]
        rows.add(
            f"mesh ledger verify, {chain['transactions']:,} transactions",
            f"{per_s:,.0f}/s",
            f"one core, signatures alone {core:,.0f}/s",
            f"{100 * per_s / core:.0f} %",
            "at least 20,000/s",
        )
        memory = one["memory_mb"]
        rows.add(
            f"a validator with {one['accounts']:,} accounts",
            f"{memory['VmRSS'] * 1.048576:,.0f} MB",
            f"peak {memory['VmHWM'] * 1.048576:,.0f} MB, anonymous {memory['RssAnon'] * 1.048576:,.0f} MB",
            "",
            "under 500 MB",
        )
        if "restart" in one and "late" in one:  # figures of earlier runs lack them
            again, late = one["restart"], one["late"]
            rows.add(
                f"start of that validator, {again['height']:,} blocks",
                f"{again['seconds']:.1f} s",
                f"its chain checked from the beginning {chain['seconds']:.1f} s",
                as_ratio(again["seconds"] / chain["seconds"]),
            )
            rows.add(
                f"who comes late has that chain, {late['height']:,} blocks",
                f"{late['seconds']:.1f} s",
                f"from a snapshot of height {late['base']:,}" if late["base"] else "block by block",
            )
    if "failed" in found["jobs"]:
        return rows.add("jobs with a fee", "FAILED", found["jobs"]["failed"])
    jobs = found["jobs"]
    with_it, without = (statistics.median(jobs["runs"][kind]) * 1e3 for kind in ("with", "without"))
    finality = statistics.median(jobs["finality_s"]) * 1e3
    floor = without + 3 * finality
    rows.add(
        f"mesh run with a fee, {VERIFIERS} verifiers, {NODES} nodes",
        f"{with_it:.0f} ms",
        f"without a ledger {without:.0f} ms + 3 x finality {finality:.1f} ms = {floor:.0f} ms",
        as_ratio(with_it / floor),
        "at most 1 x",
    )
    with_it, without = (statistics.median(jobs["shards"][kind]) for kind in ("with", "without"))
    return rows.add(
        f"a job of {jobs['count']:,} no-ops with a fee, {VERIFIERS} verifiers",
        f"{with_it:.2f} s",
        f"without a ledger {without:.2f} s",
        f"{100 * (with_it / without - 1):+.1f} %",
        "at most +5 %",
    )


COPIED = {
    "kubo": "Kubo, same layout",
    "stream": "bare libp2p stream",
    "tcp": "TCP",
    "rsync": "rsync",
    "curl": "curl over TLS",
    "aria2": "aria2 with checksum",
}


def part_of(figures, name, words, rows):
    """The figures of a part; where there are none, None, and the row that says why."""
    found = figures[name]
    for outcome, figure in (("missing", "not measured"), ("failed", "FAILED")):
        if outcome in found:
            rows.add(words, figure, found[outcome])
            return None
    return found


def row_of_transports(found, rows):
    """What the choice between TCP and QUIC comes to, beside either of them alone: the faster one, less a trial of the other."""
    missing = {name: runs[-1]["missing"] for name, runs in found.items() if name != "bytes" and "missing" in runs[-1]}
    words = f"{found['bytes'] >> 20} MiB over loopback, TCP or QUIC by choice"
    if missing:
        name, why = next(iter(missing.items()))
        return rows.add(words, "not measured", f"{name}: {why}")
    taken = {name: statistics.median(run["get"]["seconds"] for run in runs) for name, runs in found.items() if name != "bytes"}
    speed = {name: f"{found['bytes'] / seconds / 1e6:,.0f} MB/s" for name, seconds in taken.items()}
    by_quic = statistics.median(run["came_by"].get("quic", 0) / found["bytes"] for run in found["choice"])
    return rows.add(
        words,
        f"{speed['choice']}, {100 * by_quic:.0f} % by QUIC",
        f"TCP alone {speed['tcp']}, QUIC alone {speed['quic']}",
        f"{100 * min(taken['tcp'], taken['quic']) / taken['choice']:.0f} % of the faster",
    )


def rows_of_transfer(transfer, rows):
    def part(name, words):
        return part_of(transfer, name, words, rows)

    def seconds(runs, step):
        return [run[step]["seconds"] for run in runs if "missing" not in run]

    if loopback := part("loopback", "a file over loopback"):
        size, file = loopback["bytes"], f"{loopback['bytes'] >> 20} MiB over loopback"
        missing = {name: runs[-1]["missing"] for name, runs in loopback.items() if name != "bytes" and "missing" in runs[-1]}

        def speed(name, step="get"):
            taken = seconds(loopback[name], step)
            each = [run[step]["cpu_s"] for run in loopback[name] if "missing" not in run]
            return (
                f"{size / statistics.median(taken) / 1e6:,.0f} MB/s "
                f"({size / max(taken) / 1e6:,.0f} to {size / min(taken) / 1e6:,.0f}), "
                f"{statistics.median(each) / size * 1e9:.1f} CPU s/GB"
            )

        if "mesh" in missing:
            rows.add(file, "not measured", missing["mesh"])
        else:
            add, get = (statistics.median(seconds(loopback["mesh"], step)) for step in ("add", "get"))
            if "openssl" not in missing:
                openssl = statistics.median(seconds(loopback["openssl"], "get"))
                rows.add(
                    f"add {loopback['bytes'] >> 20} MiB: CID and SHA-256",
                    speed("mesh", "add"),
                    "openssl dgst -sha256 " + speed("openssl"),
                    f"{100 * openssl / add:.0f} %",
                    "at least 70 %",
                )
            if "kubo" not in missing:
                theirs = statistics.median(seconds(loopback["kubo"], "add"))
                rows.add("the same in Kubo", speed("kubo", "add"), "", as_ratio(theirs / add))
                theirs = statistics.median(seconds(loopback["kubo"], "get"))
                rows.add(f"get {file}", speed("mesh"), "Kubo " + speed("kubo"), as_ratio(theirs / get), "at least 5 x")
            if "stream" not in missing and "openssl" not in missing:
                floor = statistics.median(seconds(loopback["stream"], "get")) + openssl
                rows.add(
                    "the same",
                    f"{get:.2f} s",
                    f"bare libp2p stream + SHA-256 {floor:.2f} s",
                    as_ratio(get / floor),
                    f"at most {1 / 0.85:.2f} x",
                )
            peak = [max(run["peak_mb"][end] for run in loopback["mesh"]) for end in (0, 1)]
            rows.add("memory of both ends, peak", f"{peak[0]:.0f} and {peak[1]:.0f} MiB")
        for name, words in COPIED.items():
            rows.add(f"{words}, {file}", "not measured" if name in missing else speed(name), missing.get(name, ""))
    # Figures of earlier runs lack it.
    if "transports" in transfer and (found := part("transports", "TCP or QUIC by choice")):
        row_of_transports(found, rows)
    if small := part("small", "many small files"):
        words = f"{small['files']:,} small files"
        mesh, kubo = small["mesh"], small["kubo"]
        for step, what in (("add", "add"), ("get", "get and write")):
            ours = mesh[step]["seconds"]
            if "missing" in kubo:
                beside, ratio = f"Kubo is not measured: {kubo['missing']}", ""
            elif "more_than_s" in kubo[step]:
                limit = kubo[step]["more_than_s"]
                beside, ratio = f"Kubo was ended after {limit:.0f} s", f"more than {limit / ours:.1f} x"
            else:
                beside, ratio = f"Kubo {kubo[step]['seconds']:.1f} s", as_ratio(kubo[step]["seconds"] / ours)
            rows.add(f"{what} {words}", f"{ours:.1f} s", beside, ratio, "at least 5 x")
    if refresh := part("refresh", "a refresh"):
        ours = statistics.median(run["seconds"] for run in refresh["mesh"])
        find = statistics.median(run["seconds"] for run in refresh["find"])
        words = f"look again at {refresh['files']:,} unchanged files"
        rows.add(words, f"{ours:.2f} s", f"find {find:.2f} s", as_ratio(ours / find), "under 2 s")
    if large := part("large", "memory of a large transfer"):
        ends = [f"{value:.0f}" for value in large["mesh"]["peak_mb"]]
        words = f"memory of both ends of a transfer of {large['bytes'] >> 30} GiB, peak"
        rows.add(words, f"{ends[0]} and {ends[1]} MiB", f"get {large['mesh']['get']['seconds']:.1f} s", "", "under 150 MB")
    if holders := part("holders", "several holders"):
        one, four = (holders[count]["seconds"] for count in ("1", "4"))
        words = f"{holders['bytes'] >> 20} MiB from four holders at 100 Mbit/s each"
        rows.add(words, f"{four:.1f} s", f"from one {one:.1f} s", as_ratio(one / four), "at least 3.5 x")
    if delay := part("delay", "a link with delay"):
        ours = delay["bytes"] / delay["mesh"]["seconds"]
        iperf3 = statistics.median(delay["iperf3_bytes_per_s"])
        words = f"{delay['bytes'] >> 20} MiB with {delay['ping_ms']:.0f} ms there and back"
        rows.add(
            words,
            f"{ours / 1e6:,.0f} MB/s",
            "iperf3 before and after " + " and ".join(f"{value / 1e6:,.0f}" for value in delay["iperf3_bytes_per_s"]),
            f"{100 * ours / iperf3:.0f} %",
            "at least 80 %",
        )


def spread(value):
    return f"{value['median_ms']:.0f} ms, p99 {value['p99_ms']:.0f}, worst {value['worst_ms']:.0f}"


def rows_of_dashboard(dashboard, rows):
    def part(name, words):
        return part_of(dashboard, name, words, rows)

    if load := part("load", "the first page"):
        ours, plain = ([one["interactive_ms"] for one in load[name]] for name in ("dashboard", "plain"))
        rows.add(
            f"first page interactive, cold, {len(ours)} times",
            f"{statistics.median(ours):.0f} ms, worst {max(ours):.0f}",
            f"a page of one line from nginx {statistics.median(plain):.0f} ms, worst {max(plain):.0f}",
            as_ratio(statistics.median(ours) / statistics.median(plain)),
            "under 1,000 ms",
        )
        first, pages = load["dashboard"][-1], load["all_pages"]
        rows.add(
            "what the first page takes, compressed",
            f"{max(one['bytes'] for one in load['dashboard']) / 1000:.0f} kB",
            f"{first['requests']} answers; files of all pages but the editor {pages['bytes'] / 1000:.0f} kB",
            "",
            "at most 400 kB",
        )
    if events := part("events", "an event on the screen"):
        for name, words, aim in (
            ("rows", "from an event to its row on the screen", "at most 100 ms"),
            ("ends", "from a job's end to its word in the list", ""),
        ):
            found = events[name]
            beside = f"{found['count']:,} seen, {found['unseen']:,} never"
            if "events_per_s" in found:
                beside += f"; {found['events_per_s']:.0f} events/s"
            rows.add(words, spread(found), beside, "", aim)
    if frames := part("frames", "frames of a large job's page"):

        def frame_words(found):
            return f"{spread(found)}; {found['over_50_ms']:,} of {found['count']:,} over 50 ms"

        ours, plain = frames["dashboard"], frames["plain"]
        rows.add(
            f"frames of a job's page, {frames['shards']:,} shards, {ours['events_per_s']:.0f} events/s, scrolled",
            frame_words(ours),
            f"a page of as many lines without a script, {plain['events_per_s']:.0f} events/s: {frame_words(plain)}",
            as_ratio(ours["worst_ms"] / plain["worst_ms"]),
            "none over 50 ms at 100 events/s",
        )
    if http := part("http", "small JSON over HTTP"):

        def rate_words(runs):
            rates = [run["per_s"] for run in runs]
            busy = statistics.median(run["busy"] for run in runs)
            return f"{statistics.median(rates):,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f}), {100 * busy:.0f} % of a core"

        for name in ("addrs", "node"):
            found = http[name]
            each = {kind: statistics.median(run["per_cpu_s"] for run in found[kind]) for kind in ("mesh", "nginx")}
            rows.add(
                f"GET {found['path']}, {found['bytes']:,} bytes, one core",
                rate_words(found["mesh"]),
                f"the same bytes in a file, nginx {rate_words(found['nginx'])}",
                f"{as_ratio(each['mesh'] / each['nginx'])} for each core second",
                "at least 0.5 x" if name == "addrs" else "",
            )
    if sockets := part("sockets", "WebSockets"):
        before, after = sockets["before_mb"], sockets["after_mb"]
        grown = (after["VmRSS"] - before["VmRSS"]) * 1024 / sockets["count"]
        rows.add(
            f"a node with {sockets['count']:,} WebSockets",
            f"{after['VmHWM'] * 1.048576:,.0f} MB at most",
            f"before them {before['VmRSS'] * 1.048576:,.0f} MB; {grown:.1f} KiB each; "
            f"all have heard of a whole job after {1000 * sockets['heard_by_all_s']:.0f} ms",
            "",
            "under 200 MB",
        )


# Each case of run.py and what tells of it, in the order of the table.
TELL = {
    "engine": rows_of_engine,
    "fuel": rows_of_fuel,
    "network": rows_of_network,
    "job": rows_of_job,
    "shards": rows_of_shards,
    "start": rows_of_start,
    "open": rows_of_open,
    "growth": rows_of_growth,
    "simulator": rows_of_simulator,
    "ledger": rows_of_ledger,
    "transfer": rows_of_transfer,
    "dashboard": rows_of_dashboard,
}


def table_of(figures):
    """The rows of every case that was measured, the case first."""
    table = []
    for case, tell in TELL.items():
        found = figures.get(case)
        if found is None:
            continue
        rows = Rows()
        if "failed" in found:
            rows.add("", "FAILED", found["failed"])
        else:
            tell({key: value for key, value in found.items() if key != "run"}, rows)
        table += [(case, *row) for row in rows.rows]
    return table


def runs_of(figures):
    """When each case was run, of what, and how much of the machine others had."""
    for case in TELL:
        if case in figures:
            run = figures[case]["run"]
            yield (
                case,
                run["date"],
                run["commit"],
                f"{run['seconds']:.0f} s",
                f"{run['load_before']:.1f}",
                f"{run['others_percent']:.1f} %",
                f"{run['stolen_percent']:.1f} %",
            )


HEAD = ("case", "what", "median", "beside it, in the same run", "ratio", "aim")
RUNS_HEAD = ("case", "run on", "commit", "took", "load before", "taken by other processes", "by the host")


def caption(figures):
    runs = [figures[case]["run"] for case in TELL if case in figures]
    dates = sorted({run["date"] for run in runs})
    return (
        f"{figures['machine']['cores']} cores, {figures['machine']['processor']}, "
        f"{' and '.join(dates[:1] + dates[1:][-1:])}; "
        f"other processes took at most {max(run['others_percent'] for run in runs):.0f} % of the machine, "
        f"the host {max(run['stolen_percent'] for run in runs):.0f} %"
    )


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
            bars = {
                "verified" + more: (f"Meshwork, {VERIFIERS} verifiers", "verified"),
                "unverified" + more: ("Meshwork, unverified", "ours"),
                **{system: (called, "other") for system, called in peers.NAMES.items()},
                "loop": ("plain loop, one process", "floor"),
            }
            for key, (label, kind) in bars.items():
                if key in case:
                    panel.bar(label, case[key]["per_s"], rate(case[key]), kind)
    if job := good("job"):
        panel = plot.Panel(f"One small job: {NODES} nodes, {VERIFIERS} verifiers; the line ends at p99", "ms")
        panels.append(panel)
        for name, words in WORDS.items():
            for way, label in {"api": "API", "cli": "mesh run"}.items():
                value = job[name][way]
                panel.bar(
                    f"{words}, {label}", value["median_ms"], f"{value['median_ms']:.1f} ms", "verified", value["p99_ms"]
                )
        if "no_op" in job["ray"]:
            value = job["ray"]["no_op"]
            panel.bar(
                "Ray, a no-op, nothing verified",
                value["median_ms"],
                f"{value['median_ms']:.1f} ms",
                "other",
                value["p99_ms"],
            )
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
            if "per_s" in value:
                seconds = value["count"] / value["per_s"]
                words = f"{seconds:.2f} s; publisher +{value['publisher_grew_mb']:.0f} MiB"
                panel.bar(f"{int(count):,} shards", seconds, words, "verified")
    if (transfer := good("transfer")) and "mesh" in transfer["loopback"]:
        loopback = transfer["loopback"]
        panel = plot.Panel(f"A file of {loopback['bytes'] >> 20} MiB over loopback", "MB/s")
        panels.append(panel)
        for name, words in {"mesh": "Meshwork, each block checked", **COPIED}.items():
            if "missing" not in loopback[name][-1]:
                value = loopback["bytes"] / statistics.median(run["get"]["seconds"] for run in loopback[name]) / 1e6
                panel.bar(words, value, f"{value:,.0f} MB/s", "verified" if name == "mesh" else "other")
    if (dashboard := good("dashboard")) and "addrs" in dashboard["http"]:
        found = dashboard["http"]["addrs"]
        panel = plot.Panel(f"{found['bytes']} bytes of JSON over HTTP", "requests for each second of a core", logarithmic=False)
        panels.append(panel)
        for name, words in {"mesh": "Meshwork, made anew each time", "nginx": "nginx, from a file"}.items():
            value = statistics.median(run["per_cpu_s"] for run in found[name])
            panel.bar(words, value, f"{value:,.0f}/s", "ours" if name == "mesh" else "other")
    if simulator := good("simulator"):
        panel = plot.Panel("The simulator, 20 jobs in a minute of its nodes: what the run takes", "s")
        panels.append(panel)
        for nodes, value in simulator.items():
            if nodes.isdigit() and "wall_s" in value:
                words = f"{value['wall_s']:.1f} s; {value['peak_mb']:.0f} MiB"
                panel.bar(f"{int(nodes):,} nodes", value["wall_s"], words, "ours")
    return panels


MOMENTS = {
    "accepted": "accepted",
    "job.offer": "first offer",
    "job.award": "awarded",
    "job.committed": "committed",
    "job.drawn": "verifiers drawn",
    "job.shard": "verdict",
    "result": "result in hand",
}


def as_markdown(head, rows):
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def phases(figures):
    """Where the time of the tiny wasm goes, as Markdown; empty if it was not measured."""
    known = figures.get("job", {}).get("wasm", {}).get("moments_ms", {})
    moments = {words: known[key] for key, words in MOMENTS.items() if key in known}
    if not moments:
        return ""
    return "\n\nWhere the time of the tiny wasm goes (medians, milliseconds since the request):\n\n" + as_markdown(
        list(moments), [[f"{moment:.1f}" for moment in moments.values()]]
    )


def markdown(figures):
    machine = figures["machine"]
    return (
        f"{machine['cores']} cores, {machine['processor']}.\n\n{as_markdown(HEAD, table_of(figures))}"
        f"{phases(figures)}\n\n"
        f"When, of which commit, and what else the machine did:\n\n{as_markdown(RUNS_HEAD, runs_of(figures))}"
    )


def plain(figures):
    def columns(head, rows):
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        )

    return columns(HEAD, table_of(figures)) + "\n\n" + columns(RUNS_HEAD, list(runs_of(figures)))


def svg(figures):
    """The plot; empty of bars where none of the cases that it shows was measured."""
    return plot.svg(panels_of(figures), caption(figures))


BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of the figures -->"
PICTURE = "![Shards a second, latency of one job, cost of metering, growth with shards and with nodes](bench.svg)"


def into_docs(figures, folder):
    """Puts every case that did not fail in the place of the one before in bench.json, and the table and the plot of
    them all into bench.md and bench.svg. Raises RuntimeError where bench.md has no place for them."""
    kept = folder / "bench.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    if known.get("machine") != figures["machine"]:
        known = {}  # another machine's figures beside these would say nothing
    known |= {name: found for name, found in figures.items() if "failed" not in found}
    before, begin, rest = (folder / "bench.md").read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"bench.md has no lines {BEGIN} and {END}")
    kept.write_text(json.dumps(known, indent=2) + "\n")
    (folder / "bench.md").write_text(f"{before}{BEGIN}\n\n{PICTURE}\n\n{markdown(known)}\n\n{END}{after}")
    (folder / "bench.svg").write_text(svg(known))
