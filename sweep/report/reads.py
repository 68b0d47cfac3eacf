"""Which measures the report's tables need: nothing else is read."""

from typing import Any

from sweep.analysis.catalog import TABLES
from sweep.report.sections.specification import choices
from sweep.report.sections.training import CURVE_MEASURES

# Made of the whole curves of some trials. What other tables need, they read by themselves.
_TRACED = ("phases", "specification-curve", "lr-evolution", "rank-by-lr")
# Made of the last values that all sections share.
_LAST = ("policy-selection",)


def measures_for(measure: str, outcome: str) -> list[str]:
    """Those whose last values and curves the sections look at."""
    wanted = [measure, outcome, *CURVE_MEASURES]
    for name in (*_TRACED, *_LAST):
        table = TABLES[name]
        asked: dict[str, Any] = {"measure": measure, "outcome": outcome}
        options = {key: value for key, value in asked.items() if key in table.options}
        if name == "specification-curve":
            options = choices(measure, outcome)
        wanted += table.needs(options) or []
    return list(dict.fromkeys(wanted))
