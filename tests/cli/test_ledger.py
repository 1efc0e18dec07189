"""The ledger as people and programs see it: wallet, ledger and federation commands and their routes, by real nodes on loopback. MESH names the
program. Amounts are compared as integers of micro-credits; nothing here depends on how many blocks there are."""

import json
import shutil
import signal
import sqlite3
import time
import unittest

from test_cli import Case

CREDIT = 1_000_000
FEE = 100
STRANGER = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
JSON = {"Content-Type": "application/json"}


class LedgerCase(Case):
    def found(self, name="town", *flags, home=None):
        result = self.mesh("federation", "found", name, "--json", *flags, home=home)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return json.loads(result.stdout)

    def json(self, *arguments, **more):
        result = self.mesh(*arguments, "--json", **more)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return json.loads(result.stdout)

    def done(self, *arguments, **more):
        result = self.mesh(*arguments, **more)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode().strip()

    def post(self, node, body):
        status, headers, text = node.request("/api/v1/ledger/transactions", "POST", body if isinstance(body, bytes) else json.dumps(body).encode(), headers=JSON)
        return status, headers["content-type"], json.loads(text)


class WithoutLedger(LedgerCase):
    def test_everything_says_that_there_is_none(self):
        node = self.node()
        for command in (["wallet"], ["wallet", "show"], ["wallet", "send", STRANGER, "1"], ["wallet", "history"], ["wallet", "rotate"], ["ledger", "head"], ["ledger", "block", "1"],
                        ["federation", "show"], ["federation", "members"], ["federation", "admit", STRANGER, "--roles", "member"]):
            self.refused(self.mesh(*command), 4, "no-ledger", "mesh federation found")
        document = json.loads(node.request("/openapi.json")[2])
        paths = [path for path in document["paths"] if path.startswith("/api/v1/ledger")]
        self.assertGreaterEqual(len(paths), 9)
        for path in paths:
            method = next(iter(document["paths"][path])).upper()
            status, headers, text = node.request(path.replace("{account}", "nobody").replace("{height}", "x").replace("{intent}", "x"), method, b"{}" if method == "POST" else None, headers=JSON if method == "POST" else {})
            self.assertEqual((status, headers["content-type"]), (404, "application/problem+json"), (path, text))
            self.assertEqual(json.loads(text)["code"], "no-ledger")

    def test_nothing_to_verify_or_export(self):
        self.refused(self.mesh("ledger", "verify"), 4, "no-ledger")
        self.refused(self.mesh("ledger", "export"), 4, "no-ledger")
        self.refused(self.mesh("ledger", "verify", "--car", self.folder / "nothing.car"), 4, "cannot be read")
        self.refused(self.mesh("ledger", "verify", "--car", self.file("x.car", "not a car")), 1)
        self.refused(self.mesh("ledger", "verify", "--car", self.file("empty.car", "")), 1, "cut-archive")
        self.refused(self.mesh("ledger", "verify", "--file", self.folder / "nothing.db"), 4)

    def test_usage(self):
        self.found()
        self.refused(self.mesh("wallet", "show"), 3, "no node is running")
        for command in (["wallet", "send", STRANGER], ["wallet", "bond"], ["ledger", "block"], ["ledger", "block", "0"], ["ledger", "block", "-1"],
                        ["federation", "admit", STRANGER], ["federation", "revoke", STRANGER], ["wallet", "bond", "1", "--timeout", "121"],
                        ["ledger", "verify", "--file", "a", "--car", "b"], ["wallet", "history", "--limit", "0"]):
            self.refused(self.mesh(*command), 2)
        # Before anybody is asked.
        for amount in ("x", "1.0000001", "-1", "1e3", ".5", "18446744073709.551616", ""):
            self.refused(self.mesh("wallet", "send", STRANGER, "--", amount), 2, "bad-amount")


class FederationOfOne(LedgerCase):
    def setUp(self):
        super().setUp()
        self.federation = self.found()
        self.start()

    def start(self):
        self.one = self.node()
        # It tells the ledger what it can verify, which costs a fee: what a test compares comes after that.
        limit = time.monotonic() + 60
        while (account := self.json("wallet", "show"))["attestation"] is None:
            self.assertLess(time.monotonic(), limit, "the node attests")
            time.sleep(0.05)
        self.own = account["account"]

    def balance(self, account="self"):
        return int(self.json("wallet", "show", *([] if account == "self" else [account]))["balance"])

    def test_credits_go_from_one_to_another(self):
        before = self.balance()
        self.assertFalse(self.json("wallet", "show", STRANGER)["exists"])
        cid = self.done("wallet", "send", STRANGER, "1.5", "--memo", "rent")
        self.assertTrue(cid.startswith("bafyrei"), cid)
        self.assertEqual(self.balance(), before - 1_500_000 - FEE)
        stranger = self.json("wallet", "show", STRANGER)
        self.assertEqual((stranger["balance"], stranger["exists"], stranger["member"]), ("1500000", True, None))
        self.assertRegex(self.done("wallet", "show", STRANGER), r"(?m)^balance +1\.5$")

        row = self.json("wallet", "history")[0]
        self.assertEqual((row["cid"], row["kind"], row["direction"]), (cid, "transfer", "out"))
        self.assertEqual(row["fields"], {"to": STRANGER, "amount": "1500000", "memo": "rent"})
        table = self.done("wallet", "history")
        self.assertIn("-1.5", table)
        self.assertIn("rent", table)
        row = self.json("wallet", "history", STRANGER)[0]
        self.assertEqual((row["cid"], row["direction"]), (cid, "in"))
        self.assertIn("+1.5", self.done("wallet", "history", STRANGER))
        self.assertEqual(self.done("wallet", "history", "-o", "name").splitlines()[0], cid)

        block = self.json("ledger", "block", row["height"])
        self.assertEqual(block["transactions"][row["number"]]["cid"], cid)
        self.assertEqual((block["signers"], block["proposer"]), ([self.own], self.own))
        self.refused(self.mesh("ledger", "block", block["height"] + 1), 4, "no-block")

        # It is the disk that remembers.
        self.assertEqual(self.one.stop(), 0)
        self.start()
        self.assertEqual(self.balance(STRANGER), 1_500_000)
        self.assertEqual(self.json("wallet", "history", STRANGER)[0]["cid"], cid)

    def test_bonds(self):
        account = self.json("wallet", "show")
        self.assertTrue(self.done("wallet", "bond", "2.000001"))
        self.assertEqual(int(self.json("wallet", "show")["bonded"]), int(account["bonded"]) + 2_000_001)
        self.assertTrue(self.done("wallet", "unbond", "2"))
        after = self.json("wallet", "show")
        self.assertEqual(int(after["bonded"]), int(account["bonded"]) + 1)
        self.assertEqual([one["amount"] for one in after["unbonding"]], ["2000000"])
        self.assertIn("2 from ", self.done("wallet", "show"))

    def test_what_the_ledger_refuses_is_named_and_costs_nothing(self):
        before = self.balance()
        self.refused(self.mesh("wallet", "send", STRANGER, "18446744073709.551615"), 5, "overdraft")
        self.refused(self.mesh("wallet", "unbond", "1000000"), 5, "overdraft")
        self.refused(self.mesh("wallet", "send", STRANGER, "0"), 2, "zero-amount")
        self.refused(self.mesh("wallet", "send", STRANGER, "0.000001"), 5, "balance-too-small")
        self.refused(self.mesh("wallet", "send", "did:web:example.org", "1"), 2, "bad-account")
        self.refused(self.mesh("wallet", "send", STRANGER, "1", "--memo", "x" * 129), 2, "text-too-long")
        self.refused(self.mesh("federation", "revoke", STRANGER, "--reason", "no"), 4, "not-a-member")
        self.refused(self.mesh("federation", "revoke", self.own, "--reason", "no"), 5, "last-steward")
        self.assertEqual(self.balance(), before)
        # And keeps nobody from going on.
        self.assertTrue(self.done("wallet", "send", STRANGER, "1"))

    def test_bodies_are_read_strictly(self):
        good = {"kind": "transfer", "to": STRANGER, "amount": "1000"}
        before = self.balance()
        for name, change in (("missing-field", {"kind": None}), ("missing-field", {"to": None}), ("missing-field", {"amount": None}), ("bad-kind", {"kind": "lock"}),
                             ("unknown-field", {"what": 1}), ("unknown-field", {"sequence": 0}), ("bad-amount", {"amount": -1}), ("bad-amount", {"amount": 1.5}),
                             ("bad-amount", {"amount": 1 << 64}), ("bad-amount", {"amount": str(1 << 64)}), ("bad-amount", {"amount": (1 << 53) + 1}),
                             ("bad-amount", {"amount": "1.5"}), ("bad-account", {"to": "nobody"}), ("bad-field", {"to": 7}), ("bad-field", {"wait": "soon"}),
                             ("bad-field", {"timeout_ms": 0}), ("bad-field", {"timeout_ms": 120_001}), ("zero-amount", {"amount": 0})):
            body = {key: value for key, value in {**good, **change}.items() if value is not None}
            status, kind, answer = self.post(self.one, body)
            self.assertEqual((status, kind, answer.get("code")), (400, "application/problem+json", name), (change, answer))
        for body in (b"", b"{", b"[]", b"7", b"[" * 100_000):
            self.assertEqual(self.post(self.one, body)[0], 400, body[:10])
        for octets in (b"", b"x", bytes(1000), bytes(1 << 19)):
            status, _, text = self.one.request("/api/v1/ledger/transactions", "POST", octets, headers={"Content-Type": "application/octet-stream"})
            self.assertIn(status, (400, 429), text)
            self.assertIn(json.loads(text)["code"], ("malformed", "transaction-too-large"))
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/vnd.ipld.car"):
            status = self.one.request("/api/v1/ledger/transactions", "POST", json.dumps(good).encode(), headers={"Content-Type": kind})[0]
            self.assertIn(status, (400, 403, 415), kind)
        self.assertEqual(self.balance(), before)
        status, _, answer = self.post(self.one, good)
        self.assertEqual((status, answer["status"]), (200, "final"))
        self.assertGreater(answer["height"], 0)

    def test_many_at_once_are_numbered_by_the_node(self):
        for _ in range(20):
            status, _, answer = self.post(self.one, {"kind": "transfer", "to": STRANGER, "amount": 1000, "wait": "waiting"})
            self.assertEqual((status, answer["status"], answer["height"]), (202, "waiting", None), answer)
        self.assertTrue(self.done("wallet", "send", STRANGER, "0.001"))  # Final only after those before it.
        self.assertEqual(self.balance(STRANGER), 21 * 1000)
        rows = self.json("wallet", "history", STRANGER, "--limit", "100")
        self.assertEqual(len(rows), 21)
        sequences = [row["sequence"] for row in rows]
        self.assertEqual(sequences, sorted(sequences, reverse=True))
        self.assertEqual(self.json("wallet", "history", STRANGER, "--limit", "3"), rows[:3])
        # A page at a time it is the same.
        paged, before = [], None
        while True:
            page = json.loads(self.one.request(f"/api/v1/ledger/accounts/{STRANGER}/history?limit=2" + (f"&before={before}" if before else ""))[2])
            self.assertLessEqual(len(page["transactions"]), 2)
            paged += page["transactions"]
            before = page["next"]
            if before is None:
                break
        self.assertEqual(paged, rows)

    def test_pages_of_blocks(self):
        for _ in range(3):
            self.done("wallet", "send", STRANGER, "0.001")
        head = self.json("ledger", "head")
        whole = json.loads(self.one.request("/api/v1/ledger/blocks?limit=100")[2])
        self.assertEqual([block["height"] for block in whole["blocks"]], list(range(head["durable_height"], 0, -1)))
        self.assertIsNone(whole["next"])
        self.assertEqual(whole["blocks"][0]["cid"], head["head"])
        self.assertEqual(whole["blocks"][0]["state_root"], head["state_root"])
        for newer, older in zip(whole["blocks"], whole["blocks"][1:]):
            self.assertEqual(newer["parents"], [older["cid"]])
        self.assertEqual(whole["blocks"][-1]["parents"], [self.federation["federation"]])
        page = json.loads(self.one.request(f"/api/v1/ledger/blocks?limit=1&before={head['durable_height']}")[2])
        self.assertEqual(page, {"blocks": [whole["blocks"][1]], "next": whole["blocks"][1]["height"] if whole["blocks"][1]["height"] > 1 else None})
        for query in ("limit=101", "limit=x", "before=-1", "what=1"):
            self.assertEqual(self.one.request(f"/api/v1/ledger/blocks?{query}")[0], 400, query)
        for query in ("before=x", "before=1.x", "before=.", "limit=1001"):
            self.assertEqual(self.one.request(f"/api/v1/ledger/accounts/self/history?{query}")[0], 400, query)
        self.assertEqual(self.one.request("/api/v1/ledger/blocks/0")[0], 400)
        self.assertEqual(self.one.request("/api/v1/ledger/blocks/head")[0], 400)
        self.assertEqual(self.one.request("/api/v1/ledger/accounts/nobody")[0], 400)
        self.assertEqual(self.one.request(f"/api/v1/ledger/escrows/{self.federation['federation']}")[0], 404)

    def test_members(self):
        shown = self.json("federation", "show")
        self.assertEqual((shown["name"], shown["cid"], shown["members"]), ("town", self.federation["federation"], 1))
        self.assertIn("this node", shown["validators"][0])
        cid = self.done("federation", "admit", STRANGER, "--roles", "worker,member", "--owner", "did:web:example.org", "--expires-height", "1000000")
        self.assertEqual(self.json("wallet", "history", STRANGER)[0]["cid"], cid)
        member = {row["account"]: row for row in self.json("federation", "members")}[STRANGER]
        self.assertEqual((member["roles"], member["in_force"], member["expires_height"], member["owner"], member["issuer"]), (["member", "worker"], True, 1_000_000, "did:web:example.org", self.own))
        self.assertIn("member,worker", self.done("federation", "members"))
        self.assertTrue(self.done("federation", "revoke", STRANGER, "--reason", "moved away"))
        member = {row["account"]: row for row in self.json("federation", "members")}[STRANGER]
        self.assertEqual((member["in_force"], member["revoked"]), (False, True))
        self.assertIn("revoked", self.done("wallet", "show", STRANGER))
        for roles in ("king", "member,member", "", "member,"):
            self.refused(self.mesh("federation", "admit", STRANGER, "--roles", roles), 2, "bad-roles")
        self.refused(self.mesh("federation", "admit", STRANGER, "--roles", "member", "--expires-height", "1"), 5, "credential-expired")
        page = json.loads(self.one.request("/api/v1/ledger/members?count=1")[2])
        self.assertEqual(len(page["members"]), 1)
        rest = json.loads(self.one.request(f"/api/v1/ledger/members?count=1&after={page['next']}")[2])
        self.assertEqual({page["members"][0]["account"], rest["members"][0]["account"]}, {self.own, STRANGER})
        self.assertIsNone(rest["next"])

    def test_forms(self):
        self.assertEqual(self.done("wallet", "show", "-o", "name"), self.json("wallet", "show")["peer"])
        self.assertIn("balance:", self.done("wallet", "show", "-o", "yaml"))
        self.assertIn("state_root ", self.done("wallet", "show", "-o", "wide"))
        self.assertNotIn("state_root", self.done("wallet", "show"))
        self.assertEqual(self.json("ledger", "head"), self.json("ledger"))
        answer = self.json("wallet", "send", STRANGER, "1")
        self.assertEqual(answer["status"], "final")
        self.assertTrue(json.loads(self.one.request("/api/v1/ledger/accounts/self?proof=1")[2])["proof"]["entry_proof"])
        self.assertIn("transfer", self.done("ledger", "block", answer["height"]))

    def test_a_chain_is_checked_without_a_node(self):
        for number in range(4):
            self.done("wallet", "send", STRANGER, f"1.{number}")
        head = self.json("ledger", "head")
        height = head["durable_height"]
        self.assertGreaterEqual(height, 4)

        def good(*source):
            report = self.json("ledger", "verify", *source)
            self.assertEqual((report["valid"], report["height"], report["head"], report["state_root"]), (True, height, head["head"], head["state_root"]))
            self.assertEqual(report["supply"], head["totals"]["supply"])
            return report

        def bad(at, *source, words=(), home=None):
            result = self.mesh("ledger", "verify", "--json", *source, home=home)
            self.assertEqual(result.returncode, 1, result)
            report = json.loads(result.stdout)
            self.assertEqual((report["valid"], report["problem"]["height"]), (False, at), report)
            self.assertEqual(report["height"], at - 1)
            self.assertIn(f"block {at}: ", result.stderr.decode())
            for word in words:
                self.assertIn(word, result.stderr.decode())
            self.refused(self.mesh("ledger", "verify", *source, home=home), 1, f"block {at}: ")

        self.assertGreaterEqual(good()["transactions"], 4)  # Beside the running node.
        car = self.folder / "whole.car"
        self.assertEqual(self.done("ledger", "export", "--car", car), str(car))
        self.assertEqual(self.one.stop(), 0)
        good()
        elsewhere = self.folder / "elsewhere"  # Where there is no federation.
        self.assertEqual(self.json("ledger", "verify", "--car", car, home=elsewhere)["state_root"], head["state_root"])
        good("--car", car)
        good("--file", self.home / "ledger.db")

        first, second = self.folder / "first.car", self.folder / "second.car"
        self.done("ledger", "export", "--car", first, "--to", "2")
        self.done("ledger", "export", "--car", second, "--from", "3")
        good("--car", first, "--car", second)
        bad(1, "--car", second, words=["missing-block"])
        bad(3, "--car", first, "--car", first, words=["repeated-block"])
        self.refused(self.mesh("ledger", "export", "--car", first, "--to", height + 1), 4, f"1 to {height}")
        self.refused(self.mesh("ledger", "export", "--car", self.folder / "no" / "such.car"), 1, "cannot be written")

        damaged = self.folder / "damaged.car"
        content = bytearray(car.read_bytes())
        content[-100] ^= 1
        damaged.write_bytes(content)
        bad(height, "--car", damaged)
        damaged.write_bytes(car.read_bytes()[:-100])
        bad(height, "--car", damaged, words=["cut-archive"])

        # A chain that was copied, and what becomes of it when somebody changes it.
        copied = self.folder / "copied"
        copied.mkdir()
        for name in ("ledger.db", "federation.cbor"):
            shutil.copy(self.home / name, copied / name)
        good("--file", copied / "ledger.db")
        with sqlite3.connect(copied / "ledger.db") as database:
            database.execute("UPDATE block SET certificate = (SELECT certificate FROM block WHERE height = 1) WHERE height = 3")
        bad(3, "--file", copied / "ledger.db")
        with sqlite3.connect(copied / "ledger.db") as database:
            database.execute("DELETE FROM block WHERE height = 2")
        bad(2, "--file", copied / "ledger.db")

        # Another federation's charter beside it.
        other = self.folder / "other"
        self.found("village", home=other)
        shutil.copy(other / "federation.cbor", copied / "federation.cbor")
        self.refused(self.mesh("ledger", "verify", "--file", copied / "ledger.db"), 1, "charter")


class TwoValidators(LedgerCase):
    def test_a_stalled_chain_says_not_final_yet(self):
        second = self.folder / "second"
        other = self.json("node", "id", home=second)["did"]
        self.found("town", "--founder", other)
        node = self.node()
        before = self.json("wallet", "show")["balance"]
        result = self.mesh("wallet", "send", STRANGER, "1", "--timeout", "1")
        self.assertEqual(result.returncode, 124, result.stderr.decode())
        self.assertIn("not final yet", result.stderr.decode())
        cid = result.stdout.decode().strip()
        self.assertTrue(cid.startswith("bafyrei"), cid)
        status, _, answer = self.post(node, {"kind": "bond", "amount": "1", "timeout_ms": 200})
        self.assertEqual((status, answer["status"], answer["height"]), (202, "waiting", None))
        self.assertNotEqual(answer["transaction"], cid)
        head = self.json("ledger", "head")
        self.assertEqual(head["height"], 0)
        self.assertGreaterEqual(head["waiting"], 2)
        self.assertEqual(len(head["validators"]), 2)
        self.assertEqual(self.json("wallet", "show")["balance"], before)
        self.assertEqual(self.json("wallet", "history"), [])
        self.assertEqual(self.done("wallet", "send", STRANGER, "1", "--detach")[:7], "bafyrei")
        report = self.json("ledger", "verify")
        self.assertEqual((report["valid"], report["height"]), (True, 0))
        self.assertEqual(node.stop(signal.SIGTERM), 0)


if __name__ == "__main__":
    unittest.main()
