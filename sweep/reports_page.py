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
from urllib.parse import quote

from sweep.mirror import mirror_status, view_url
from sweep.store import Store

__all__ = ["ReportsServer", "index_page"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}"
    "td,th{text-align:left;padding:.3rem 1.2rem .3rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#16181d;color:#e4e6eb}a{color:#8ab4f8}}"
)


class ReportsServer:
    """Serves `root/reports` in a thread for the time of a block; read only."""

    def __init__(self, root: Path, host: str, port: int, mlflow_url: str) -> None:
        handler = partial(_Handler, root=root, mlflow_url=mlflow_url)
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.port}"

    def __enter__(self) -> ReportsServer:
        threading.Thread(target=self._server.serve_forever, name="reports", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def index_page(root: Path, mlflow_url: str) -> str:
    """The page of links: each sweep's curves and runs, and every file under `root/reports`, newest first."""
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
        f"<h2>Sweeps</h2>{_sweeps(root, mlflow_url)}<h2>Reports</h2>{table}"
        f'<p><a href="{html.escape(mlflow_url)}">MLflow</a></p></html>'
    )


def _sweeps(root: Path, mlflow_url: str) -> str:
    """A line a sweep: its curves and runs in MLflow, or the command that brings it there."""
    lines = []
    for name in Store(root).sweeps():
        experiment = mirror_status(root, name).experiment_id
        if experiment:
            links = (("curves", view_url(mlflow_url, experiment, curves=True)),
                     ("runs", view_url(mlflow_url, experiment, curves=False)))  # fmt: skip
            cells = " ".join(f'<td><a href="{html.escape(url)}">{word}</a></td>' for word, url in links)
        else:
            cells = f"<td colspan=2>not in this MLflow: <code>sweep sync {html.escape(name)}</code></td>"
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>" if lines else "<p>No sweeps yet.</p>"


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: object, root: Path, mlflow_url: str) -> None:
        self._root, self._mlflow_url = root, mlflow_url
        super().__init__(*arguments, directory=os.fspath(root / "reports"))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.split("?")[0] != "/":
            super().do_GET()
            return
        page = index_page(self._root, self._mlflow_url).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        # A link in the folder must not open the rest of the disk to whoever can reach the port.
        folder = (self._root / "reports").resolve()
        if not Path(self.translate_path(self.path)).resolve().is_relative_to(folder):
            self.send_error(404)
            return None
        return super().send_head()

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        # The index page lists what there is; folders are not for browsing.
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        return


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
