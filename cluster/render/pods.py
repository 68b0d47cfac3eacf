"""The pods of a KubeRay cluster: not root, no rights they do not need, secrets by reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.description import Cluster, Secret, WorkerGroup
from cluster.providers import Toleration
from cluster.render.network_policy import CLUSTER_LABEL
from cluster.render.starting import CLIENT_PORT, DASHBOARD_PORT, GCS_PORT, OPEN_FILES

__all__ = ["USER", "head_pod", "submitter_pod", "worker_pod"]

USER = 1000
"""The image's user and group."""

_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def head_pod(cluster: Cluster) -> dict[str, Any]:
    """The head's template."""
    size = cluster.head
    container = _container(cluster, "ray-head", size.cpus, size.memory_gib, size.disk_gib, cluster.secrets)
    container["ports"] = [
        {"containerPort": GCS_PORT, "name": "gcs"},
        {"containerPort": DASHBOARD_PORT, "name": "dashboard"},
        {"containerPort": CLIENT_PORT, "name": "client"},
    ]
    return _pod(cluster, container, shared_memory_gib=max(1, size.memory_gib // 4))


def worker_pod(cluster: Cluster, group: WorkerGroup) -> dict[str, Any]:
    """The template of a group."""
    secrets = [one for one in cluster.secrets if not one.head_only]
    container = _container(cluster, "ray-worker", group.cpus, group.memory_gib, group.disk_gib, secrets)
    settings = cluster.kuberay
    selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    if group.gpus:
        for kind in ("requests", "limits"):
            container["resources"][kind]["nvidia.com/gpu"] = str(group.gpus)
        tolerations.extend(settings.gpu_tolerations)
        if group.gpu_type is not None:
            selector[settings.gpu_type_label] = group.gpu_type
    if group.preemptible:
        selector |= settings.preemptible_selector
        tolerations.extend(settings.preemptible_tolerations)
    selector |= settings.node_selectors.get(group.name, {})
    pod = _pod(cluster, container, group.shared_memory_gib)
    # Packs have no business with Kubernetes; only the head's autoscaler has.
    pod["spec"]["automountServiceAccountToken"] = False
    if selector:
        pod["spec"]["nodeSelector"] = selector
    if tolerations:
        pod["spec"]["tolerations"] = [one.model_dump(exclude_none=True) for one in tolerations]
    return pod


def submitter_pod(cluster: Cluster) -> dict[str, Any]:
    """The template of the pod that hands a RayJob's entrypoint to the head; KubeRay gives it its command."""
    return {
        "metadata": {"labels": {CLUSTER_LABEL: cluster.name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER},
            "containers": [
                {
                    "name": "submitter",
                    "image": cluster.image,
                    "securityContext": _CONTAINER_SECURITY,
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "1Gi"},
                        "limits": {"cpu": "1", "memory": "1Gi"},
                    },
                }
            ],
        },
    }


def _container(
    cluster: Cluster, name: str, cpus: int, memory_gib: int, disk_gib: int, secrets: Sequence[Secret]
) -> dict[str, Any]:
    # Requests equal limits: Ray counts the limits, and what it counts is there.
    resources = {"cpu": str(cpus), "memory": f"{memory_gib}Gi", "ephemeral-storage": f"{disk_gib}Gi"}
    variables: list[dict[str, Any]] = [
        {"name": "RAY_START_ULIMIT_OPEN_FILES", "value": str(OPEN_FILES)},
        {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"},
        # Names of secrets, never their values: Kubernetes fills them in where the pod runs.
        *(
            {
                "name": secret.variable,
                "valueFrom": {
                    "secretKeyRef": {
                        "name": secret.kubernetes_secret,
                        "key": secret.key or secret.variable,
                    }
                },
            }
            for secret in secrets
        ),
    ]
    mounts = [{"name": "shared-memory", "mountPath": "/dev/shm"}, {"name": "ray", "mountPath": "/tmp/ray"}]
    if cluster.on_mount:
        mounts.append({"name": "root", "mountPath": cluster.root})
    return {
        "name": name,
        "image": cluster.image,
        "securityContext": _CONTAINER_SECURITY,
        "env": variables,
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "volumeMounts": mounts,
    }


def _pod(cluster: Cluster, container: dict[str, Any], shared_memory_gib: int) -> dict[str, Any]:
    settings = cluster.kuberay
    volumes: list[dict[str, Any]] = [
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shared_memory_gib}Gi"}},
        {"name": "ray", "emptyDir": {}},
    ]
    if cluster.on_mount:
        volumes.append({"name": "root", "persistentVolumeClaim": {"claimName": f"{cluster.name}-root"}})
    spec: dict[str, Any] = {
        **({"serviceAccountName": settings.service_account} if settings.service_account else {}),
        # Between SIGTERM and the end. What counts is the protocol's cadence of checkpoints: a node can go without.
        "terminationGracePeriodSeconds": settings.stop_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }
    return {"metadata": {"labels": {CLUSTER_LABEL: cluster.name}}, "spec": spec}
