"""Where sweeps run: so far, a Ray cluster that takes jobs."""

from cluster.ray_jobs import Job, follow, submit_study
from cluster.sources import git_state, package_study

__all__ = ["Job", "follow", "git_state", "package_study", "submit_study"]
