"""A schema of a Kubernetes custom resource as JSON Schema that refuses what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import yaml


def custom_resource(file: Path, version: str) -> jsonschema.Draft202012Validator:
    """The validator of one version of a CustomResourceDefinition."""
    with file.open(encoding="utf-8") as opened:
        definition = yaml.load(opened, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    schemas = {one["name"]: one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"]}
    return jsonschema.Draft202012Validator(_strict(schemas[version], top=True))


def _strict(schema: dict[str, Any], top: bool = False) -> dict[str, Any]:
    # The API server drops unknown fields without a word, so that a misspelt one does nothing: here it is refused.
    strict = dict(schema)
    if "properties" in schema:
        strict["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
        if top:
            # The definition leaves metadata to Kubernetes.
            strict["properties"]["metadata"] = {"type": "object"}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in schema:
            strict["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    if "items" in schema:
        strict["items"] = _strict(schema["items"])
    return strict
