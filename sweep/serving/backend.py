"""The database behind an MLflow server. Its password travels in the environment and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sweep.errors import SweepError, UsageError
from sweep.settings import value_of

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["Backend"]

_FROM_ENVIRONMENT = "env:"
_ALLOWED = "postgresql://USER@HOST:PORT/DATABASE or sqlite:////FOLDER/FILE.db"
_PLACES_FOR_PASSWORDS = (
    "Leave it out and set PGPASSWORD or a line in ~/.pgpass; or put the whole address into a variable of the "
    "environment and give --backend env:ITS_NAME."
)
_DRIVER = "postgresql+psycopg2"
_CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Backend:
    """Where MLflow keeps runs: a PostgreSQL, or an SQLite file for one person.

    `url` never holds a password. MLflow gets that as libpq's PGPASSWORD, in the environment of its process, which
    only its owner and root can read; the command line and the logs of a process are for more people.
    """

    url: str
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: str) -> Backend:
        """The backend of an address given on a command line, or `env:NAME` for one in the environment.

        Raises:
            UsageError: not such an address, a password on the command line, or a driver that is missing.
        """
        named = text.removeprefix(_FROM_ENVIRONMENT) if text.startswith(_FROM_ENVIRONMENT) else None
        found = text if named is None else value_of(named)
        if not found:
            raise UsageError(
                f"--backend {text}: no variable {named!r} in the environment. Set it to {_ALLOWED}."
            )
        backend = cls.of_url(found, f"--backend {text}" if named is not None else "--backend")
        if named is None and backend.password is not None:
            raise UsageError(
                "--backend: it holds a password, which `ps` and the shell's history would show. "
                + _PLACES_FOR_PASSWORDS
            )
        return backend

    @classmethod
    def of_url(cls, url: str, what: str = "--backend") -> Backend:
        """The backend at `url`, its password put aside. Raises UsageError, which names it `what`."""
        from sqlalchemy import URL

        parsed = _parsed(url, what)
        if not parsed.drivername.startswith("postgresql"):
            return cls(url)
        if find_spec("psycopg2") is None:
            raise UsageError(
                f"{what}: PostgreSQL needs the package psycopg2: pip install 'rankscope[server]'."
            )
        password = parsed.password
        if password is None and isinstance(parsed.query.get("password"), str):
            password = str(parsed.query["password"])
        bare = URL.create(
            # By name: which driver `postgresql://` alone means has changed between versions of SQLAlchemy.
            _DRIVER,
            username=parsed.username,
            host=parsed.host,
            port=parsed.port,
            database=parsed.database,
            query={key: value for key, value in parsed.query.items() if key != "password"},
        )
        return cls(bare.render_as_string(), None if password is None else str(password))

    @property
    def is_postgresql(self) -> bool:
        """Whether it is a database server, for many at a time."""
        return self.url.startswith("postgresql")

    @property
    def shown(self) -> str:
        """The address as a person writes it."""
        return self.url.replace(_DRIVER, "postgresql", 1)

    @property
    def environment(self) -> dict[str, str]:
        """What `mlflow server` has to find in its environment."""
        secret = {} if self.password is None else {"PGPASSWORD": self.password}
        # An environment variable and no argument: a file's name may be nobody's business either.
        return {"MLFLOW_BACKEND_STORE_URI": self.url, **secret}

    def check(self) -> None:
        """Raise SweepError if a PostgreSQL does not let us in now: MLflow would try for minutes first."""
        if not self.is_postgresql:
            return
        import sqlalchemy

        options: dict[str, object] = {"connect_timeout": _CONNECT_SECONDS}
        if self.password is not None:
            options["password"] = self.password
        engine = sqlalchemy.create_engine(self.url, connect_args=options)
        try:
            engine.connect().close()
        except sqlalchemy.exc.SQLAlchemyError as error:
            # The driver's words alone, which have no password: SQLAlchemy adds a link to its manual.
            reason = " ".join(str(getattr(error, "orig", error)).split())
            raise SweepError(
                f"--backend {self.shown}: PostgreSQL does not let us in: {reason}. Is it running, and is there such "
                "a database (createdb -h HOST -U USER DATABASE) and user, with the password of PGPASSWORD or "
                "~/.pgpass?"
            ) from None
        finally:
            engine.dispose()


def _parsed(url: str, what: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    # Never the text itself in a message: it may hold a password.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UsageError(f"{what}: not the address of a database; give {_ALLOWED}.") from None
    scheme = parsed.drivername
    if scheme == "postgres":
        raise UsageError(f"{what}: a PostgreSQL's address begins with postgresql://, not postgres://.")
    if scheme not in ("postgresql", _DRIVER, "sqlite"):
        raise UsageError(f"{what}: {scheme}:// is not supported; give {_ALLOWED}.")
    if not parsed.database:
        raise UsageError(f"{what}: it names no database; give {_ALLOWED}.")
    return parsed
