"""What is installed, reachable, and wrong, with the mend: `sweep doctor`."""

from sweep.doctor.examination import examine
from sweep.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
