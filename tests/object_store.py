"""A real S3 interface on loopback (moto's server) behind a real HTTP proxy that misbehaves when told to.

`with ObjectStore() as store:` gives `store.root` (a URL), `store.env` (what processes need to reach it) and the
faults: `fail`, `away`, `hang`, `lose_replies`, `ignore_conditions`, `calm`. Everything runs in a process of its
own, so that it neither competes with the test for the interpreter nor stops with it; many nodes can reach it.
`python tests/object_store.py` runs one by hand and prints its addresses.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

BUCKET = "sweeps"
KEY, SECRET = "test-key", "test-secret-never-to-be-shown"
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


class ObjectStore:
    """The store in its own process. Faults end by themselves after their seconds; `calm` ends all of them."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._roots = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError("the object store did not start; see its error above")
        about = json.loads(said)
        self.endpoint, self._control = about["endpoint"], about["control"]
        self.env = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.root = f"s3://{BUCKET}/root"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def fresh_root(self) -> str:
        """A root with nothing below it."""
        self._roots += 1
        return f"s3://{BUCKET}/root-{os.getpid()}-{self._roots}"

    def fail(self, status: int, seconds: float, code: str | None = None) -> None:
        """Answer every request with `status` (503 as SlowDown unless a `code` is given), without passing it on."""
        self._tell(
            "fail",
            status=status,
            seconds=seconds,
            code=code or {503: "SlowDown"}.get(status, "InternalError"),
        )

    def fail_share(self, share: float, seconds: float) -> None:
        """Answer this share of the requests with 503 SlowDown."""
        self._tell("fail", status=503, seconds=seconds, code="SlowDown", share=share)

    def away(self, seconds: float) -> None:
        """Refuse connections."""
        self._tell("away", seconds=seconds)

    def hang(self, seconds: float) -> None:
        """Take requests and answer none of them until the time is over."""
        self._tell("hang", seconds=seconds)

    def lose_replies(self, count: int, method: str = "PUT") -> None:
        """Pass the next requests of a method on, and close the connection instead of answering."""
        self._tell("lose", count=count, method=method)

    def ignore_conditions(self, ignore: bool = True) -> None:
        """Drop If-None-Match from every request, as stores do that know no conditional writes."""
        self._tell("ignore", ignore=int(ignore))

    def calm(self) -> None:
        """End every fault."""
        self._tell("calm")

    def requests(self) -> int:
        """How many requests have come in."""
        return int(self._tell("requests")["requests"])

    def _tell(self, what: str, **given: Any) -> dict[str, Any]:
        query = urllib.parse.urlencode(given)
        with urllib.request.urlopen(f"{self._control}/{what}?{query}", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


class _Faults:
    """What is wrong at the moment; times are of the monotonic clock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests = 0
        self.ignore = False
        self.calm()

    def calm(self) -> None:
        self.fail_until = self.hang_until = self.away_until = 0.0
        self.status, self.code, self.share = 503, "SlowDown", 1.0
        self.lose, self.lose_method = 0, "PUT"
        self.ignore = False

    def failing(self) -> bool:
        if time.monotonic() >= self.fail_until:
            return False
        if self.share >= 1:
            return True
        with self.lock:
            self.drawn = (getattr(self, "drawn", 1) * 48271) % 2147483647
        return self.drawn / 2147483647 < self.share

    def loses(self, method: str) -> bool:
        with self.lock:
            if self.lose > 0 and method == self.lose_method:
                self.lose -= 1
                return True
        return False


def _proxy(faults: _Faults, moto: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            faults.requests += 1
            body = self._body()
            while time.monotonic() < faults.hang_until:
                time.sleep(0.02)
            if time.monotonic() < faults.away_until:
                self._hang_up()
            elif faults.failing():
                self._answer(faults.status, [("Content-Type", "application/xml")], self._error())
            else:
                status, headers, content = self._ask(body)
                if faults.loses(self.command):
                    self._hang_up()
                else:
                    self._answer(status, headers, content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815

        def _body(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                pieces = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            dropped = _HOP | {"expect"} | ({"if-none-match"} if faults.ignore else set())
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            asked = http.client.HTTPConnection("127.0.0.1", moto, timeout=60)
            try:
                asked.request(self.command, self.path, body, headers)
                answer = asked.getresponse()
                content = answer.read()
            finally:
                asked.close()
            size = [("Content-Length", answer.headers["Content-Length"])] if self.command == "HEAD" else []
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP]
            return answer.status, [*kept, *[(n, v) for n, v in size if v]], content

        def _error(self) -> bytes:
            said = "test says so"
            return f"<Error><Code>{faults.code}</Code><Message>{said}</Message></Error>".encode()

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass  # clients that went away


class _Front:
    """The proxy's listening socket, which is closed and opened again on the same port."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._handler = handler
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port = int(self._server.server_address[1])
        self._back = threading.Event()
        self._returns: threading.Thread | None = None
        self._serve()

    def close_for(self, seconds: float) -> None:
        self.open()
        self._server.shutdown()
        self._server.server_close()
        self._back.clear()

        def again() -> None:
            self._back.wait(seconds)
            self._server = _Server(("127.0.0.1", self.port), self._handler)
            self._serve()

        self._returns = threading.Thread(target=again, daemon=True)
        self._returns.start()

    def open(self) -> None:
        """End an absence."""
        self._back.set()
        if self._returns is not None:
            self._returns.join()

    def _serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()


def _control(faults: _Faults, front: _Front) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            what, _, query = self.path[1:].partition("?")
            given = dict(urllib.parse.parse_qsl(query))
            until = time.monotonic() + float(given.get("seconds", 0))
            if what == "fail":
                faults.status, faults.code = int(given["status"]), given["code"]
                faults.share, faults.fail_until = float(given.get("share", 1)), until
            elif what == "away":
                faults.away_until = until
                front.close_for(float(given["seconds"]))
            elif what == "hang":
                faults.hang_until = until
            elif what == "lose":
                faults.lose, faults.lose_method = int(given["count"]), given["method"]
            elif what == "ignore":
                faults.ignore = given["ignore"] == "1"
            elif what == "calm":
                faults.calm()
                front.open()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"requests": faults.requests}).encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    """Serve until standard input is closed: with the process that started this one."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    faults = _Faults()
    front = _Front(_proxy(faults, port))
    control = _Server(("127.0.0.1", 0), _control(faults, front))
    threading.Thread(target=control.serve_forever, daemon=True).start()
    made = http.client.HTTPConnection(host, port, timeout=60)
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request"}
    made.request("PUT", f"/{BUCKET}", headers=signed)
    made.getresponse().read()
    about = {
        "endpoint": f"http://127.0.0.1:{front.port}",
        "control": f"http://127.0.0.1:{control.server_address[1]}",
    }
    print(json.dumps(about), flush=True)
    while select.select([sys.stdin], [], [])[0] and os.read(0, 4096):
        pass


if __name__ == "__main__":
    main()
