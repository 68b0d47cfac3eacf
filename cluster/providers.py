"""What only one kind of cluster is asked: AWS, GCP, machines of one's own, Slurm, KubeRay, compose."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from search_spaces.specification import Count, Natural, Specification, Text

__all__ = ["Aws", "Compose", "Dns", "Gcp", "Images", "KubeRay", "OnPrem", "Pinned", "Slurm", "Toleration"]

DNS_RULE = "1 to 40 of a-z 0-9 -, beginning with a letter and ending with a letter or a digit"


def _check_dns(name: str) -> str:
    # Kubernetes objects, hosts of a compose network and Slurm jobs are named with it.
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise ValueError(f"a name here is {DNS_RULE}")
    return name


def _check_pinned(image: str) -> str:
    found = re.fullmatch(
        r"(?P<name>[a-z0-9][\w.-]*(:\d+)?(/[\w.-]+)*?)(:(?P<tag>[\w][\w.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?",
        image,
    )
    if found is None:
        raise ValueError("must be an image, such as registry.example.org/rankscope:0.1.0")
    if found["digest"] is None and found["tag"] in (None, "latest"):
        raise ValueError(
            "the image has no version, so that nodes can get different ones. Add a tag other than latest "
            "(:0.1.0), or better a digest (@sha256:…)"
        )
    return image


def _check_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
            raise ValueError("must be an IP address or a host name") from None
    return text


def _check_limit(text: str) -> str:
    if not re.fullmatch(r"(\d+-)?\d{1,2}:\d{2}:\d{2}", text):
        raise ValueError("must be a Slurm time, HH:MM:SS or DAYS-HH:MM:SS, such as 1-00:00:00")
    return text


def _check_word(text: str) -> str:
    # Goes into #SBATCH lines, which no quoting protects.
    if not re.fullmatch(r"[\w.:/@+-]+", text):
        raise ValueError("must be letters, digits and . _ : / @ + - only")
    return text


Dns = Annotated[str, Field(strict=True), AfterValidator(_check_dns)]
Pinned = Annotated[str, Field(strict=True), AfterValidator(_check_pinned)]
Address = Annotated[str, Field(strict=True), AfterValidator(_check_address)]
TimeLimit = Annotated[str, Field(strict=True), AfterValidator(_check_limit)]
Word = Annotated[str, Field(strict=True), AfterValidator(_check_word)]


class Images(Specification):
    """The images of others that are used; add `@sha256:…` to each (docs/how-to/cluster-compose.md says how)."""

    python: Pinned = "python:3.11-slim-bookworm"
    postgres: Pinned = "postgres:17.6-bookworm"
    minio: Pinned = "minio/minio:RELEASE.2025-09-07T16-13-09Z"
    mc: Pinned = "minio/mc:RELEASE.2025-08-13T08-35-41Z"


class Aws(Specification):
    """EC2. Nodes reach the bucket through the instance profile: no key is on them."""

    region: Word = "us-west-2"
    availability_zones: tuple[Word, ...] = ()
    head_instance_type: Word = "m5.xlarge"
    instance_types: dict[str, Word] = Field(default_factory=dict)
    """By worker group."""
    image_id: Word | None = None
    """An AMI with Docker and, for GPUs, NVIDIA's container toolkit. None: the one Ray chooses for the region."""
    instance_profile: Word | None = None
    security_groups: tuple[Word, ...] = ()
    """None: Ray makes one that is open to SSH from everywhere, and to nothing else."""
    subnets: tuple[Word, ...] = ()
    ssh_user: Word = "ubuntu"


class Gcp(Specification):
    """Compute Engine. Nodes reach the bucket through their service account."""

    project: Word = "example-project"
    region: Word = "us-central1"
    zone: Word = "us-central1-a"
    head_machine_type: Word = "n2-standard-4"
    machine_types: dict[str, Word] = Field(default_factory=dict)
    """By worker group."""
    accelerators: dict[str, Word] = Field(default_factory=dict)
    """By worker group with GPUs, such as nvidia-l4."""
    source_image: Text = "projects/deeplearning-platform-release/global/images/family/common-cpu"
    gpu_source_image: Text | None = None
    """An image with Docker, the driver and NVIDIA's container toolkit; has to be given for groups with GPUs."""
    service_account: Text | None = None
    ssh_user: Word = "ubuntu"


class OnPrem(Specification):
    """Machines that are there, reached by SSH; Docker runs on each."""

    head: Address = "192.0.2.10"
    workers: tuple[Address, ...] = Field(default=("192.0.2.11", "192.0.2.12"), min_length=1)
    ssh_user: Word = "ray"
    ssh_private_key: Text = "~/.ssh/id_ed25519"


class Slurm(Specification):
    """One batch job that is a head and all workers, and that goes on after its time limit by being requeued."""

    account: Word | None = None
    partition: Word | None = None
    partitions: dict[str, Word] = Field(default_factory=dict)
    """By worker group, where it is another than `partition`."""
    time_limit: TimeLimit = "1-00:00:00"
    warn_seconds: Annotated[int, Field(strict=True, ge=60, le=3600)] = 180
    """How long before its time limit the job is told, to checkpoint and stop."""
    gres: dict[str, Word] = Field(default_factory=dict)
    """Name of the GPU in this Slurm's configuration by worker group, such as a100. None: any GPU."""
    modules: tuple[Word, ...] = ()
    environment: Text = "$HOME/rankscope/.venv"
    """The virtual environment with Rankscope, on a file system that all nodes see."""
    container: Text | None = None
    """An Apptainer image to run in instead."""
    port: Annotated[int, Field(strict=True, ge=1024, le=50000)] = 20000
    """From here on ports are taken, by the job's number, so that two jobs on a node do not meet."""


class Toleration(Specification):
    """What Kubernetes calls so: a pod that has it may go to nodes with that taint."""

    key: Text
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = "NoSchedule"


class KubeRay(Specification):
    """Kubernetes with the KubeRay operator, 1.5 or later (token authentication)."""

    namespace: Dns = "rankscope"
    operator_namespace: Dns = "kuberay-operator"
    """Its pods may reach the dashboard, which they ask for a job's status."""
    service_account: Dns | None = None
    """Bound to a cloud identity that may use the bucket. None: the default one, and keys from `secrets`."""
    node_selectors: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By worker group."""
    gpu_type_label: Text = "nvidia.com/gpu.product"
    """Label of nodes that `gpu_type` is compared with; on GKE cloud.google.com/gke-accelerator."""
    gpu_tolerations: tuple[Toleration, ...] = (Toleration(key="nvidia.com/gpu"),)
    preemptible_selector: dict[str, str] = Field(
        default_factory=lambda: {"cloud.google.com/gke-spot": "true"}
    )
    """Labels of nodes that can be taken away; Karpenter's is karpenter.sh/capacity-type: spot."""
    preemptible_tolerations: tuple[Toleration, ...] = (
        Toleration(key="cloud.google.com/gke-spot", operator="Equal", value="true"),
    )
    storage_class: Text | None = None
    """Of the claim behind a root that is a mount; it must let many nodes write (ReadWriteMany)."""
    storage_gib: Count = 500
    stop_seconds: Annotated[int, Field(strict=True, ge=30, le=3600)] = 120
    """What a pod has from SIGTERM to its end."""


class Compose(Specification):
    """One machine with Docker: a cluster to try things on, and MLflow for a team."""

    listen: Address = "127.0.0.1"
    """Address that ports are published on."""
    dashboard_port: Count = 8265
    mlflow_port: Count = 5000
    minio_port: Natural = 9000
    """0: not published; the containers reach it all the same."""
