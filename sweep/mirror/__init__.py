"""The mirror: copies committed rows into MLflow, beside training and never in its way."""

from sweep.mirror.errors import MirrorError, TrackingUnavailable
from sweep.mirror.process import MirrorProcess, start_mirror_process
from sweep.mirror.session import Progress
from sweep.mirror.sync import MirrorStatus, SyncSummary, mirror_status, mirror_statuses, sync
from sweep.mirror.tracking import embedded_tracking_uri, why_no_mirror
from sweep.mirror.view import view_url

__all__ = [
    "MirrorError",
    "MirrorProcess",
    "MirrorStatus",
    "Progress",
    "SyncSummary",
    "TrackingUnavailable",
    "embedded_tracking_uri",
    "mirror_status",
    "mirror_statuses",
    "start_mirror_process",
    "sync",
    "view_url",
    "why_no_mirror",
]
