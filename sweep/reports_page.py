"""A small web server for the reports of a root: one page with links, and the report files."""

from __future__ import annotations

import html
import io
import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from sweep.mirror import MirrorStatus, mirror_status, mirror_statuses, view_url
from sweep.serving.access import Access
from sweep.serving.accounts import Accounts
from sweep.store import Store
from sweep.store.places import is_local

__all__ = ["ReportsServer", "index_page"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}"
    "td,th{text-align:left;padding:.3rem 1.2rem .3rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#16181d;color:#e4e6eb}a{color:#8ab4f8}}"
)


class ReportsServer:
    """Serves `root/reports` in a thread for the time of a block; read only.

    `access` says who may come in, as for MLflow: with accounts, MLflow is asked whether it knows who comes. `mirrored`
    says that MLflow is a server that sweeps are mirrored to, and not the root's own.
    """

    def __init__(
        self,
        root: Path,
        host: str,
        port: int,
        mlflow_url: str,
        access: Access | None = None,
        mirrored: bool = False,
    ) -> None:
        access = access or Access.of(host)
        handler = partial(
            _Handler,
            root=root,
            mlflow_url=mlflow_url,
            access=access,
            accounts=Accounts(mlflow_url) if access.auth else None,
            mirrored=access if mirrored else None,
        )
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    def __enter__(self) -> ReportsServer:
        threading.Thread(target=self._server.serve_forever, name="reports", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def index_page(root: Path, mlflow_url: str, mirrored: Access | None = None) -> str:
    """The page of links: each sweep's curves and runs, and every file under `root/reports`, newest first.

    `mirrored` has the names of the server that sweeps are mirrored to; None is for the root's own MLflow.
    """
    folder = root / "reports"
    found = sorted(
        (path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    rows = [
        f'<tr><td><a href="{quote(path.relative_to(folder).as_posix())}">'
        f"{html.escape(path.relative_to(folder).as_posix())}</a>"
        f"</td><td>{time.strftime('%Y-%m-%d %H:%M', time.localtime(path.stat().st_mtime))}</td>"
        f"<td>{path.stat().st_size / 1e3:,.0f} kB</td></tr>"
        for path in found
    ]
    table = (
        f"<table><tr><th>Report</th><th>Written</th><th>Size</th></tr>{''.join(rows)}</table>"
        if rows
        else "<p>No reports yet: <code>sweep report NAME</code> writes one.</p>"
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Rankscope</title><style>{_STYLE}</style><h1>Rankscope</h1>"
        f"<h2>Sweeps</h2>{_sweeps(root, mlflow_url, mirrored)}<h2>Reports</h2>{table}"
        f'<p><a href="{html.escape(mlflow_url)}">MLflow</a></p></html>'
    )


def _sweeps(root: Path, mlflow_url: str, mirrored: Access | None) -> str:
    """A line a sweep: its curves and runs in MLflow, or the command that brings it there."""
    lines = []
    server = "" if mirrored is None else f" --mlflow-uri {mlflow_url}"
    for name in Store(root).sweeps():
        status = (
            mirror_status(root, name) if mirrored is None else _mirror_to(mirrored, mlflow_url, root, name)
        )
        experiment = status.experiment_id if status is not None else ""
        if experiment:
            links = (("curves", view_url(mlflow_url, experiment, curves=True)),
                     ("runs", view_url(mlflow_url, experiment, curves=False)))  # fmt: skip
            cells = " ".join(f'<td><a href="{html.escape(url)}">{word}</a></td>' for word, url in links)
        else:
            cells = (
                f"<td colspan=2>not in this MLflow: <code>sweep sync {html.escape(name + server)}</code></td>"
            )
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>" if lines else "<p>No sweeps yet.</p>"


def _mirror_to(access: Access, mlflow_url: str, root: Path, name: str) -> MirrorStatus | None:
    """The mirror into the server at `mlflow_url`, under whichever of its names."""
    port = urlsplit(mlflow_url).port
    for status in mirror_statuses(root, name):
        parts = urlsplit(status.tracking_uri)
        # Under https it is a proxy that was asked, on a port of its own.
        here = parts.scheme == "https" or (parts.scheme == "http" and parts.port == port)
        if here and access.lets_in(parts.netloc.rpartition("@")[2]):
            return status
    return None


class _Handler(SimpleHTTPRequestHandler):
    def __init__(
        self,
        *arguments: object,
        root: Path,
        mlflow_url: str,
        access: Access,
        accounts: Accounts | None,
        mirrored: Access | None,
    ) -> None:
        self._root, self._mlflow_url, self._mirrored = root, mlflow_url, mirrored
        self._access, self._accounts = access, accounts
        folder = os.fspath(root / "reports") if is_local(root) else os.devnull
        super().__init__(*arguments, directory=folder)  # type: ignore[arg-type]

    def parse_request(self) -> bool:
        # Before any method is carried out, HEAD as well as GET.
        return super().parse_request() and self._may_come_in()

    def _may_come_in(self) -> bool:
        if not self._access.lets_in(self.headers.get("Host", "")):
            self.send_error(403, "this server is not asked under that name; see --allowed-hosts")
            return False
        if self._accounts is None:
            return True
        try:
            if self._accounts.knows(self.headers.get("Authorization", "")):
                return True
        except OSError:
            self.send_error(503, "MLflow, which keeps the accounts, does not answer")
            return False
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="rankscope"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_GET(self) -> None:
        if self.path.split("?")[0] != "/":
            super().do_GET()
            return
        page = index_page(self._root, self._mlflow_as_asked(), self._mirrored).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _mlflow_as_asked(self) -> str:
        """MLflow's address under the name by which this page was asked for, so that links lead to it from afar."""
        parts = urlsplit(self._mlflow_url)
        asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if not asked or not parts.port:
            return self._mlflow_url
        name = f"[{asked}]" if ":" in asked else asked
        return parts._replace(netloc=f"{name}:{parts.port}").geturl()

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        if not is_local(self._root):
            return self._send_from_a_bucket()
        # A link in the folder must not open the rest of the disk to whoever can reach the port.
        folder = (self._root / "reports").resolve()
        if not Path(self.translate_path(self.path)).resolve().is_relative_to(folder):
            self.send_error(404)
            return None
        return super().send_head()

    def _send_from_a_bucket(self) -> io.BytesIO | None:
        relative = Path(unquote(self.path.split("?")[0]).lstrip("/"))
        try:
            if ".." in relative.parts or not relative.parts or _hidden(relative):
                raise FileNotFoundError
            content = self._root.joinpath("reports", *relative.parts).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(relative.name))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        # The index page lists what there is; folders are not for browsing.
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        return


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
