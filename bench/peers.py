"""Other task systems beside ours: installed as requirements.txt pins them, run where nothing but loopback can be
reached."""

import fcntl
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
NAMES = {"ray": "Ray", "hyperqueue": "HyperQueue", "pool": "multiprocessing.Pool"}


class Missing(Exception):
    """What stands in the way of a measurement, in one sentence."""


def python_of(cache):
    """The interpreter of a virtual environment with exactly what requirements.txt names; made once per version of
    it."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = Path(cache) / "bench" / f"venv-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            print(
                f"==> installing what bench/requirements.txt pins into {folder} (about 90 MB, once)",
                file=sys.stderr,
                flush=True,
            )
            for words in (
                [sys.executable, "-m", "venv", str(folder)],
                [
                    str(folder / "bin/python"),
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--require-hashes",
                    "--only-binary",
                    ":all:",
                    "-r",
                    str(REQUIREMENTS),
                ],
            ):
                done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
                if done.returncode != 0:
                    last = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()[-1]
                    raise Missing(f"`{' '.join(words[1:4])}` failed: {last}")
            (folder / "complete").touch()
    return str(folder / "bin/python")


def alone(command):
    """The command in network and process namespaces of its own: loopback only, and nothing outlives it."""
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("ip") is None:
        raise Missing("unshare (util-linux) and ip (iproute2) are needed to run it where only loopback is")
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    words = [
        unshare,
        *as_root,
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child=SIGKILL",
        "sh",
        "-c",
        'ip link set lo up && "$@"',
        "sh",
    ]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        raise Missing("this user may not make a network namespace, and it is not run outside one")
    return [*words, *command]


def measure(name, work, cache, folder):
    """The figures of peer_tasks.py for one system, started anew, and as "unwaited_cpu_s" the CPU time that its
    processes used beyond what is counted for this process' children. Raises Missing where it cannot be run here."""
    folder = Path(folder) / name[:3]  # short: Ray puts sockets below it
    folder.mkdir(exist_ok=True)
    kept = ("PATH", "HOME", "LANG", "LC_ALL")
    env = {key: os.environ[key] for key in kept if key in os.environ} | {
        "PYTHONPATH": str(HERE),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = alone([python_of(cache), str(HERE / "peer_tasks.py"), name])
    try:
        done = subprocess.run(
            command,
            input=json.dumps({**work, "folder": str(folder)}),
            capture_output=True,
            text=True,
            env=env,
            timeout=1800,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Missing("it did not end within half an hour") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode != 0:
        raise Missing(f"it failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    figures, now = json.loads(done.stdout), resource.getrusage(resource.RUSAGE_CHILDREN)
    counted = now.ru_utime + now.ru_stime - waited.ru_utime - waited.ru_stime
    return {**figures, "unwaited_cpu_s": max(0.0, figures.pop("cpu_s") - counted)}


def measure_part(script, part, work, folder):
    """The figures of one part of a script beside this one, with a folder of its own, or {"missing": why}
    where it cannot be run here, or {"failed": why}."""
    try:
        command = alone([sys.executable, str(HERE / script), part])
    except Missing as why:
        return {"missing": str(why)}
    place = Path(folder) / part
    place.mkdir()
    try:
        done = subprocess.run(
            command,
            input=json.dumps({**work, "folder": str(place)}),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=1800,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": "it did not end within half an hour"}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if done.returncode != 0:
        return {"failed": f"{(done.stderr.strip() or 'no words').splitlines()[-1][:300]}"}
    return json.loads(done.stdout)
