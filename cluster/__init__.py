"""Where sweeps run: a Ray cluster that takes jobs, or several nodes on this machine to try things on."""

from cluster.following import follow
from cluster.ray_jobs import Job, submit_study
from cluster.sources import git_state, package_study

__all__ = ["Job", "follow", "git_state", "package_study", "submit_study"]
