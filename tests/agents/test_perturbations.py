"""Disturbed observations against numpy's padding and scipy's interpolation, slot by slot."""

import numpy as np
import pytest
import scipy.ndimage
from slots import random_actions, roll

from agents.environments import describe, make
from agents.environments.perturbations import PerturbedVector, check_perturbation, scaled, shifted
from agents.errors import AgentError

SPACE = "minatar/space_invaders"
KINDS = [("shift", 2), ("scale", 0.3), ("noise", 0.1)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(256, size=(300, 3, 12, 9), dtype=np.uint8)


def test_a_shift_is_a_crop_of_the_image_padded_with_its_border(images):
    draws = np.random.default_rng(1).random((300, 2))
    moved = shifted(images, draws, 4)
    places = set()
    for image, out in zip(images, moved, strict=True):
        padded = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="edge")
        found = [
            (y, x) for y in range(9) for x in range(9) if (padded[:, y : y + 12, x : x + 9] == out).all()
        ]
        assert len(found) == 1
        places.add(found[0])
    assert {y for y, _ in places} == {x for _, x in places} == set(range(9)), "0 to 8: shifts of ±4"


def test_a_scale_is_bilinear_interpolation_about_the_centre(images):
    factors = np.linspace(0.5, 1.9, len(images))
    for image, factor, out in zip(images, factors, scaled(images, factors), strict=True):
        y, x = np.meshgrid(
            (np.arange(12) - 5.5) / factor + 5.5, (np.arange(9) - 4) / factor + 4, indexing="ij"
        )
        for channel, shown in zip(image.astype(float), out, strict=True):
            expected = scipy.ndimage.map_coordinates(channel, [y, x], order=1, mode="nearest")
            assert np.abs(shown - expected).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(scaled(images, np.ones(len(images))), images)
    assert scaled(images, factors).dtype == np.uint8


@pytest.mark.parametrize(("kind", "amount"), KINDS)
def test_a_slots_disturbances_depend_on_its_own_seed_alone(kind, amount):
    actions = random_actions(describe(SPACE), 150, 3)
    together = roll(PerturbedVector(make(SPACE, 3), kind, amount), [5, 6, 7], actions)
    assert together["terminated"].any(), "no episode ended, so waiting slots were not compared"
    swapped = roll(PerturbedVector(make(SPACE, 3), kind, amount), [7, 5, 6], actions[:, [2, 0, 1]])
    alone = roll(PerturbedVector(make(SPACE, 1), kind, amount), [6], actions[:, [1]])
    for name, expected in together.items():
        np.testing.assert_array_equal(swapped[name], expected[:, [2, 0, 1]])
        np.testing.assert_array_equal(alone[name], expected[:, [1]])


@pytest.mark.parametrize(("kind", "amount"), KINDS)
def test_a_slot_that_waits_for_others_draws_nothing(kind, amount):
    vector = PerturbedVector(make("minatar/breakout", 2), kind, amount)
    shown = []
    for wait in (0, 9):
        vector.reset(np.array([1, 2]))
        ended = np.zeros(2, bool)
        while not ended[0]:
            _, _, ended, _ = vector.step(np.zeros(2, np.int64))
        for _ in range(wait):
            vector.step(np.zeros(2, np.int64))
        shown.append(vector.restart(np.array([True, False]))[0])
    np.testing.assert_array_equal(shown[0], shown[1])


@pytest.mark.parametrize(("kind", "amount"), KINDS)
def test_rewards_and_ends_are_those_of_the_environment_inside(kind, amount):
    actions = random_actions(describe(SPACE), 150, 2)
    clean = roll(make(SPACE, 2), [5, 6], actions)
    disturbed = roll(PerturbedVector(make(SPACE, 2), kind, amount), [5, 6], actions)
    for name in ("reward", "terminated", "truncated"):
        np.testing.assert_array_equal(disturbed[name], clean[name])
    differs = (disturbed["observation"] != clean["observation"]).any((2, 3, 4))
    assert differs.mean() > 0.8, "nearly every observation is disturbed"


def test_every_observation_is_disturbed_anew():
    # Breakout's bricks stand still for a while: what differs is the shift.
    vector = PerturbedVector(make("minatar/breakout", 1), "shift", 3)
    vector.reset(np.array([0]))
    bricks = [vector.step(np.array([0]))[0][0, 3].tobytes() for _ in range(6)]
    assert len(set(bricks)) > 3


def test_noise_has_the_standard_deviation_asked_for():
    vector = PerturbedVector(make("bsuite/catch/0", 400), "noise", 0.3)
    clean = make("bsuite/catch/0", 400)
    noise = vector.reset(np.arange(400)) - clean.reset(np.arange(400))
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=4 * 0.3 / np.sqrt(noise.size))
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.03


def test_noise_on_images_is_a_share_of_255_and_is_cut():
    vector = PerturbedVector(make(SPACE, 100), "noise", 0.1)
    clean = make(SPACE, 100).reset(np.arange(100)).astype(float)
    shown = vector.reset(np.arange(100))
    assert shown.dtype == np.uint8
    # Half of the noise on black is cut; of the rest the standard deviation is that of a half normal.
    above = shown[clean == 0]
    above = above[above > 0]
    assert np.sqrt((above.astype(float) ** 2).mean()) == pytest.approx(25.5, rel=0.03)


@pytest.mark.parametrize("kind", ["shift", "scale"])
def test_moving_what_is_no_image_is_refused(kind):
    with pytest.raises(
        AgentError, match=rf"{kind}' moves images, but bsuite/catch/0 shows vectors.*\[50\].*noise"
    ):
        check_perturbation(describe("bsuite/catch/0"), kind, 0.5)


@pytest.mark.parametrize("amount", [0.5, 10, 84])
def test_a_shift_beyond_the_image_or_by_part_of_a_pixel_is_refused(amount):
    with pytest.raises(AgentError, match=rf"whole number of pixels from 1 to 9 for {SPACE}, got {amount:g}"):
        PerturbedVector(make(SPACE, 1), "shift", amount)


def test_a_scale_that_could_shrink_to_nothing_is_refused():
    with pytest.raises(AgentError, match=r"scale is a share below 1, such as 0.1, got 1"):
        check_perturbation(describe(SPACE), "scale", 1.0)
