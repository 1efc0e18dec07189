"""Content that no connected peer tells of is found through the mesh's DHT; what is not for everybody is not."""

import unittest

from meshes import Case, Node, raw_cid, until

OPEN = b"what everybody may have" * 1000
NEAR = b"what the neighbours may have" * 1000


class Dht(Case):
    def node(self, name, joins, shares=None):
        flags = ["--slots", "1"]
        if shares:
            settings = self.folder / f"{name}.toml"
            tables = (f'[[share]]\npath = "{path}"\nvisibility = "{visibility}"\n' for path, visibility in shares)
            settings.write_text("".join(tables))
            flags += ["--config", str(settings)]
        return self.started(Node(self.folder / name, joins, flags))

    def share(self, name, content):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "file.bin").write_bytes(content)
        return folder

    def query(self, node, content):
        return node.ask("GET", f"/api/v1/query/asset?cid={raw_cid(content)}")

    def test_content_is_found_by_its_cid_where_only_a_bootstrap_node_is_known(self):
        bootstrap = self.node("bootstrap", [])
        shares = [(self.share("open", OPEN), "everybody"), (self.share("near", NEAR), "lan")]
        holder = self.node("holder", [bootstrap.address], shares)
        until(lambda: holder.ask("GET", "/api/v1/node")["dht"] == {"roots": 1, "announced": 1, "left_out": 0}, "the one root is told")
        self.assertIn("1 of 1 roots", holder.mesh("doctor").decode())
        holder.end()  # So that nobody hears of it from the holder itself.

        seeker = self.node("seeker", [bootstrap.address])
        until(lambda: any(peer["connected"] and peer["agent"] for peer in seeker.ask("GET", "/api/v1/peers")), "the seeker has joined")
        answer = until(lambda: (found := self.query(seeker, OPEN))["found"] and found, "the DHT names the holder")
        self.assertEqual((answer["source"], answer["peerId"], answer["complete"]), ("dht", holder.peer, True))
        self.assertNotIn("assetInfo", answer)
        holding = answer["holdings"][0]
        self.assertEqual((holding["source"], holding["peer"]), ("dht", holder.peer))
        self.assertEqual((holding["asset"]["cid"], holding["asset"]["bytes"], holding["asset"]["path"]), (raw_cid(OPEN), None, None))
        self.assertIn(holder.short, seeker.mesh("assets", "find", raw_cid(OPEN)).decode())

        # What is for the neighbours was told to nobody, and neither was what does not exist.
        for content in (NEAR, b"what nobody has"):
            answer = self.query(seeker, content)
            self.assertEqual((answer["found"], answer["source"]), (False, "none"))
            self.assertRegex(answer["dht"], r"nobody in the DHT has told of it either \(\d+ peers answered\)")
            for command in ("find", "get"):
                with self.assertRaisesRegex(RuntimeError, "nobody in the DHT has told of it either"):
                    seeker.mesh("assets", command, raw_cid(content))

        # The holder is back, and tells anew where it is.
        holder = self.node("holder", [bootstrap.address], shares)
        copy = self.folder / "copy.bin"

        def got():
            try:
                seeker.mesh("assets", "get", raw_cid(OPEN), "-o", copy)
            except RuntimeError:
                return False
            return True

        until(got, "the content is fetched")
        self.assertEqual(copy.read_bytes(), OPEN)


if __name__ == "__main__":
    unittest.main()
