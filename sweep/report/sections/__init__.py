"""The sections of the report after its verdict, in the order of the page."""

from collections.abc import Callable

from sweep.report.context import Context
from sweep.report.page import Section
from sweep.report.sections.design import design
from sweep.report.sections.ends import ends
from sweep.report.sections.interventions import interventions
from sweep.report.sections.origin import origin
from sweep.report.sections.paradox import paradox
from sweep.report.sections.performance import performance
from sweep.report.sections.scatter import scatters
from sweep.report.sections.specification import specifications
from sweep.report.sections.thresholds import thresholds
from sweep.report.sections.training import training

SECTIONS: tuple[Callable[[Context], Section], ...] = (
    design,
    scatters,
    interventions,
    paradox,
    thresholds,
    training,
    specifications,
    performance,
    ends,
    origin,
)

__all__ = ["SECTIONS"]
