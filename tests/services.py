"""A real PostgreSQL and a real S3 interface, started on loopback and gone with the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.ports import free_port

MISSING = "PostgreSQL is not installed (apt-get install postgresql)"


def postgres_programs() -> Path | None:
    """The folder with `initdb` and `postgres`, which Debian keeps off the PATH; None where there are none."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A PostgreSQL of its own, in a folder of its own, with the password `PASSWORD` for everyone.

    It refuses to run as root, so then it runs as `nobody`.
    """

    USER = "mlflow"
    PASSWORD = "a-p@ss%word/of:postgres"
    DATABASE = "mlflow"

    def __init__(self) -> None:
        programs = postgres_programs()
        if programs is None:
            raise FileNotFoundError(MISSING)
        self._programs = programs
        # Not below pytest's folders, which only their owner may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="rk-pg-", dir="/tmp"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self._folder, "nobody", "nogroup")
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        secret = self._folder / "password"
        secret.write_text(self.PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [
                *(self._programs / "initdb", "--pgdata", self._folder / "data", "--username", self.USER),
                *("--auth", "scram-sha-256", "--pwfile", secret, "--encoding", "UTF8", "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            **self._as,
        )
        self.start()
        self.sql(f"create database {self.DATABASE}", database="postgres")

    @property
    def url(self) -> str:
        """Without the password."""
        return f"postgresql://{self.USER}@127.0.0.1:{self.port}/{self.DATABASE}"

    @property
    def url_with_password(self) -> str:
        from urllib.parse import quote

        return self.url.replace("@", f":{quote(self.PASSWORD, safe='')}@", 1)

    def start(self, seconds: float = 60.0) -> None:
        """Start, and wait until it takes connections."""
        with open(self._folder / "output", "ab") as out:
            self._server = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"),
                ],
                stdout=out,
                stderr=out,
                cwd=self._folder,
                **self._as,
            )
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.sql("select 1", database="postgres")
                return
            except Exception:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    print((self._folder / "output").read_text(errors="replace"))
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """What `pg_ctl stop -m immediate` does: connections break, the next start recovers from the log."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            server.wait(60)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def sql(self, query: str, *values: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query, none for a command."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.USER,
            password=self.PASSWORD,
            dbname=database or self.DATABASE,
            connect_timeout=10,
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for the time of the block."""
    service = Postgres()
    try:
        yield service
    finally:
        service.remove()


@contextmanager
def s3(bucket: str = "sweeps") -> Iterator[dict[str, str]]:
    """An S3 interface with a bucket; yields the environment by which clients find and may use it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        url = f"http://{host}:{port}"
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing-secret",
        )
        client.create_bucket(Bucket=bucket)
        yield environment
    finally:
        server.stop()
