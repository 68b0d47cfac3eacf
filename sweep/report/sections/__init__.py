"""The sections of the report after its verdict, in the order of the page."""

from collections.abc import Callable

from sweep.report.context import Context
from sweep.report.page import Section
from sweep.report.sections.design import design
from sweep.report.sections.disturbance import disturbance
from sweep.report.sections.effects import effects
from sweep.report.sections.ends import ends
from sweep.report.sections.hidden import hidden
from sweep.report.sections.interventions import interventions
from sweep.report.sections.judgement import judgement
from sweep.report.sections.mediation import mediation
from sweep.report.sections.origin import origin
from sweep.report.sections.paradox import paradox
from sweep.report.sections.performance import performance
from sweep.report.sections.policy import policy
from sweep.report.sections.scatter import scatters
from sweep.report.sections.specification import specifications
from sweep.report.sections.thresholds import thresholds
from sweep.report.sections.training import training
from sweep.report.sections.values import values

SECTIONS: tuple[Callable[[Context], Section], ...] = (
    design,
    scatters,
    effects,
    interventions,
    paradox,
    thresholds,
    training,
    specifications,
    hidden,
    mediation,
    policy,
    performance,
    disturbance,
    values,
    ends,
    origin,
)

__all__ = ["SECTIONS", "judgement"]
