"""Errors of the MLflow mirror."""

from __future__ import annotations

from sweep.errors import SweepError


class MirrorError(SweepError):
    """The mirror cannot go on until somebody acts; the message says what to do."""


class TrackingUnavailable(MirrorError):
    """MLflow does not answer now: worth another try, nothing is lost meanwhile."""
