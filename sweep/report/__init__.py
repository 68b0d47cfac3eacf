"""The report of a sweep: ``write_report(root, name, out)``."""

from sweep.report.build import SweepData, render_report, write_report

__all__ = ["SweepData", "render_report", "write_report"]
