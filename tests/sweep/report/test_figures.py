"""Pictures that can be read, and that draw what they say."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweep.analysis.confounding.sensitivity import Confounder, Fit, adjusted, partial_r2, robustness_value
from sweep.report.context import Context
from sweep.report.data import read_sweep
from sweep.report.figures.contour import Seen, contour
from sweep.report.figures.forest import Estimate, Group, forest
from sweep.report.figures.heatmap import heatmap
from sweep.report.figures.palette import PAPER, SIDES, side
from sweep.report.figures.panel import Panel, Series, style
from sweep.report.figures.parallel import Coordinate, parallel
from sweep.report.figures.profile import profile
from sweep.report.reads import measures_for
from sweep.report.sections import SECTIONS


def drawn(panel: Panel) -> Figure:
    with style(PAPER):
        figure = Figure(figsize=panel.size, layout="constrained")
        FigureCanvasAgg(figure)
        panel.draw(figure.add_subplot(), PAPER)
        figure.canvas.draw()
    return figure


def overlapping(axes: Axes) -> list[tuple[str, str]]:
    """Tick labels of one axis that lie on each other."""
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        labels = [
            tick.label1
            for tick in axis.get_major_ticks()
            if tick.label1.get_text() and tick.label1.get_visible() and low <= tick.get_loc() <= high
        ]
        turned = any(label.get_rotation() % 90 for label in labels)
        boxes = [(label.get_text(), label.get_window_extent()) for label in labels]
        for (a, one), (b, other) in combinations(boxes, 2) if not turned else ():
            if one.overlaps(other) and one.padded(-1.5).overlaps(other.padded(-1.5)):
                found.append((a, b))
    return found


@pytest.fixture(scope="module")
def panels(finished_root: Path) -> list[tuple[str, Panel]]:
    data = read_sweep(finished_root, "demo", measures_for("srank", "return_mean"))
    context = Context(data, "srank", "return_mean", draws=200, seed=0)
    made = [build(context) for build in SECTIONS]
    return [(plot.title, panel) for section in made for plot in section.plots for panel in plot.panels]


def test_labels_do_not_lie_on_each_other_nor_outside_their_picture(panels: list[tuple[str, Panel]]) -> None:
    assert len(panels) > 30
    for title, panel in panels:
        figure = drawn(panel)
        width, height = figure.canvas.get_width_height()
        for axes in figure.axes:
            assert overlapping(axes) == [], title
            box = axes.get_tightbbox()
            assert box is not None
            assert box.x0 > -2, title
            assert box.x1 < width + 6, title
            assert box.y0 > -2, title
            assert box.y1 < height + 2, title


def test_nobody_reads_a_column_name_in_a_picture(panels: list[tuple[str, Panel]]) -> None:
    for title, panel in panels:
        figure = drawn(panel)
        words = [
            text.get_text()
            for axes in figure.axes
            for text in axes.findobj(match=lambda a: hasattr(a, "get_text"))
        ]
        for word in words:
            assert "_" not in word.replace("mountain_car", ""), (title, word)
            assert "nan" not in word.split(), (title, word)


def test_a_forest_runs_from_top_to_bottom_and_leaves_room_for_long_labels() -> None:
    rows = [
        Estimate(f"a hyperparameter with quite a long name and its value {n}", n, n - 1, n + 1)
        for n in range(4)
    ]
    rows.insert(1, Estimate("", 0.5, 0, 1))
    figure = drawn(forest([Group("One heading that takes more than a line of it", tuple(rows))], "x", "d"))
    (axes,) = figure.axes
    places = [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert len(places) == 5
    assert all(a < b for a, b in pairwise(places))
    assert places[1] - places[0] < 0.5 < places[2] - places[1]
    assert overlapping(axes) == []


def test_one_interval_that_is_far_wider_than_the_others_does_not_set_the_scale() -> None:
    rows = tuple(Estimate(str(n), 1.0, 0.8, 1.2) for n in range(4))
    figure = drawn(forest([Group("", (*rows, Estimate("wide", 1.1, -500, 500)))], "x", "d"))
    low, high = figure.axes[0].get_xlim()
    assert low > -5
    assert high < 5


def test_an_estimate_that_is_not_given_says_so() -> None:
    figure = drawn(forest([Group("", (Estimate("a", np.nan, np.nan, np.nan),))], "x", "d"))
    assert "not given" in [text.get_text() for text in figure.axes[0].texts]


def test_cells_that_cannot_be_told_from_zero_are_grey() -> None:
    values = np.array([[1.0, -1.0], [0.3, np.nan]])
    told = np.array([[True, True], [False, False]])
    figure = drawn(heatmap(values, told, ["a", "b"], ["c", "d"], "t", "d"))
    cells = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    colors = [to_hex(cell.get_facecolor()) for cell in cells]
    assert colors == [PAPER["side-7"], PAPER["side-0"], PAPER["faint"]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "\u22121.00", "0.30"]


def test_sides_of_the_scale_are_symmetric() -> None:
    assert [side(v, 2.0) for v in (-2.0, -0.1, 0.1, 2.0)] == [SIDES[0], SIDES[3], SIDES[4], SIDES[7]]
    assert side(0.0, 0.0) == SIDES[4]


def test_on_the_contour_of_zero_a_confounder_takes_the_whole_estimate() -> None:
    """Against `sensitivity.adjusted`, which reproduces the published example."""
    fit = Fit(estimate=0.097, error=0.023, freedom=783)
    strength = np.sqrt(partial_r2(fit) / (1 - partial_r2(fit)))
    value = robustness_value(fit)
    figure = drawn(contour(fit.estimate, float(strength), value, [Seen("x", 0.01, 0.02)], 3))
    lines = [line for line in figure.axes[0].lines if to_hex(line.get_color()) == PAPER["category-0"]]
    zero = next(line for line in lines if len(line.get_xdata()) > 10)
    for x, y in list(zip(zero.get_xdata(), zero.get_ydata(), strict=True))[::20]:
        left, _, _ = adjusted(fit, Confounder(float(x), float(y)), 0.95)
        assert left == pytest.approx(0, abs=1e-9)
    marker = next(line for line in lines if len(line.get_xdata()) == 1)
    assert marker.get_xdata()[0] == pytest.approx(value)


def test_parallel_coordinates_have_a_line_a_trial_in_its_color() -> None:
    coordinates = [
        Coordinate("a", np.array([0.0, 1.0, 0.5]), ((0.0, "x"), (1.0, "y")), 0.0, 1.0),
        Coordinate("b", np.array([2.0, 4.0, 3.0]), ((2.0, "2"),), 2.0, 4.0),
    ]
    figure = drawn(parallel(coordinates, np.array([0, 7, 7]), "d"))
    drawn_lines = [c for c in figure.axes[0].collections if len(c.get_paths())]
    assert [len(c.get_paths()) for c in drawn_lines] == [1, 2]
    assert to_hex(drawn_lines[1].get_color()[0]) == PAPER["step-7"]


def test_bands_of_many_profiles_are_left_to_the_download() -> None:
    tau = np.linspace(0, 1, 5)
    kinds = [f"k{n}" for n in range(5)]
    table = pd.concat(
        pd.DataFrame({"kind": kind, "tau": tau, "share": 1 - tau, "share_low": 0.0, "share_high": 1.0})
        for kind in kinds
    )
    for number, bands in ((2, 2), (5, 0)):
        series = [Series(kind, "category-1") for kind in kinds[:number]]
        figure = drawn(profile(table, series, "kind", "x"))
        assert len(figure.axes[0].collections) == bands
