"""Axes that several figures have: gradient steps, and powers of ten."""

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sweep.report.words import short

ROUND = (1, 2, 2.5, 5, 10)
"""What steps between ticks are multiples of."""


def over_steps(axes: Axes) -> None:
    """An axis of gradient steps from 0: 5k, 10k."""
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    axes.set_xlim(left=0)


def powers(axis: Axis) -> None:
    """A logarithmic axis whose ticks read as numbers: 0.0003, 1e-5."""
    low, high = sorted(axis.get_view_interval())
    few = high > 0 and low > 0 and high / low > 300
    axis.set_major_locator(LogLocator(subs=(1,) if few else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(float(value))))
    axis.set_minor_locator(NullLocator())
