"""What the first-person families show alike: DeepMind Lab in RL Unplugged's protocol, and its stand-in."""

from typing import Any

import numpy as np
import numpy.typing as npt

from agents.environments.gymnasium_slots import Shown
from agents.environments.protocol import ArrayFormat

HEIGHT, WIDTH = 72, 96

# A recurrent agent is given its last action and reward as well (R2D2; deepmind-research
# rl_unplugged/dmlab_r2d2.ipynb). Both are 0 at the start of an episode.
EXTRAS = {"previous_action": ArrayFormat(dtype="int32"), "previous_reward": ArrayFormat(dtype="float32")}


def shown(image: npt.NDArray[np.uint8], action: int, reward: float) -> Shown:
    """An image ``[72, 96, 3]`` as the observation ``[3, 72, 96]``, with what led to it as extras."""
    extras: dict[str, npt.NDArray[Any]] = {
        "previous_action": np.array(action, np.int32),
        "previous_reward": np.array(reward, np.float32),
    }
    return image.transpose(2, 0, 1), extras
