"""PostgreSQL with the durability that it comes with, as a peer of the ledger: transfers between two accounts a second."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

from peers import Missing

# As much work as a transfer is for the ledger: two balances, the sender's number, a row that stays. The lower account first,
# so that no two wait for each other.
SCHEMA = """
create table account (id bigint primary key, balance bigint not null check (balance >= 0), sequence bigint not null);
create table moved (payer bigint not null, payee bigint not null, amount bigint not null, at timestamptz not null);
insert into account select id, 1000000000, 0 from generate_series(1, {accounts}) as id;
vacuum analyze account;
checkpoint;
"""
TRANSFER = """
\\set payer random(1, {accounts})
\\set payee 1 + (:payer + random(0, {accounts} - 2)) % {accounts}
\\set amount random(1, 100)
\\set low least(:payer, :payee)
\\set high greatest(:payer, :payee)
\\set to_low case when :low = :payer then 0 - :amount else :amount end
\\set low_pays case when :low = :payer then 1 else 0 end
begin;
update account set balance = balance + :to_low, sequence = sequence + :low_pays where id = :low;
update account set balance = balance - :to_low, sequence = sequence + 1 - :low_pays where id = :high;
insert into moved values (:payer, :payee, :amount, now());
commit;
"""
CLIENTS = (8, 32)


def programs():
    """The folder of the newest server that is installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found and (initdb := shutil.which("initdb")):
        found = [Path(initdb).resolve().parent]
    if not found:
        raise Missing("there is no initdb: the package postgresql is not installed")
    return max(found, key=lambda path: [int(digits) for digits in path.parent.name.split(".") if digits.isdigit()])


def as_user(folder):
    """Words before a command: the server refuses to be root, and ends with this program."""
    words = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return words
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise Missing("there is no user postgres for the server to be") from None
    folder.parent.chmod(0o755)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [*words, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def run(user, program, words, text=None):
    """The program's output."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        [*user, str(program), *words], input=text, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        raise Missing(f"{program.name} failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    return done.stdout


@contextlib.contextmanager
def server(folder):
    """A new server that nobody reaches but by a socket in the folder; the words that come before its programs."""
    folder.mkdir()
    place, user = programs(), as_user(folder)
    data = folder / "data"
    run(user, place / "initdb", ["--pgdata", str(data), "--username", "bench", "--auth", "trust", "--no-instructions"])
    # fsync and synchronous_commit stay on. What else is set is what a server of this size would be given.
    settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "shared_buffers": "512MB", "max_wal_size": "4GB"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*user, str(place / "postgres"), "-D", str(data), *words], stdout=log, stderr=log)
    try:
        limit = time.monotonic() + 30
        ready = [*user, str(place / "pg_isready"), "--quiet", "--host", str(folder)]
        while subprocess.run(ready, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > limit:
                raise Missing(f"the server did not start: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.1)
        yield user, place
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def measure(accounts, seconds, folder):
    """Transfers a second with as many clients as gave the most, of CLIENTS; and with each of them."""
    folder = Path(folder)
    try:
        with server(folder) as (user, place):
            at = ["--host", str(folder), "--username", "bench"]

            def sql(text):
                words = [*at, "--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "postgres"]
                return run(user, place / "psql", words, text).strip()

            sql(SCHEMA.format(accounts=accounts))
            durable = {name: sql(f"show {name};") for name in ("fsync", "synchronous_commit")}
            if set(durable.values()) != {"on"}:
                raise Missing(f"it is not durable: {durable}")
            version = sql("show server_version;")
            script = folder / "transfer.sql"
            script.write_text(TRANSFER.format(accounts=accounts))
            script.chmod(0o644)
            found = {}
            for clients in CLIENTS:
                words = [*at, "--no-vacuum", "--protocol", "prepared", "--file", str(script), "--jobs", "2"]
                words += ["--client", str(clients), "--time", str(seconds), "postgres"]
                output = run(user, place / "pgbench", words)
                rates = [line.split()[2] for line in output.splitlines() if line.startswith("tps = ")]
                if len(rates) != 1:
                    raise Missing(f"pgbench says nothing of transactions a second: {output[-300:]}")
                found[str(clients)] = float(rates[0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    clients, best = max(found.items(), key=lambda item: item[1])
    return {"per_s": best, "clients": int(clients), "by_clients": found, "version": version}
