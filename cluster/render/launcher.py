"""Ray's own cluster launcher (`ray up`): AWS, GCP, and machines of one's own."""

from __future__ import annotations

from typing import Any

from cluster.description import Cluster, WorkerGroup
from cluster.render.starting import GCS_PORT, OPEN_FILES, made_from
from cluster.render.yaml_text import yaml_text
from search_spaces.errors import Problem, SpecificationError

__all__ = ["render_aws", "render_gcp", "render_onprem"]

HOME = "/home/ray"
"""Of the image's user."""
PRIVATE = f"{HOME}/private"
"""Where the nodes have the token and the variables of `secrets`, copied over SSH from a folder of the laptop."""


def render_aws(cluster: Cluster) -> dict[str, str]:
    """`cluster.yaml` for EC2. Raises SpecificationError for a group without an instance type."""
    settings = cluster.aws
    _complete(cluster, "aws.instance_types", settings.instance_types)

    def node(instance_type: str, disk_gib: int) -> dict[str, Any]:
        config: dict[str, Any] = {
            "InstanceType": instance_type,
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {"VolumeSize": disk_gib, "VolumeType": "gp3", "Encrypted": True},
                }
            ],
            # Containers share the node's network: two hops, and version 2 of the metadata alone.
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        }
        if settings.image_id:
            config["ImageId"] = settings.image_id
        if settings.instance_profile:
            config["IamInstanceProfile"] = {"Name": settings.instance_profile}
        if settings.security_groups:
            config["SecurityGroupIds"] = list(settings.security_groups)
        if settings.subnets:
            config["SubnetIds"] = list(settings.subnets)
        return config

    types: dict[str, Any] = {"head": _head_type(node(settings.head_instance_type, cluster.head.disk_gib))}
    for group in cluster.workers:
        config = node(settings.instance_types[group.name], group.disk_gib)
        if group.preemptible:
            config["InstanceMarketOptions"] = {"MarketType": "spot"}
        types[group.name] = _worker_type(group, config)
    provider: dict[str, Any] = {"type": "aws", "region": settings.region, "cache_stopped_nodes": False}
    if settings.availability_zones:
        provider["availability_zone"] = ",".join(settings.availability_zones)
    who = (
        f"The instances are in the security groups {', '.join(settings.security_groups)}: let them reach each other, "
        "and let in nothing else but SSH from where you are."
        if settings.security_groups
        else "Ray makes a security group that is open to SSH from everywhere and to nothing else from outside; name "
        "groups of your own in aws.security_groups to narrow that."
    )
    return {"cluster.yaml": _cloud(cluster, "aws", provider, settings.ssh_user, types, who)}


def render_gcp(cluster: Cluster) -> dict[str, str]:
    """`cluster.yaml` for Compute Engine. Raises SpecificationError for a group whose machines are not told."""
    settings = cluster.gcp
    _complete(cluster, "gcp.machine_types", settings.machine_types)
    with_gpus = [group for group in cluster.workers if group.gpus]
    _complete(cluster, "gcp.accelerators", settings.accelerators, with_gpus)
    if with_gpus and settings.gpu_source_image is None:
        message = (
            f"is missing: {with_gpus[0].name} has GPUs. Name an image with Docker, NVIDIA's driver and its "
            "container toolkit"
        )
        raise SpecificationError([Problem(("gcp", "gpu_source_image"), message)])

    def node(machine_type: str, disk_gib: int, image: str) -> dict[str, Any]:
        config: dict[str, Any] = {
            "machineType": machine_type,
            "disks": [
                {
                    "boot": True,
                    "autoDelete": True,
                    "type": "PERSISTENT",
                    "initializeParams": {"diskSizeGb": disk_gib, "sourceImage": image},
                }
            ],
        }
        if settings.service_account:
            config["serviceAccounts"] = [
                {
                    "email": settings.service_account,
                    "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
                }
            ]
        return config

    head = node(settings.head_machine_type, cluster.head.disk_gib, settings.source_image)
    types: dict[str, Any] = {"head": _head_type(head)}
    for group in cluster.workers:
        image = (
            settings.gpu_source_image if group.gpus and settings.gpu_source_image else settings.source_image
        )
        config = node(settings.machine_types[group.name], group.disk_gib, image)
        scheduling: list[dict[str, Any]] = []
        if group.gpus:
            kind = (
                f"projects/{settings.project}/zones/{settings.zone}/acceleratorTypes/"
                f"{settings.accelerators[group.name]}"
            )
            config["guestAccelerators"] = [{"acceleratorType": kind, "acceleratorCount": group.gpus}]
            # Google moves no machine with a GPU to another host.
            scheduling.append({"onHostMaintenance": "TERMINATE"})
        if group.preemptible:
            scheduling.append({"preemptible": True})
        if scheduling:
            config["scheduling"] = scheduling
        types[group.name] = _worker_type(group, config)
    provider = {
        "type": "gcp",
        "region": settings.region,
        "availability_zone": settings.zone,
        "project_id": settings.project,
        "cache_stopped_nodes": False,
    }
    who = (
        "The network's firewall has to keep all ports but SSH from outside, as Google's default network does, and "
        "let the instances reach each other."
    )
    return {"cluster.yaml": _cloud(cluster, "gcp", provider, settings.ssh_user, types, who)}


def render_onprem(cluster: Cluster) -> dict[str, str]:
    """`cluster.yaml` for machines that are there: every one of `onprem.workers` joins, whatever the groups say."""
    settings = cluster.onprem
    shared = max(group.shared_memory_gib for group in cluster.workers)
    config: dict[str, Any] = {
        "cluster_name": cluster.name,
        "max_workers": len(settings.workers),
        "provider": {"type": "local", "head_ip": settings.head, "worker_ips": list(settings.workers)},
        "auth": {"ssh_user": settings.ssh_user, "ssh_private_key": settings.ssh_private_key},
        **_common(cluster, shared),
    }
    comment = (
        f"{made_from(cluster, 'onprem')}\n\nray up cluster.yaml. The ports of Ray listen on the machines' network: "
        "keep it from others than you trust, by a firewall. The dashboard listens on the head's loopback alone; "
        "`ray dashboard cluster.yaml` reaches it through SSH."
    )
    return {"cluster.yaml": yaml_text(config, comment=comment)}


def _cloud(
    cluster: Cluster, target: str, provider: dict[str, Any], user: str, types: dict[str, Any], who: str
) -> str:
    config = {
        "cluster_name": cluster.name,
        "max_workers": sum(group.max_workers for group in cluster.workers),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "provider": provider,
        "auth": {"ssh_user": user},
        "available_node_types": types,
        "head_node_type": "head",
        **_common(cluster, max(group.shared_memory_gib for group in cluster.workers)),
    }
    comment = (
        f"{made_from(cluster, target)}\n\nray up cluster.yaml. The dashboard listens on the head's loopback alone: "
        f"`ray dashboard cluster.yaml` reaches it through SSH. {who}"
    )
    return yaml_text(config, comment=comment)


def _head_type(config: dict[str, Any]) -> dict[str, Any]:
    return {"min_workers": 0, "max_workers": 0, "resources": {"CPU": 0}, "node_config": config}


def _worker_type(group: WorkerGroup, config: dict[str, Any]) -> dict[str, Any]:
    resources = {"CPU": group.cpus, **({"GPU": group.gpus} if group.gpus else {})}
    return {
        "min_workers": group.min_workers,
        "max_workers": group.max_workers,
        "resources": resources,
        "node_config": config,
    }


def _common(cluster: Cluster, shared_memory_gib: int) -> dict[str, Any]:
    """What all launchers have: the container, the private folder, how Ray starts."""
    settings = (
        f"export RAY_USAGE_STATS_ENABLED=0{_token(cluster)}; "
        # The variables of `secrets`, where there are any; `set -a` gives them to Ray and so to packs.
        f"set -a; if [ -f {PRIVATE}/env ]; then . {PRIVATE}/env; fi; set +a; ulimit -n {OPEN_FILES}"
    )
    mount = [f"--volume={cluster.root}:{cluster.root}"] if cluster.on_mount else []
    return {
        "docker": {
            "image": cluster.image,
            "container_name": "ray",
            "pull_before_run": True,
            "run_options": [
                f"--ulimit=nofile={OPEN_FILES}:{OPEN_FILES}",
                f"--shm-size={shared_memory_gib}g",
                "--cap-drop=ALL",
                "--security-opt=no-new-privileges",
                *mount,
            ],
        },
        # A folder of the laptop with the files auth_token and env, readable by its owner alone.
        "file_mounts": {PRIVATE: f"~/.config/rankscope/{cluster.name}"},
        # Said, because the launcher's own defaults install another Ray.
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [
            "ray stop",
            f"{settings}; ray start --head --port={GCS_PORT} --num-cpus=0 --num-gpus=0 "
            "--dashboard-host=127.0.0.1 --autoscaling-config=~/ray_bootstrap_config.yaml",
        ],
        "worker_start_ray_commands": [
            "ray stop",
            f"{settings}; ray start --address=$RAY_HEAD_IP:{GCS_PORT}",
        ],
    }


def _token(cluster: Cluster) -> str:
    if not cluster.security.token:
        return " RAY_AUTH_MODE=disabled"
    return f" RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={PRIVATE}/auth_token"


def _complete(
    cluster: Cluster, key: str, of_groups: dict[str, str], groups: list[WorkerGroup] | None = None
) -> None:
    missing = [
        group.name for group in (cluster.workers if groups is None else groups) if group.name not in of_groups
    ]
    if missing:
        path = tuple(key.split("."))
        raise SpecificationError(
            [Problem((*path, name), "is missing: say which machines the group is of") for name in missing]
        )
