"""Who may use the API: every route of the node's own description, and the dashboard's files, with every method under foreign and own
Hosts, foreign and own Origins, from other sites and from none, with the token, a wrong one and none; and the events' WebSocket the same.

Only what is allowed gets past the door. What a request that may come in then comes to is other tests' business."""

import http.client
import itertools
import socket
import tempfile
import unittest
from pathlib import Path

from meshes import Node

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
UNDERSTOOD = METHODS[:5]
PUBLIC = ("/livez", "/readyz")
PAGES = ("/", "/index.html", "/jobs", "/jobs/of/some/depth")
NOWHERE = ("/api/v1/nothing", "/api", "/assets/gone.js", "/.git/config")
DOOR = (401, 403)


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.node = Node(Path(cls.folder.name) / "home", flags=("--slots", "1"))
        document = cls.node.ask("GET", "/openapi.json")
        cls.paths = {fill(path): {method.upper() for method in operations} for path, operations in document["paths"].items()}
        cls.port = int(cls.node.authority.rpartition(":")[2])

    @classmethod
    def tearDownClass(cls):
        cls.node.end()
        cls.folder.cleanup()

    def setUp(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.addCleanup(lambda: self.connection.close())

    def send(self, method, path, headers):
        body = b"{}" if method in ("POST", "PUT", "PATCH") else None
        for attempt in range(2):
            self.connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                self.connection.putheader(name, value)
            if body is not None:
                self.connection.putheader("Content-Type", "application/json")
                self.connection.putheader("Content-Length", str(len(body)))
            try:
                self.connection.endheaders(body)
                response = self.connection.getresponse()
                response.read()
                return response
            except (http.client.RemoteDisconnected, ConnectionError):
                # The node closes a connection after some refusals; what was asked on it then was not read.
                self.connection.close()
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def hosts(self):
        own = [f"127.0.0.1:{self.port}", f"localhost:{self.port}", f"LOCALHOST:{self.port}"]
        foreign = ["rebound.example", f"rebound.example:{self.port}", "127.0.0.1", f"127.0.0.1:{self.port + 1}", ""]
        return [(host, True) for host in own] + [(host, False) for host in foreign]

    def origins(self):
        own = [None, f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"]
        foreign = ["null", "https://elsewhere.example", f"https://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port + 1}", "http://localhost"]
        return [(origin, True) for origin in own] + [(origin, False) for origin in foreign]

    def sites(self):
        return [(None, True), ("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False), ("", False)]

    def tokens(self):
        token = self.node.token
        wrong = [None, "", token[:-1], token + "x", token.swapcase(), "x" * 5000]
        return [(token, True)] + [(value, False) for value in wrong]

    def headers(self, host, origin, site, token):
        headers = {"Host": host}
        if origin is not None:
            headers["Origin"] = origin
        if site is not None:
            headers["Sec-Fetch-Site"] = site
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def expect(self, path, method, host, origin, site, token):
        """Sends one request, and judges what came by the rules alone. Returns whether it got past the door."""
        response = self.send(method, path, self.headers(host[0], origin[0], site[0], token[0]))
        case = (method, path, host[0], origin[0], site[0], (token[0] or "")[:8], response.status)
        self.assertFalse(any(name.lower().startswith("access-control") for name, _ in response.getheaders()), case)
        if not host[1]:
            self.assertIn(response.status, (400, 403), case)
        elif not origin[1] or not site[1]:
            self.assertEqual(response.status, 403, case)
        elif method not in UNDERSTOOD:
            self.assertIn(response.status, (401, 405), case)
        elif method in ("GET", "HEAD") and (path in PAGES or path in PUBLIC):
            self.assertEqual(response.status, 200, case)
        elif not token[1]:
            # A token that is too long for a header is refused before anybody reads it.
            self.assertIn(response.status, (401, 431), case)
        else:
            self.assertNotIn(response.status, (401, 431), case)
            return True
        return False

    def test_every_route_by_every_way_in(self):
        good = (f"127.0.0.1:{self.port}", True), (None, True), (None, True), (self.node.token, True)
        count, inside = 0, 0
        for path in [*self.paths, *PAGES, *NOWHERE]:
            for method in METHODS:
                # Each way in against each other one, two at a time: what is wrong with one must not be made good by another.
                ways = [self.hosts(), self.origins(), self.sites(), self.tokens()]
                for first, second in itertools.combinations(range(4), 2):
                    for one, other in itertools.product(ways[first], ways[second]):
                        chosen = list(good)
                        chosen[first], chosen[second] = one, other
                        if all(way[1] for way in chosen) and method not in ("GET", "HEAD", "OPTIONS", "PATCH", "TRACE"):
                            continue  # These change things; below, once each.
                        inside += self.expect(path, method, *chosen)
                        count += 1
        self.assertGreater(count, 50_000)
        self.assertGreater(inside, len(self.paths))
        print(f"{count} requests, {inside} past the door", end=" ", flush=True)

    def test_a_method_that_a_route_does_not_take_is_named_as_such(self):
        for path, methods in self.paths.items():
            for method in set(UNDERSTOOD) - methods - {"HEAD"}:
                response = self.send(method, path, self.headers(f"127.0.0.1:{self.port}", None, None, self.node.token))
                self.assertIn(response.status, (404, 405), (method, path))
                if response.status == 405:
                    self.assertEqual(set(response.getheader("Allow").replace(",", " ").split()) & methods, methods, (method, path))

    def test_the_events_open_for_the_allowed_alone(self):
        opened = 0
        for host, origin, site, token in itertools.product(self.hosts(), self.origins(), self.sites(), self.tokens()):
            headers = self.headers(host[0], origin[0], site[0], None)
            offered = ["meshwork.v1"] + ([f"meshwork.token.{token[0]}"] if token[0] is not None else [])
            if token[0] is not None and len(token[0]) > 1000:
                continue
            headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": ", ".join(offered)}
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as link:
                link.sendall("GET /api/v1/events HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode() + b"\r\n")
                status = int(link.makefile("rb").readline().split()[1])
            allowed = host[1] and origin[1] and site[1] and token[1]
            opened += allowed
            if allowed:
                self.assertEqual(status, 101, headers)
            else:
                self.assertIn(status, (400, *DOOR), headers)
        self.assertEqual(opened, 3 * 3 * 3)

    def test_pages_may_not_be_framed_and_load_nothing_from_elsewhere(self):
        for path in PAGES:
            response = self.send("GET", path, {"Host": f"127.0.0.1:{self.port}"})
            policy = dict(part.strip().split(" ", 1) for part in response.getheader("Content-Security-Policy").split(";"))
            self.assertEqual(policy["frame-ancestors"], "'none'")
            self.assertEqual(policy["default-src"], "'self'")
            self.assertNotIn("script-src", policy)
            self.assertEqual(response.getheader("X-Frame-Options"), "DENY")
            for sources in policy.values():
                self.assertNotIn("http", sources)
                self.assertNotIn("*", sources)
                self.assertNotIn("unsafe-eval", sources)


def fill(path):
    """A path with something in place of what it leaves open."""
    for name, value in {"{height}": "1", "{account}": "self"}.items():
        path = path.replace(name, value)
    return "/".join("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku" if part.startswith("{") else part for part in path.split("/"))


if __name__ == "__main__":
    unittest.main()
