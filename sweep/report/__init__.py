"""The report of a sweep: ``write_report(root, name, out)``."""

from sweep.report.build import render_report, write_report
from sweep.report.data import SweepData

__all__ = ["SweepData", "render_report", "write_report"]
