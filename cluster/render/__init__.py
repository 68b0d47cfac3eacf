"""The files of a cluster, rendered from its description."""

from cluster.render.targets import TARGETS, render, write_files

__all__ = ["TARGETS", "render", "write_files"]
