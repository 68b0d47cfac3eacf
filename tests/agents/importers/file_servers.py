"""Web servers of the standard library on loopback, with ranges and with mishaps, that count their requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sweep.ports import free_port


class Mishaps:
    """What a server does wrong, and what it was asked. Counts run down to 0."""

    def __init__(self) -> None:
        self.drop_after: int | None = None
        """Bytes of a body after which the connection breaks."""
        self.drops = 0
        self.busy = 0
        """How many requests are answered by HTTP 503."""
        self.ranges = True
        self.refuse: int | None = None
        """A status to answer everything with."""
        self.pace: Callable[[], None] = lambda: None
        self.asked: list[tuple[str, str, str]] = []
        """Method, path and range of every request."""
        self.lock = threading.Lock()

    def count(self, path: str, method: str = "GET") -> int:
        return sum(one[:2] == (method, path) for one in self.asked)


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, mishaps: Mishaps, *arguments: object, **named: object) -> None:
        self.mishaps = mishaps
        super().__init__(*arguments, **named)  # type: ignore[arg-type]

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        mishaps = self.mishaps
        with mishaps.lock:
            mishaps.asked.append((self.command, self.path, self.headers.get("Range", "")))
            busy = mishaps.busy > 0
            mishaps.busy -= busy
        if mishaps.refuse or busy:
            self.send_error(mishaps.refuse or 503)
            return
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            # Its own answers: an index page for a folder, a redirect to the name with a slash, 404.
            (super().do_GET if with_body else super().do_HEAD)()
            return
        size = path.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = 0, size - 1
        if wanted and mishaps.ranges:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            if first > last:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        with path.open("rb") as file:
            file.seek(first)
            body = file.read(last + 1 - first)
        self.send_header("Content-Length", str(len(body)))
        if path.suffix == ".gz":
            self.send_header("Content-Encoding", "gzip")  # as some servers do
        self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}-{size:x}"')
        self.end_headers()
        if not with_body:
            return
        mishaps.pace()
        with mishaps.lock:
            drop = mishaps.drops > 0 and mishaps.drop_after is not None and len(body) > mishaps.drop_after
            mishaps.drops -= drop
        self.wfile.write(body[: mishaps.drop_after] if drop else body)
        if drop:
            self.wfile.flush()
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A reader that was killed, or that hung up, is part of the tests."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Mishaps]]:
    """Serve a folder; gives the address and the server's mishaps."""
    mishaps = Mishaps()
    handler = partial(Handler, mishaps, directory=str(folder))
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", mishaps
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def guarded(behind: str) -> Iterator[str]:
    """The server at `behind` for those who bring the token that `/token` gives; HTTP 401 for others."""

    class Guard(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(200, b'{"access_token": "open-sesame", "token_type": "Bearer", "expires_in": 3600}')

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != "Bearer open-sesame":
                self._answer(401, b'{"error": {"code": 401, "message": "Anonymous caller has no access."}}')
                return
            passed = {name: self.headers[name] for name in ("Range",) if name in self.headers}
            try:
                with urlopen(Request(behind + self.path, headers=passed)) as answer:
                    self._answer(answer.status, answer.read(), answer.headers["Content-Type"])
            except HTTPError as error:
                self._answer(error.code, error.read())

        def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = Server(("127.0.0.1", 0), Guard)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """A port of loopback that nobody listens on."""
    return free_port()
