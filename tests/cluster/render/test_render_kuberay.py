"""KubeRay's files: what Kubernetes takes, and who may do what."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from rendered import VARIANTS, described, documents
from strict_schema import custom_resource

from cluster.render import render

KINDS = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}


def objects(**changes: Any) -> list[dict[str, Any]]:
    return [one for text in render(described(**changes), "kuberay").values() for one in documents(text)]


def of_kind(kind: str, **changes: Any) -> dict[str, Any]:
    (found,) = [one for one in objects(**changes) if one["kind"] == kind]
    return found


def templates(**changes: Any) -> dict[str, dict[str, Any]]:
    """Every pod's template, by role or group."""
    job = of_kind("RayJob", **changes)["spec"]
    spec = job["rayClusterSpec"]
    return {
        "submitter": job["submitterPodTemplate"],
        "head": spec["headGroupSpec"]["template"],
        **{group["groupName"]: group["template"] for group in spec["workerGroupSpecs"]},
    }


@pytest.mark.skipif(
    "KUBERAY_CRDS" not in os.environ,
    reason="KUBERAY_CRDS is not set: a folder with KubeRay's ray.io_rayclusters.yaml and ray.io_rayjobs.yaml "
    "(helm-chart/kuberay-operator/crds in its repository)",
)
@pytest.mark.parametrize("kind", KINDS)
def test_kuberays_own_definitions_take_every_field(kind: str) -> None:
    schema = custom_resource(Path(os.environ["KUBERAY_CRDS"], KINDS[kind]), "v1")
    for name, changes in VARIANTS.items():
        errors = [
            f"{error.json_path}: {error.message}" for error in schema.iter_errors(of_kind(kind, **changes))
        ]
        assert not errors, name
    # The check can fail: a misspelt field is one.
    misspelt = of_kind(kind)
    spec = misspelt["spec"] if kind == "RayCluster" else misspelt["spec"]["rayClusterSpec"]
    spec["headGroupSpec"]["template"]["spec"]["containers"][0]["securtyContext"] = {}
    assert not schema.is_valid(misspelt)


@pytest.mark.parametrize("variant", VARIANTS)
def test_kubernetes_own_schemas_take_every_pod_and_object(variant: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the extra `dev` has it")
    version = kubernetes_validate.latest_version()
    ours = [one for one in objects(**VARIANTS[variant]) if not one["apiVersion"].startswith("ray.io/")]
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **one["metadata"]},
            "spec": one["spec"],
        }
        for name, one in templates(**VARIANTS[variant]).items()
    ]
    for one in (*ours, *pods):
        kubernetes_validate.validate(one, version, strict=True)
    pods[0]["spec"]["containers"][0]["securtyContext"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pods[0], version, strict=True)


@pytest.mark.parametrize("role", ["submitter", "head", "cpu", "gpu", "gpu-spot"])
def test_every_pod_keeps_to_the_restricted_standard_that_the_namespace_enforces(role: str) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/, "Restricted"
    pod = templates()[role]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all(set(one) - {"name"} <= {"emptyDir", "persistentVolumeClaim"} for one in pod.get("volumes", []))
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "hostPort" not in str(container.get("ports"))
    labels = of_kind("Namespace")["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_only_the_clusters_own_pods_get_in_and_the_operator_to_the_dashboard() -> None:
    policies = [one["spec"] for one in objects() if one["kind"] == "NetworkPolicy"]
    selected = [policy["podSelector"]["matchLabels"] for policy in policies]
    for role, template in templates().items():
        labels = {
            **template["metadata"]["labels"],
            **({"ray.io/node-type": "head"} if role == "head" else {}),
        }
        allowed = [
            rule
            for policy, selector in zip(policies, selected, strict=True)
            if selector.items() <= labels.items()
            for rule in policy["ingress"]
        ]
        # Selected by one at least: else Kubernetes lets everyone in.
        assert allowed, role
        for rule in allowed:
            for peer in rule["from"]:
                if "namespaceSelector" in peer:
                    assert role == "head"
                    assert [port["port"] for port in rule["ports"]] == [8265]
                else:
                    assert peer["podSelector"]["matchLabels"].items() <= labels.items()
    assert all(policy["policyTypes"] == ["Ingress"] for policy in policies)


def test_the_token_is_asked_for_and_the_head_is_no_service_for_the_outside() -> None:
    spec = of_kind("RayCluster")["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "enableIngress" not in spec["headGroupSpec"]


def test_no_pack_is_put_on_the_head() -> None:
    assert of_kind("RayCluster")["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_secrets_are_references_and_workers_go_without_those_of_the_head() -> None:
    def variables(role: str) -> dict[str, Any]:
        return {one["name"]: one for one in templates()[role]["spec"]["containers"][0]["env"]}

    head, worker = variables("head"), variables("gpu")
    assert head["MLFLOW_TRACKING_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": "rankscope-mlflow",
        "key": "MLFLOW_TRACKING_PASSWORD",
    }
    assert "value" not in head["AWS_SECRET_ACCESS_KEY"]
    assert "AWS_SECRET_ACCESS_KEY" in worker
    assert "MLFLOW_TRACKING_PASSWORD" not in worker


def test_a_preemptible_group_goes_to_nodes_that_can_be_taken_away_and_no_other_does() -> None:
    pods = {role: template["spec"] for role, template in templates().items()}
    spot = "cloud.google.com/gke-spot"
    assert pods["gpu-spot"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4", spot: "true"}
    assert {one["key"] for one in pods["gpu-spot"]["tolerations"]} == {"nvidia.com/gpu", spot}
    for role in ("submitter", "head", "cpu", "gpu"):
        assert spot not in str(pods[role])


def test_sizes_and_limits_are_the_descriptions() -> None:
    group = of_kind("RayCluster")["spec"]["workerGroupSpecs"][1]
    (container,) = group["template"]["spec"]["containers"]
    wanted = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": wanted, "limits": wanted}
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 4)
    shared = next(one for one in group["template"]["spec"]["volumes"] if one["name"] == "shared-memory")
    assert shared["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert {"name": "RAY_START_ULIMIT_OPEN_FILES", "value": "65536"} in container["env"]


def test_a_job_goes_on_with_a_new_cluster_and_cleans_up() -> None:
    spec = of_kind("RayJob", job={"max_hours": 2})["spec"]
    assert shlex.split(spec["entrypoint"])[:3] == ["sweep", "run", "demo"]
    assert "--device" not in spec["entrypoint"]
    assert "--device cuda" in of_kind("RayJob", job={"device": "cuda"})["spec"]["entrypoint"]
    assert spec["backoffLimit"] == 3
    assert spec["activeDeadlineSeconds"] == 7200
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] == 600


def test_a_mount_is_a_claim_that_many_nodes_write_at_the_roots_own_path() -> None:
    claim = of_kind("PersistentVolumeClaim", root="/mnt/sweeps")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for role in ("head", "cpu", "gpu"):
        pod = templates(root="/mnt/sweeps")[role]["spec"]
        assert {"name": "root", "mountPath": "/mnt/sweeps"} in pod["containers"][0]["volumeMounts"]
        assert {"name": "root", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in pod[
            "volumes"
        ]
    assert "storage.yaml" not in render(described(), "kuberay")


@pytest.mark.parametrize("study", ["demo", "a_very_long/" + "name-of-a-study-" * 4])
def test_names_are_ones_that_kuberay_takes(study: str) -> None:
    name = of_kind("RayJob", job={"study": study})["metadata"]["name"]
    # 47: ray-operator/controllers/ray/utils/constant.go, MaxRayJobNameLength.
    assert len(name) <= 47
    assert name.replace("-", "").isalnum()
    assert not name.endswith("-")
