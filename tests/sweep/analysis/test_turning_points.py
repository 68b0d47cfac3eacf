import numpy as np
import pytest
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.signal import lfilter

from sweep.analysis.training.turning_points import FIRST_NOISES, hinge, smoothed, swings, turn


def _squares_left(x: np.ndarray, y: np.ndarray, k: int) -> float:
    design = np.stack([np.ones_like(x), np.clip(x - x[k], 0, None)], axis=1)
    return float(((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum())


def test_a_hinge_leaves_the_least_squares_of_all_places() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = np.sort(rng.uniform(0, 1e7, 40))
        y = 5 + 30 * np.clip(x / 1e7 - rng.uniform(0.2, 0.8), 0, None) + rng.normal(0, 2, 40)
        left = [_squares_left(x, y, k) for k in range(39)]
        assert left[hinge(x, y)] == pytest.approx(min(left))


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_noise_beside_a_curve_that_bends_is_not_underrated_and_seldom_much_overrated(
    memory: float,
) -> None:
    rng = np.random.default_rng(1)
    shape = np.interp(np.linspace(0, 1, 1000), [0, 0.2, 0.4, 0.6, 0.7, 1], [10, 10, 100, 100, 10, 10])
    found, true = [], []
    for _ in range(20):
        noise = 4 * np.sqrt(1 - memory**2) * lfilter([1], [1, -memory], rng.standard_normal(1200))[200:]
        smooth = smoothed(shape + noise, 0.15)
        true.append(np.std(uniform_filter1d(median_filter(noise, 3), smooth.width)))
        found.append(smooth.noise)
    assert 0.95 < np.mean(found) / np.mean(true) < 1.7


def test_a_lone_outlier_is_no_swing() -> None:
    curve = np.full(100, 50.0)
    curve[40] = 5
    smooth = smoothed(curve, 0.15)
    assert swings(smooth.values, 1 / 3, 0.15, smooth.least).at == ()


def test_noise_alone_seldom_swings() -> None:
    rng = np.random.default_rng(2)
    for points in (60, 200, 1000):
        swung = 0
        for _ in range(100):
            smooth = smoothed(40 + 4 * rng.standard_normal(points), 0.15)
            swung += (
                len(swings(smooth.values, 0.0, 0.0, smooth.least, FIRST_NOISES * smooth.first_noise).at) > 0
            )
        assert swung <= 15, (points, swung)


def test_noise_in_few_points_is_told_from_shape_by_size_alone() -> None:
    rng = np.random.default_rng(3)
    for points in (8, 15, 29):
        swung = 0
        for _ in range(100):
            smooth = smoothed(40 + 2 * rng.standard_normal(points), 0.15)
            swung += len(swings(smooth.values, 1 / 3, 0.15, smooth.least).at) > 0
        assert swung == 0, (points, swung)


def test_swings_come_with_hysteresis() -> None:
    values = np.array([100, 40, 10, 14, 9, 30, 60, 50, 62, 20, 5, 7.0])
    found = swings(values, 1 / 3, 0.15, 0.0)
    assert found.at == (0, 4, 8, 10)  # 14 after 10 wins 4 of 90, 50 after 60 loses a sixth
    assert (found.rest, found.needed) == (2.0, pytest.approx(0.15 * 57))


def test_a_swing_has_to_be_as_large_as_the_noise_asks() -> None:
    values = np.array([100, 10, 30, 100.0])
    assert swings(values, 1 / 3, 0.15, 95.0).at == ()
    assert swings(values, 1 / 3, 0.15, 80.0).at == (0, 1, 3)
    assert swings(values, 1 / 3, 0.15, 80.0, first_least=95.0).at == (1, 3)


def test_a_turn_is_where_the_plateau_ends() -> None:
    steps = np.arange(100) * 1e4
    curve = np.interp(steps, [0, 6e5, 7e5, 1e6], [50, 50, 5, 5])
    smooth = smoothed(curve, 0.15)
    at = swings(smooth.values, 1 / 3, 0.15, smooth.least).at
    assert steps[turn(steps, smooth, None, at[0], at[1])] == pytest.approx(6e5, abs=1e4)
