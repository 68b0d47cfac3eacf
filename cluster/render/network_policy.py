"""Who may call a cluster's pods on Kubernetes: they themselves, and the operator the dashboard."""

from __future__ import annotations

from typing import Any

from cluster.description import Cluster
from cluster.render.starting import DASHBOARD_PORT

__all__ = ["CLUSTER_LABEL", "network_policies"]

CLUSTER_LABEL = "rankscope/cluster"
"""On every pod of a cluster, the submitter's included. KubeRay's own label has a name made anew for each RayJob."""


def network_policies(cluster: Cluster) -> list[dict[str, Any]]:
    """One policy for all pods of the cluster, one more for its heads."""
    ours = {"matchLabels": {CLUSTER_LABEL: cluster.name}}
    heads = {"matchLabels": {CLUSTER_LABEL: cluster.name, "ray.io/node-type": "head"}}
    operator = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": cluster.kuberay.operator_namespace}
        },
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
    }
    return [
        _policy(cluster, f"{cluster.name}-own", ours, {"from": [{"podSelector": ours}]}),
        _policy(
            cluster,
            f"{cluster.name}-operator",
            heads,
            {"from": [operator], "ports": [{"port": DASHBOARD_PORT, "protocol": "TCP"}]},
        ),
    ]


def _policy(cluster: Cluster, name: str, pods: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": cluster.kuberay.namespace},
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": [rule]},
    }
