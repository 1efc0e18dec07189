"""One other task system over the benchmark's work. usage: peer_tasks.py pool|ray|hyperqueue, with the work as JSON on
stdin.

The work: cores, folder, no_ops (how many at once), one_at_a_time (how many), and shards: for each name a count, a
prefix of the inputs and the first output that is right; module and compiled (for bench's `shard` command), mesh_bench.
What is absent or 0 is not measured. The system is started anew and warmed up; then each kind of work is done once, all
of it handed over at once, until the last answer is in hand. Prints one JSON object: seconds, and the CPU time of all
processes together. Run by peers.py inside namespaces that hold nothing but a loopback device."""

import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path


def no_op(_=None):
    return None


def process_id(_=None):
    return os.getpid()


def seconds_of(step):
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def cpu_s():
    """CPU time of every process of this namespace, and of those that they waited for."""
    ticks = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def warm_up(many_no_ops, count, workers, processes):
    """Hands over batches until every worker process has answered and two batches in a row took about as long."""
    limit = time.monotonic() + 60
    while workers is not None and len(set(workers(20 * processes))) < processes:
        if time.monotonic() > limit:
            raise RuntimeError(f"of {processes} worker processes not all answered within a minute")
    last = seconds_of(lambda: many_no_ops(count))
    for _ in range(10):
        now = seconds_of(lambda: many_no_ops(count))
        if abs(now - last) < last / 10:
            return
        last = now


def measured(work, many_no_ops, one_no_op, many_shards, no_ops, workers=None):
    """What the work asks for; many_shards returns the first output, and workers(n) the ids of the processes that did n
    calls."""
    figures = {}
    warm_up(many_no_ops, max(100, no_ops // 10), workers, work["cores"])
    if no_ops:
        figures["no_op"] = {"count": no_ops, "seconds": seconds_of(lambda: many_no_ops(no_ops))}
    if work.get("one_at_a_time"):
        figures["one_at_a_time_s"] = [seconds_of(one_no_op) for _ in range(work["one_at_a_time"])]
    for name, shards in work.get("shards", {}).items():
        inputs = [f"{shards['prefix']}{i}" for i in range(shards["count"])]
        many_shards(inputs[: 20 * work["cores"]])  # each process compiles the module
        begin = time.perf_counter()
        first = many_shards(inputs)
        figures[name] = {"count": len(inputs), "seconds": time.perf_counter() - begin}
        if first.hex() != shards["output"]:
            raise RuntimeError(f"the first shard of {name} gave {first.hex()}, not {shards['output']}")
    return {**figures, "cpu_s": cpu_s()}


def pool(work):
    import multiprocessing

    with multiprocessing.Pool(work["cores"]) as workers:

        def shards(inputs):
            import wasm_shard

            return workers.starmap(wasm_shard.run, [(work["module"], text) for text in inputs], chunksize=1)[0]

        return measured(
            work,
            lambda count: workers.map(no_op, range(count), chunksize=1),
            lambda: workers.apply(no_op),
            shards,
            work["no_ops"],
            lambda count: workers.map(process_id, range(count), chunksize=1),
        )


def ray(work):
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    import ray as system

    begin = time.perf_counter()
    system.init(
        num_cpus=work["cores"],
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        logging_level=logging.ERROR,
        object_store_memory=128 << 20,
        _temp_dir=work["folder"],
        log_to_driver=False,
    )
    started = time.perf_counter() - begin
    remote_no_op, remote_id = system.remote(no_op), system.remote(process_id)

    def shards(inputs):
        import wasm_shard

        remote = system.remote(wasm_shard.run)
        return system.get([remote.remote(work["module"], text) for text in inputs])[0]

    try:
        figures = measured(
            work,
            lambda count: system.get([remote_no_op.remote() for _ in range(count)]),
            lambda: system.get(remote_no_op.remote()),
            shards,
            work["no_ops"],
            lambda count: system.get([remote_id.remote() for _ in range(count)]),
        )
    finally:
        system.shutdown()
    return {**figures, "start_s": started}


def hyperqueue(work):
    """A process for each task. Its client asks for the state of a job once a second, so that a job's end is read from
    what the tasks leave: a file each."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    os.chdir(work["folder"])
    out = Path(work["folder"], "out")
    touch = shutil.which("touch")
    with LocalCluster(str(Path(work["folder"], "server")), WorkerConfig(cores=work["cores"])) as cluster:
        client = cluster.client()

        def run(commands):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            job = Job()
            for command in commands:
                job.program(command, stdout=None, stderr=None)
            client.submit(job)
            limit = time.monotonic() + 300
            while len(os.listdir(out)) < len(commands):
                if time.monotonic() > limit:
                    raise RuntimeError(f"{len(os.listdir(out))} of {len(commands)} tasks were done within five minutes")
                time.sleep(0.001)

        def no_ops(count):
            run([[touch, str(out / str(i))] for i in range(count)])

        def shards(inputs):
            run(
                [
                    [work["mesh_bench"], "shard", work["compiled"], text, str(out / str(i))]
                    for i, text in enumerate(inputs)
                ]
            )
            first, limit = out / "0", time.monotonic() + 10
            while not first.read_bytes() and time.monotonic() < limit:  # made, and not yet written
                time.sleep(0.001)
            return first.read_bytes()

        # It runs some hundred processes a second: a thousand say as much as ten thousand.
        few = {**work, "one_at_a_time": min(work.get("one_at_a_time", 0), 30)}
        return measured(few, no_ops, lambda: no_ops(1), shards, min(work["no_ops"], 1000))


if __name__ == "__main__":
    # What a system prints goes elsewhere: stdout is for the figures.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump({"pool": pool, "ray": ray, "hyperqueue": hyperqueue}[sys.argv[1]](json.load(sys.stdin)), results)
    results.close()
