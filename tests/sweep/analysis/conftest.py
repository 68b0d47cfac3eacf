"""Simulated sweeps as the store's DataFrames, with associations known because they were put there."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from search_spaces.trial import TrialConfig


def _trials_table(
    learning_rates: list[float],
    seeds: int,
    *,
    spaces: list[str] | None = None,
    status: str = "finished",
    activations: tuple[str, ...] = ("relu",),
    train_steps: int = 1000,
    env: str = "bsuite/catch/0",
    prefix: str = "t",
) -> pd.DataFrame:
    rows = []
    for activation in activations:
        for rate in learning_rates:
            for seed in range(seeds):
                config = TrialConfig(
                    env=env,
                    dataset="catch",
                    seed=seed,
                    learning_rate=rate,
                    activation=activation,
                    train_steps=train_steps,
                ).model_dump()
                config["hidden_sizes"] = list(config["hidden_sizes"])
                rows.append(
                    {
                        "trial_id": f"{prefix}{len(rows):04}",
                        "sweep": "demo",
                        "spaces": list(spaces or ["narrow"]),
                        "status": status,
                        "pack_id": "p0",
                        **config,
                        "scheduler": "fifo",
                        "dataset_fingerprint": "f" * 16,
                        "final_step": train_steps,
                    }
                )
    return pd.DataFrame(rows)


def _metrics_table(trials: pd.DataFrame, values: dict[str, np.ndarray], step: int = 1000) -> pd.DataFrame:
    """One row per trial at ``step``."""
    return pd.DataFrame(
        {"trial_id": trials["trial_id"].to_numpy(), "step": step, "attempt": 0, "wall_time": 1.0, **values}
    )


def _clustered(
    rng: np.random.Generator, configurations: int, seeds: int, rho: float, share: float, draws: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal pairs ``[draws, configurations, seeds]``.

    ``share`` of the variance lies between configurations, correlated by ``rho``; the rest lies
    within them, uncorrelated. The correlation of the whole is rho * share.
    """
    covariance = [[1, rho], [rho, 1]]
    between = rng.multivariate_normal([0, 0], covariance, (draws, configurations, 1)) * np.sqrt(share)
    within = rng.standard_normal((draws, configurations, seeds, 2)) * np.sqrt(1 - share)
    both = between + within
    return both[..., 0], both[..., 1]


@pytest.fixture(scope="session")
def trials_table() -> Callable[..., pd.DataFrame]:
    return _trials_table


@pytest.fixture(scope="session")
def metrics_table() -> Callable[..., pd.DataFrame]:
    return _metrics_table


@pytest.fixture(scope="session")
def clustered() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return _clustered
