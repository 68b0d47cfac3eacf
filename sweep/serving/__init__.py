"""MLflow's server for one person or a team: its database, who may come in, and its process."""

from sweep.serving.access import Access
from sweep.serving.artifacts import artifact_place
from sweep.serving.backend import Backend
from sweep.serving.server import MlflowServer

__all__ = ["Access", "Backend", "MlflowServer", "artifact_place"]
