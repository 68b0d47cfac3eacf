"""DeepMind Control against dm_control stepped beside it, and the choice of a renderer in real processes."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from slots import check_dataset, check_slots, random_actions

from agents.environments import describe, dmc_family, headless_gl, make
from agents.errors import AgentError, EnvironmentUnavailable

IDS = dmc_family.env_ids()


@pytest.fixture(scope="module")
def suite():
    pytest.importorskip("dm_control")
    try:
        renderer = headless_gl.choose()
    except EnvironmentUnavailable as error:
        pytest.skip(str(error))
    complaint = headless_gl.why_not(renderer)
    if complaint is not None:
        pytest.skip(f"MUJOCO_GL={renderer} renders nothing here: {complaint}")
    from dm_control import suite

    return suite


@pytest.mark.parametrize("env_id", IDS)
def test_a_task_is_dm_controls_with_every_action_taken_twice(env_id, suite):
    spec = describe(env_id)
    domain, task = env_id.removeprefix("dmc/").split("_")
    theirs = suite.load(domain, task, task_kwargs={"random": 9})
    action_spec = theirs.action_spec()
    assert spec.action_shape == action_spec.shape
    assert set(action_spec.minimum) == {-1.0}
    assert set(action_spec.maximum) == {1.0}
    ours = make(env_id, 1)
    observation = ours.reset(np.array([9]))
    timestep = theirs.reset()
    shown = [np.zeros((84, 84, 3), np.uint8)] * 3
    for action in random_actions(spec, 5, 1):
        shown = [*shown[1:], theirs.physics.render(84, 84, camera_id=0)]
        stack = np.concatenate([image.transpose(2, 0, 1) for image in shown])
        np.testing.assert_array_equal(observation[0], stack)
        state = np.concatenate([np.ravel(part) for part in timestep.observation.values()])
        np.testing.assert_array_equal(ours.extras()["state"][0], state.astype(np.float32))
        expected = 0.0
        for _ in range(2):
            timestep = theirs.step(action[0])
            expected += timestep.reward
        observation, reward, terminated, truncated = ours.step(action)
        assert reward[0] == pytest.approx(expected, rel=1e-6)
        assert not terminated.any()
        assert not truncated.any()
    assert len(np.unique(observation)) > 20, "the image is (nearly) of one colour"
    restarted, timestep = ours.restart(np.array([True])), theirs.reset()
    assert not restarted[0, :6].any()
    state = np.concatenate([np.ravel(part) for part in timestep.observation.values()])
    np.testing.assert_array_equal(ours.extras()["state"][0], state.astype(np.float32))
    ours.close()
    theirs.close()


def test_a_slot_depends_on_its_own_seed_and_actions_only(suite):
    check_slots("dmc/walker_walk", 3)


@pytest.mark.parametrize("env_id", IDS)
def test_a_time_limit_of_500_steps_is_a_truncation(env_id, suite, monkeypatch):
    # Drawing is not what is tested here, and takes 40 times as long as all else.
    from dm_control.mujoco.engine import Physics

    vector = make(env_id, 1)
    black = np.zeros((84, 84, 3), np.uint8)
    monkeypatch.setattr(Physics, "render", lambda *arguments, **options: black)
    vector.reset(np.array([0]))
    action = np.zeros((1, *vector.spec.action_shape), np.float32)
    ends = [vector.step(action)[2:] for _ in range(500)]
    assert not any(terminated[0] for terminated, _ in ends)
    assert [bool(truncated[0]) for _, truncated in ends] == [False] * 499 + [True]
    vector.close()


def test_a_dataset_holds_pixels_and_state(suite, tmp_path):
    dataset = check_dataset("dmc/finger_spin", tmp_path, 4)
    assert dataset.arrays["frames"].shape[1:] == (3, 84, 84)
    assert dataset.arrays["extra_state"].shape[1:] == (9,)


def test_another_thread_than_the_first_is_refused(suite):
    vector = make("dmc/finger_spin", 1)
    with ThreadPoolExecutor(1) as other:
        other.submit(vector.reset, np.array([0])).result()
        with pytest.raises(AgentError, match=r"first reset in thread \d+ and is now used .* in one thread"):
            vector.step(np.zeros((1, 2), np.float32))
        other.submit(vector.close).result()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    remedy = "pip install 'mujoco==3.10.0' 'dm-control==1.0.43' It also needs EGL or OSMesa"
    with pytest.raises(EnvironmentUnavailable, match=re.escape(remedy)):
        make("dmc/walker_walk", 1)


def in_a_process(code, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return run.stdout.strip() or run.stderr


CHOOSE = """
from agents.environments import headless_gl
from agents.errors import EnvironmentUnavailable
import os
{before}
try:
    print(headless_gl.choose(), os.environ.get("MUJOCO_GL"))
except EnvironmentUnavailable as error:
    print(error)
"""


def test_the_first_renderer_that_renders_is_taken_and_kept(suite):
    chosen = in_a_process(CHOOSE.format(before=""))
    assert chosen in ("egl egl", "osmesa osmesa")
    assert chosen.startswith("egl") == (headless_gl.why_not("egl") is None)


def test_a_renderer_asked_for_is_not_questioned():
    assert in_a_process(CHOOSE.format(before=""), MUJOCO_GL="glfw") == "glfw glfw"


def test_without_a_renderer_the_system_packages_are_named(monkeypatch):
    monkeypatch.setattr(headless_gl, "HEADLESS", ("nonsense", "rubbish"))
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delitem(sys.modules, "dm_control._render", raising=False)
    with pytest.raises(EnvironmentUnavailable) as raised:
        headless_gl.choose()
    # dm_control's own words for a renderer that it does not know.
    assert "nonsense: RuntimeError: Environment variable MUJOCO_GL must be one of" in str(raised.value)
    assert "apt-get install libegl1 libgl1-mesa-dri, or libosmesa6" in str(raised.value)
    assert "MUJOCO_GL" not in os.environ


def test_a_renderer_that_needs_a_screen_and_was_imported_before_is_refused(monkeypatch):
    class Loaded:
        BACKEND = "glfw"

    monkeypatch.setitem(sys.modules, "dm_control._render", Loaded)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(
        EnvironmentUnavailable, match=r"imported before with the renderer 'glfw'.*MUJOCO_GL=egl or"
    ):
        headless_gl.choose()
