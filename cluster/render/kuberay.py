"""Kubernetes with KubeRay (ray.io/v1): a cluster that waits for sweeps, or one sweep with a cluster of its own."""

from __future__ import annotations

import shlex
from typing import Any

from cluster.description import Cluster
from cluster.render.network_policy import CLUSTER_LABEL, network_policies
from cluster.render.pods import head_pod, submitter_pod, worker_pod
from cluster.render.starting import made_from, sweep_arguments
from cluster.render.yaml_text import yaml_text

__all__ = ["cluster_spec", "job_spec", "render"]

_LONGEST_JOB_NAME = 47
"""KubeRay refuses longer ones: it makes the names of the cluster and of the pods of it."""


def render(cluster: Cluster) -> dict[str, str]:
    """`raycluster.yaml`, `rayjob.yaml`, the namespace with its network policies, and storage for a mount."""
    files = {
        "namespace.yaml": yaml_text(*_namespace(cluster), comment=f"{made_from(cluster, 'kuberay')}{_GUARD}"),
        "raycluster.yaml": yaml_text(
            _object(cluster, "RayCluster", cluster.name, cluster_spec(cluster)),
            comment=f"{made_from(cluster, 'kuberay')}\n\nA cluster that waits for `sweep submit`."
            f"{_secrets(cluster)}",
        ),
        "rayjob.yaml": yaml_text(
            _object(cluster, "RayJob", _job_name(cluster), job_spec(cluster)),
            comment=f"{made_from(cluster, 'kuberay')}\n\nOne sweep with a cluster of its own, which goes when the "
            "sweep has ended. Applied again, or retried by KubeRay, it goes on from what the store has."
            f"{_secrets(cluster)}",
        ),
    }
    if cluster.on_mount:
        files["storage.yaml"] = yaml_text(_claim(cluster), comment=made_from(cluster, "kuberay"))
    return files


def cluster_spec(cluster: Cluster) -> dict[str, Any]:
    """A RayCluster's spec."""
    groups = cluster.workers
    spec: dict[str, Any] = {
        "rayVersion": cluster.versions.ray,
        "enableInTreeAutoscaling": any(group.min_workers < group.max_workers for group in groups),
        "autoscalerOptions": {
            "version": "v2",
            "upscalingMode": "Default",
            "idleTimeoutSeconds": 300,
            "securityContext": head_pod(cluster)["spec"]["containers"][0]["securityContext"],
            "resources": {
                "requests": {"cpu": "500m", "memory": "1Gi"},
                "limits": {"cpu": "1", "memory": "1Gi"},
            },
        },
        "headGroupSpec": {
            # Published nowhere but in the cluster; no pack is put on it.
            "serviceType": "ClusterIP",
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
            "template": head_pod(cluster),
        },
        "workerGroupSpecs": [
            {
                "groupName": group.name,
                "replicas": group.min_workers,
                "minReplicas": group.min_workers,
                "maxReplicas": group.max_workers,
                "rayStartParams": {},
                "template": worker_pod(cluster, group),
            }
            for group in groups
        ],
    }
    if cluster.security.token:
        # KubeRay makes the token, keeps it in a Secret of the cluster's name and gives it to its own pods.
        spec = {"rayVersion": spec.pop("rayVersion"), "authOptions": {"mode": "token"}, **spec}
    return spec


def job_spec(cluster: Cluster) -> dict[str, Any]:
    """A RayJob's spec: what may be repeated without harm, and is where a cluster is lost."""
    job = cluster.job
    return {
        "entrypoint": shlex.join(sweep_arguments(cluster, "auto")),
        "submissionMode": "K8sJobMode",
        "backoffLimit": job.retries,
        **({} if job.max_hours is None else {"activeDeadlineSeconds": job.max_hours * 3600}),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": job.keep_minutes * 60,
        "submitterPodTemplate": submitter_pod(cluster),
        "rayClusterSpec": cluster_spec(cluster),
    }


_GUARD = (
    "\n\nThe namespace admits no pod that runs as root. Whoever reaches the dashboard (8265), GCS (6379) or the "
    "client's port (10001) of a Ray cluster can run code on it, if it has the token: the policies let in the "
    "cluster's own pods, and the operator to the dashboard. They hold where the network plugin enforces "
    "NetworkPolicy, as Calico, Cilium and GKE's Dataplane V2 do."
)


def _secrets(cluster: Cluster) -> str:
    if not cluster.secrets:
        return ""
    names = dict.fromkeys(secret.kubernetes_secret for secret in cluster.secrets)
    lines = []
    for name in names:
        keys = ", ".join(one.key or one.variable for one in cluster.secrets if one.kubernetes_secret == name)
        lines.append(f"{name} ({keys})")
    return (
        f"\n\nNeeds these secrets, each made from a file of KEY=VALUE lines: {'; '.join(lines)}.\n"
        f"kubectl -n {cluster.kuberay.namespace} create secret generic NAME --from-env-file=FILE"
    )


def _namespace(cluster: Cluster) -> list[dict[str, Any]]:
    name = cluster.kuberay.namespace
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    return [namespace, *(network_policies(cluster) if cluster.security.network_policy else ())]


def _claim(cluster: Cluster) -> dict[str, Any]:
    settings = cluster.kuberay
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{cluster.name}-root", "namespace": settings.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            **({"storageClassName": settings.storage_class} if settings.storage_class else {}),
            "resources": {"requests": {"storage": f"{settings.storage_gib}Gi"}},
        },
    }


def _object(cluster: Cluster, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": cluster.kuberay.namespace,
            "labels": {CLUSTER_LABEL: cluster.name},
        },
        "spec": spec,
    }


def _job_name(cluster: Cluster) -> str:
    name = f"{cluster.name}-{cluster.job.sweep_name}".replace(".", "-").replace("_", "-")
    return name[:_LONGEST_JOB_NAME].rstrip("-")
