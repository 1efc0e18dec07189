"""The case `transfer`: runs transfer_tasks.py, each part where nothing but loopback and its own links can be reached."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import peers

HERE = Path(__file__).resolve().parent
PARTS = ("loopback", "transports", "small", "refresh", "large", "holders", "delay")


def measure(part, work, folder):
    """The figures of one part, or {"missing": why}."""
    try:
        command = peers.alone([sys.executable, str(HERE / "transfer_tasks.py"), part])
    except peers.Missing as why:
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
        return {"missing": "it did not end within half an hour"}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if done.returncode != 0:
        return {"missing": f"it failed: {(done.stderr.strip() or 'no words').splitlines()[-1][:300]}"}
    return json.loads(done.stdout)


def of_all(work, folder, say):
    """The figures of every part."""
    figures = {}
    for part in PARTS:
        say(f"files from one to another: {part}")
        figures[part] = measure(part, work, folder)
        if "missing" in figures[part]:
            say(f"{part} is not measured: {figures[part]['missing']}")
    return figures


