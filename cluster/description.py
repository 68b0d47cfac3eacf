"""One description of a cluster, from which every file in `cluster/ready` is rendered."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from cluster.providers import Aws, Compose, Dns, Gcp, Images, KubeRay, OnPrem, Pinned, Slurm
from search_spaces.errors import Problem, SpecificationError, refusal
from search_spaces.specification import Count, Name, Natural, Specification, Text
from search_spaces.yaml_loader import load_yaml

__all__ = [
    "Cluster",
    "Secret",
    "WorkerGroup",
    "default_cluster",
    "example_text",
    "load_cluster",
    "locked",
    "lock_text",
]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SCHEMES = ("s3", "gs")


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise ValueError("must be the name of an environment variable, such as AWS_ACCESS_KEY_ID")
    return name


def _no_password(uri: str) -> str:
    if "@" in urlsplit(uri).netloc and urlsplit(uri).password is not None:
        # Without the value, which would end up in a terminal or a log.
        raise refusal(
            (),
            "holds a password, and a description holds none. Leave it out; where it is to come from is named "
            "under `secrets`",
        )
    return uri


def _check_root(root: str) -> str:
    _no_password(root)
    scheme, separator, rest = root.partition("://")
    if separator and (scheme not in _SCHEMES or not rest.strip("/")):
        raise ValueError("must be s3://bucket/folder, gs://bucket/folder, or the path of a shared mount")
    if not separator and not re.fullmatch(r"/[\w./-]*[\w-]", root):
        raise ValueError("must be absolute: every node has to find the same folder under it")
    if separator and not re.fullmatch(r"[a-z0-9][a-z0-9._-]+(/[\w.=-]+)*/?", rest):
        raise ValueError("must be a bucket and folders of letters, digits, . _ = and -")
    return root.rstrip("/")


Variable = Annotated[str, Field(strict=True), AfterValidator(_check_variable)]
Uri = Annotated[str, Field(strict=True), AfterValidator(_no_password)]
Root = Annotated[str, Field(strict=True), AfterValidator(_check_root)]


class Versions(Specification):
    """What the image holds. They follow the lock of the images and cannot differ from it."""

    python: Text = Field(default_factory=lambda: locked("python"))
    ray: Text = Field(default_factory=lambda: locked("ray"))
    torch: Text = Field(default_factory=lambda: locked("torch"))

    @model_validator(mode="after")
    def _as_locked(self) -> Self:
        problems = [
            Problem(
                (name,),
                f"the images' lock has {locked(name)}. Leave the key out, or renew the lock with "
                "`python -m cluster.render.lock`",
                getattr(self, name),
            )
            for name in type(self).model_fields
            if getattr(self, name) != locked(name)
        ]
        if problems:
            raise SpecificationError(problems)
        return self


class Head(Specification):
    """The node with Ray's control plane and the driver; no pack trains on it."""

    cpus: Count = 4
    memory_gib: Count = 16
    disk_gib: Count = 100


class WorkerGroup(Specification):
    """Machines of one kind. Sizes are of one machine, in GiB."""

    name: Dns
    min_workers: Natural = 0
    max_workers: Count = 1
    cpus: Count
    memory_gib: Count
    shared_memory_gib: Count = 4
    """Of the memory, what /dev/shm may take: Ray's objects and datasets."""
    disk_gib: Count = 100
    gpus: Natural = 0
    gpu_type: Text | None = None
    preemptible: bool = False
    """Whether the machines can be taken away at any moment."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.min_workers > self.max_workers:
            raise refusal(
                ("min_workers",),
                f"more than max_workers ({self.max_workers}). Lower it, or raise max_workers",
                self.min_workers,
            )
        if self.shared_memory_gib >= self.memory_gib:
            raise refusal(
                ("shared_memory_gib",),
                f"is part of memory_gib ({self.memory_gib}) and must be less: a third of it is usual",
                self.shared_memory_gib,
            )
        if self.gpu_type is not None and self.gpus == 0:
            raise refusal(
                ("gpu_type",), "the group has no GPU. Set gpus, or leave gpu_type out", self.gpu_type
            )
        return self


class Mlflow(Specification):
    """The tracking server, and what is behind it. Only the server reaches the database."""

    uri: Uri = "http://mlflow:5000"
    database: Uri = "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    artifacts: Uri = "s3://mlflow"
    allowed_hosts: tuple[Text, ...] = ("localhost:*", "127.0.0.1:*", "mlflow:*")
    """What browsers and clients may call the server, with the port or `:*`; it refuses all else."""


class Secret(Specification):
    """An environment variable of head and workers, and where Kubernetes has its value."""

    variable: Variable
    kubernetes_secret: Dns
    key: Text | None = None
    """In that secret. None: the variable's name."""
    head_only: bool = False
    """Whether workers go without, as with MLflow's: only the driver speaks with it."""

    @model_validator(mode="before")
    @classmethod
    def _no_value(cls, data: Any) -> Any:
        if isinstance(data, dict) and "value" in data:
            raise refusal(
                ("value",),
                "a description holds no secret. Name the Kubernetes secret that has it (kubernetes_secret, key); "
                "elsewhere than on Kubernetes the variable is taken from a private file. The value that stood "
                "here should be changed where it is used",
            )
        return data


class Job(Specification):
    """The sweep that a RayJob or a Slurm job runs; with `sweep submit` it does not matter."""

    study: Text = "demo"
    name: Name | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """As in `sweep run`: with cuda, machines with cards are asked for where none is there yet."""
    retries: Natural = 3
    """How often a new cluster is made when one is lost; it goes on from what the store has."""
    max_hours: Count | None = None
    keep_minutes: Natural = 10
    """How long the cluster stays after the sweep, to look at."""

    @property
    def sweep_name(self) -> str:
        """The sweep's name."""
        return self.name or re.sub(r"[^a-z0-9._-]", "-", Path(self.study).stem.lower())


class Security(Specification):
    """Ray runs whatever code it is sent: these say who may send."""

    token: bool = True
    """Every call of Ray carries a token (RAY_AUTH_MODE=token)."""
    network_policy: bool = True
    """On Kubernetes, only the cluster's own pods and the operator reach it."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not self.token and not self.network_policy:
            raise refusal(
                (),
                "token and network_policy are both off, so that whoever reaches a port runs code on the cluster. "
                "Leave one of them on",
            )
        return self


class Cluster(Specification):
    """A cluster. Raises SpecificationError with every problem in it.

    `root` is s3://, gs://, or a mount that every node has under the same path.
    """

    name: Dns
    image: Pinned
    workers: tuple[WorkerGroup, ...] = Field(min_length=1)
    root: Root
    versions: Versions = Field(default_factory=Versions)
    head: Head = Head()
    mlflow: Mlflow | None = Mlflow()
    secrets: tuple[Secret, ...] = ()
    job: Job = Job()
    security: Security = Security()
    images: Images = Images()
    aws: Aws = Aws()
    gcp: Gcp = Gcp()
    onprem: OnPrem = OnPrem()
    slurm: Slurm = Slurm()
    kuberay: KubeRay = KubeRay()
    compose: Compose = Compose()

    @field_validator("workers")
    @classmethod
    def _names_differ(cls, groups: tuple[WorkerGroup, ...]) -> tuple[WorkerGroup, ...]:
        names = [group.name for group in groups]
        for name in names:
            if names.count(name) > 1 or name == "head":
                raise ValueError(
                    f"the group name {name!r} is taken. Names of groups differ, and none is head"
                )
        return groups

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        known = [group.name for group in self.workers]
        named: dict[tuple[str, str], Mapping[str, object]] = {
            ("aws", "instance_types"): self.aws.instance_types,
            ("gcp", "machine_types"): self.gcp.machine_types,
            ("gcp", "accelerators"): self.gcp.accelerators,
            ("slurm", "partitions"): self.slurm.partitions,
            ("slurm", "gres"): self.slurm.gres,
            ("kuberay", "node_selectors"): self.kuberay.node_selectors,
        }
        problems = [
            Problem((*path, group), f"no worker group has this name. Groups: {', '.join(known)}")
            for path, of_groups in named.items()
            for group in of_groups
            if group not in known
        ]
        if self.compose.listen not in LOOPBACK and not self.security.token:
            problems.append(
                Problem(
                    ("compose", "listen"),
                    "Ray's dashboard beyond this machine runs the code of whoever reaches it. Set security.token, "
                    "or listen on 127.0.0.1",
                    self.compose.listen,
                )
            )
        if problems:
            raise SpecificationError(problems)
        return self

    @property
    def on_mount(self) -> bool:
        """Whether the root is a folder rather than a bucket."""
        return "://" not in self.root


def load_cluster(file: str | Path | None = None) -> Cluster:
    """The description in a YAML file; None is the example's.

    Raises SpecificationError for an unreadable or wrong one.
    """
    if file is None:
        return default_cluster()
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot be read: {reason}. `sweep cluster example > cluster.yaml` writes one to begin with"
        raise SpecificationError([Problem((), message)], str(file)) from error
    return Cluster.parse(load_yaml(text, str(file)), str(file))


@functools.cache
def default_cluster() -> Cluster:
    """What is rendered without a description: the example."""
    return Cluster.parse(load_yaml(example_text(), "example.yaml"), "example.yaml")


def example_text() -> str:
    """A description with comments, to begin with."""
    return importlib.resources.files("cluster").joinpath("example.yaml").read_text(encoding="utf-8")


@functools.cache
def lock_text() -> str:
    """The lock of the images: every package with its version and hashes."""
    lock = importlib.resources.files("cluster") / "ready" / "docker" / "requirements.lock"
    return lock.read_text(encoding="utf-8")


def locked(name: str) -> str:
    """The version of a package, or of Python, in the images' lock."""
    pattern = r"^# Python ([\d.]+)," if name == "python" else rf"^{re.escape(name)}==([^\s;\\]+)"
    found = re.search(pattern, lock_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{name}: not in cluster/ready/docker/requirements.lock; renew it")
    return found[1]
