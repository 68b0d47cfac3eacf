"""One machine with Docker: Ray's head and workers, MLflow on PostgreSQL, and MinIO for S3."""

from __future__ import annotations

import shlex
from typing import Any

from cluster.description import LOOPBACK, Cluster, WorkerGroup
from cluster.render.launcher import HOME
from cluster.render.pods import USER
from cluster.render.starting import DASHBOARD_PORT, GCS_PORT, OPEN_FILES, made_from
from cluster.render.templates import fill
from cluster.render.yaml_text import commented, yaml_text
from search_spaces.errors import Problem, SpecificationError

__all__ = ["render"]

MLFLOW_PORT, MINIO_PORT = 5000, 9000
_S3_CREDENTIALS = "/run/secrets/s3_credentials"
_SECRETS = (
    "ray_auth_token",
    "s3_credentials",
    "s3_user",
    "minio_root_user",
    "minio_root_password",
    "postgres_password",
    "mlflow_admin_password",
    "mlflow_session_key",
    "mlflow_credentials",
)


def render(cluster: Cluster) -> dict[str, str]:
    """`compose.yaml`, and `secrets.sh`, which makes the secrets that it reads.

    Raises SpecificationError for a root in gs://, which MinIO does not speak.
    """
    if cluster.root.startswith("gs://"):
        raise SpecificationError(
            [
                Problem(
                    ("root",),
                    "compose has MinIO, which is s3://. Give s3://bucket/folder or a mount",
                    cluster.root,
                )
            ]
        )
    if cluster.mlflow is None:
        raise SpecificationError(
            [Problem(("mlflow",), "compose serves one: leave the key out for its defaults", None)]
        )
    return {
        "compose.yaml": yaml_text(_compose(cluster), comment=_comment(cluster)),
        "secrets.sh": fill("secrets.sh.j2", comment=commented(made_from(cluster, "compose")), names=_SECRETS),
    }


def _comment(cluster: Cluster) -> str:
    beyond = (
        "Ports are published on this machine's loopback alone. Ray's dashboard and its Jobs API run the code of "
        "whoever has the token."
        if cluster.compose.listen in LOOPBACK
        else f"Ports are published on {cluster.compose.listen}: who reaches it reaches MLflow's login page and Ray's "
        "Jobs API, which runs the code of whoever has the token, over HTTP without encryption."
    )
    gpu = [group.name for group in cluster.workers if group.gpus]
    profiles = f"\nWith cards: docker compose --profile {gpu[0]} up --detach" if gpu else ""
    return (
        f"{made_from(cluster, 'compose')}\n\nBuild the image first (cluster/ready/docker/Dockerfile).\n"
        f"./secrets.sh, once; then docker compose up --detach{profiles}\n\n{beyond}"
    )


def _compose(cluster: Cluster) -> dict[str, Any]:
    services: dict[str, Any] = {"head": _head(cluster)}
    for group in cluster.workers:
        if group.max_workers:
            services[f"worker-{group.name}"] = _worker(cluster, group)
    services |= {
        "mlflow": _mlflow(cluster),
        "postgres": _postgres(cluster),
        "minio": _minio(cluster),
        "minio-volume": _minio_volume(cluster),
        "buckets": _buckets(cluster),
    }
    return {
        "name": cluster.name,
        "services": services,
        "volumes": {"postgres": {}, "minio": {}},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in _SECRETS},
        "configs": {"mlflow_auth": {"content": _mlflow_auth(cluster)}},
    }


def _ours(cluster: Cluster) -> dict[str, Any]:
    """A service in the project's own image."""
    return {"image": cluster.image, **_hardened()}


def _hardened() -> dict[str, Any]:
    return {
        "user": f"{USER}:{USER}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
    }


def _ray(cluster: Cluster, memory_gib: int, shared_memory_gib: int) -> dict[str, Any]:
    token = cluster.security.token
    environment = {
        "RAY_AUTH_MODE": "token" if token else "disabled",
        **({"RAY_AUTH_TOKEN_PATH": "/run/secrets/ray_auth_token"} if token else {}),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    needs: dict[str, Any] = {}
    if not cluster.on_mount:
        environment |= _s3(cluster)
        needs = {"buckets": {"condition": "service_completed_successfully"}}
    return {
        **_ours(cluster),
        "init": True,
        "mem_limit": f"{memory_gib}g",
        "shm_size": f"{shared_memory_gib}g",
        "ulimits": {"nofile": {"soft": OPEN_FILES, "hard": OPEN_FILES}},
        "environment": environment,
        "depends_on": needs,
        "secrets": [
            *(["ray_auth_token"] if token else []),
            *([] if cluster.on_mount else ["s3_credentials"]),
        ],
        **({"volumes": [f"{cluster.root}:{cluster.root}"]} if cluster.on_mount else {}),
        "stop_grace_period": "2m",
    }


def _head(cluster: Cluster) -> dict[str, Any]:
    size = cluster.head
    service = _ray(cluster, size.memory_gib, max(1, size.memory_gib // 4))
    # Only the head speaks with MLflow: the driver's mirror does.
    service["secrets"].append({"source": "mlflow_credentials", "target": f"{HOME}/.mlflow/credentials"})
    return {
        **service,
        "hostname": "head",
        "command": [
            *("ray", "start", "--head", "--block", f"--port={GCS_PORT}", "--num-cpus=0", "--num-gpus=0"),
            # In the containers' own network; what is published is below.
            *("--dashboard-host=0.0.0.0", f"--dashboard-port={DASHBOARD_PORT}"),
        ],
        "ports": [_published(cluster, cluster.compose.dashboard_port, DASHBOARD_PORT)],
        "healthcheck": _check("ray", "health-check", "--address", f"head:{GCS_PORT}"),
    }


def _worker(cluster: Cluster, group: WorkerGroup) -> dict[str, Any]:
    service = _ray(cluster, group.memory_gib, group.shared_memory_gib)
    service["depends_on"] = {**service["depends_on"], "head": {"condition": "service_healthy"}}
    deploy: dict[str, Any] = {"replicas": max(1, group.min_workers)}
    if group.gpus:
        device = {"driver": "nvidia", "count": group.gpus, "capabilities": ["gpu"]}
        deploy["resources"] = {"reservations": {"devices": [device]}}
        service["profiles"] = [group.name]
    return {
        **service,
        "command": [
            *("ray", "start", "--block", f"--address=head:{GCS_PORT}"),
            *(f"--num-cpus={group.cpus}", f"--num-gpus={group.gpus}"),
        ],
        "deploy": deploy,
    }


def _mlflow(cluster: Cluster) -> dict[str, Any]:
    mlflow = cluster.mlflow
    assert mlflow is not None
    server = shlex.join(
        [
            *("mlflow", "server", "--host", "0.0.0.0", "--port", str(MLFLOW_PORT)),
            *("--app-name", "basic-auth", "--allowed-hosts", ",".join(mlflow.allowed_hosts)),
            *("--artifacts-destination", mlflow.artifacts),
        ]
    )
    # Values go from files into this process's environment: no argument, which `ps` would show, holds one.
    script = (
        'PGPASSWORD="$$(cat /run/secrets/postgres_password)"\n'
        'MLFLOW_AUTH_ADMIN_PASSWORD="$$(cat /run/secrets/mlflow_admin_password)"\n'
        'MLFLOW_FLASK_SERVER_SECRET_KEY="$$(cat /run/secrets/mlflow_session_key)"\n'
        "export PGPASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY\n"
        f"exec {server}\n"
    )
    look = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{MLFLOW_PORT}/health', timeout=4)"
    return {
        **_ours(cluster),
        "command": ["bash", "-euc", script],
        "environment": {
            "MLFLOW_BACKEND_STORE_URI": mlflow.database,
            "MLFLOW_AUTH_CONFIG_PATH": "/etc/mlflow/auth.ini",
            **_s3(cluster),
        },
        "configs": [{"source": "mlflow_auth", "target": "/etc/mlflow/auth.ini"}],
        "secrets": ["postgres_password", "mlflow_admin_password", "mlflow_session_key", "s3_credentials"],
        "ports": [_published(cluster, cluster.compose.mlflow_port, MLFLOW_PORT)],
        "depends_on": {
            "postgres": {"condition": "service_healthy"},
            "buckets": {"condition": "service_completed_successfully"},
        },
        "healthcheck": _check("python", "-c", look),
    }


def _mlflow_auth(cluster: Cluster) -> str:
    assert cluster.mlflow is not None
    return (
        "[mlflow]\n"
        # Every user may read; who else may write is said in MLflow.
        "default_permission = READ\n"
        f"database_uri = {cluster.mlflow.database}\n"
        "admin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )


def _postgres(cluster: Cluster) -> dict[str, Any]:
    return {
        "image": cluster.images.postgres,
        **_hardened(),
        # The image's own user, whom its data folder belongs to.
        "user": "postgres",
        "environment": {
            "POSTGRES_USER": "mlflow",
            "POSTGRES_DB": "mlflow",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password",
            "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256",
        },
        "secrets": ["postgres_password"],
        "volumes": ["postgres:/var/lib/postgresql/data"],
        "healthcheck": _check("pg_isready", "--username=mlflow", "--dbname=mlflow"),
    }


def _minio(cluster: Cluster) -> dict[str, Any]:
    port = cluster.compose.minio_port
    return {
        "image": cluster.images.minio,
        **_hardened(),
        "command": ["server", "/srv/data"],
        "environment": {
            "MINIO_ROOT_USER_FILE": "/run/secrets/minio_root_user",
            "MINIO_ROOT_PASSWORD_FILE": "/run/secrets/minio_root_password",
            "MINIO_BROWSER": "off",
            "MC_CONFIG_DIR": "/tmp/mc",
        },
        "secrets": ["minio_root_user", "minio_root_password"],
        "volumes": ["minio:/srv/data"],
        **({"ports": [_published(cluster, port, MINIO_PORT)]} if port else {}),
        "depends_on": {"minio-volume": {"condition": "service_completed_successfully"}},
        "healthcheck": _check("mc", "ready", "local"),
    }


def _minio_volume(cluster: Cluster) -> dict[str, Any]:
    # An empty volume takes the owner of the folder that it is first mounted over, and MinIO's image has no such
    # folder: mounted here first, it belongs to the user that MinIO runs as.
    return {
        **_ours(cluster),
        "restart": "no",
        "network_mode": "none",
        "command": ["true"],
        "volumes": ["minio:/srv/data"],
    }


def _buckets(cluster: Cluster) -> dict[str, Any]:
    assert cluster.mlflow is not None
    buckets = dict.fromkeys(
        uri.removeprefix("s3://").split("/")[0]
        for uri in (cluster.root, cluster.mlflow.artifacts)
        if uri.startswith("s3://")
    )
    # mc reads names and passwords from its input where they are no arguments.
    script = "\n".join(
        [
            'cat /run/secrets/minio_root_user /run/secrets/minio_root_password | mc alias set store "$$STORE"',
            "mc admin user add store < /run/secrets/s3_user",
            'user="$$(head -n 1 /run/secrets/s3_user)"',
            'mc admin policy attach store readwrite --user "$$user" || true',
            *(f"mc mb --ignore-existing store/{bucket}" for bucket in buckets),
            "",
        ]
    )
    return {
        "image": cluster.images.mc,
        **_hardened(),
        "restart": "on-failure",
        "entrypoint": ["/bin/sh", "-euc", script],
        # mc keeps what it was told in its folder, which ends with the container.
        "environment": {"STORE": f"http://minio:{MINIO_PORT}", "MC_CONFIG_DIR": "/tmp/mc"},
        "secrets": ["minio_root_user", "minio_root_password", "s3_user"],
        "depends_on": {"minio": {"condition": "service_healthy"}},
    }


def _s3(cluster: Cluster) -> dict[str, str]:
    return {
        "AWS_SHARED_CREDENTIALS_FILE": _S3_CREDENTIALS,
        "AWS_ENDPOINT_URL": f"http://minio:{MINIO_PORT}",
        "MLFLOW_S3_ENDPOINT_URL": f"http://minio:{MINIO_PORT}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _published(cluster: Cluster, published: int, target: int) -> str:
    listen = cluster.compose.listen
    return f"{f'[{listen}]' if ':' in listen else listen}:{published}:{target}"


def _check(*command: str) -> dict[str, Any]:
    return {
        "test": ["CMD", *command],
        "interval": "15s",
        "timeout": "10s",
        "retries": 12,
        "start_period": "60s",
    }
