"""The unit of science: one configuration with one seed."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from search_spaces.canonical import digest
from search_spaces.errors import Problem, SpecificationError
from search_spaces.specification import (
    BelowOne,
    Count,
    Name,
    Positive,
    Probability,
    Seed,
    Specification,
    problems_in,
)

Algorithm = Literal["dqn", "double_dqn"]
Network = Literal["mlp", "nature_dqn", "minatar"]
Activation = Literal["relu", "tanh", "elu", "sigmoid", "leaky_relu", "identity"]
Loss = Literal["huber", "mse"]
Optimizer = Literal["adam", "rmsprop", "rmsprop_centered", "sgd"]

DEFAULT_HIDDEN_SIZES: Final[dict[str, tuple[int, ...]]] = {
    "mlp": (64, 64),
    "nature_dqn": (512,),
    "minatar": (128,),
}

_SHAPE: Final = (
    *("env", "dataset", "algorithm", "network", "hidden_sizes", "activation", "loss", "optimizer"),
    *("batch_size", "reward_clip", "train_steps"),
)

_USED_BY: Final[dict[str, tuple[str, ...]]] = {
    "optimizer_epsilon": ("adam", "rmsprop", "rmsprop_centered"),
    "beta1": ("adam",),
    "beta2": ("adam",),
    "rmsprop_decay": ("rmsprop", "rmsprop_centered"),
    "momentum": ("rmsprop", "rmsprop_centered", "sgd"),
}


def _check_environment(env: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+", env, re.ASCII):
        raise ValueError("must be family/name, such as 'bsuite/catch/0' or 'atari/Asterix'")
    return env


Environment = Annotated[str, Field(strict=True), AfterValidator(_check_environment)]
LayerWidth = Annotated[int, Field(strict=True, ge=1, le=65536)]


class TrialConfig(Specification):
    """All that decides what a trial learns; the fields are the columns of the store's `trials` table.

    A hyperparameter that the optimiser does not use must keep its default: otherwise two ids would stand
    for one computation, and an analysis would see a factor that has no effect by construction.
    """

    env: Environment = Field(description="the environment to evaluate in, such as 'bsuite/catch/0'")
    dataset: Name = Field(description="a name under `datasets`")
    seed: Seed = Field(description="decides initial weights, minibatches and evaluation episodes")
    algorithm: Algorithm = "dqn"
    network: Network = "mlp"
    hidden_sizes: tuple[LayerWidth, ...] = Field(
        # Pydantic leaves a refused `network` out of `data`; its own problem is reported then.
        default_factory=lambda data: DEFAULT_HIDDEN_SIZES[data.get("network", "mlp")],
        description="widths of the fully connected layers; () is a linear network",
    )
    activation: Activation = "relu"
    dropout: BelowOne = 0.0
    loss: Loss = "huber"
    optimizer: Optimizer = "adam"
    # Far beyond any sane value, so that explosions can be studied; finite in float32.
    learning_rate: Annotated[Positive, Field(le=1e12)] = 3e-4
    optimizer_epsilon: Positive = 1e-8
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.999
    rmsprop_decay: BelowOne = 0.95
    momentum: BelowOne = 0.0
    batch_size: Annotated[Count, Field(le=65536)] = 32
    discount: Probability = 0.99
    target_update_period: Count = Field(default=2500, description="in gradient steps")
    data_fraction: Annotated[Positive, Field(le=1)] = 1.0
    data_prefix: Annotated[Positive, Field(le=1)] = 1.0
    reward_clip: Positive | None = None
    train_steps: Count = Field(default=10_000, description="in gradient steps")

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if self.network != "mlp" and not self.hidden_sizes:
            message = f"{self.network} needs at least one width, such as [512]"
            problems.append(Problem(("hidden_sizes",), message, []))
        for name, optimizers in _USED_BY.items():
            value, default = getattr(self, name), type(self).model_fields[name].default
            if self.optimizer not in optimizers and value != default:
                message = f"is not used by optimizer {self.optimizer!r}, only by {', '.join(optimizers)}"
                problems.append(Problem((name,), f"{message}: leave it out", value))
        if problems:
            raise SpecificationError(problems)
        return self

    def shape_key(self) -> tuple[tuple[str, Any], ...]:
        """What changes the shape of the computation; trials with equal keys can be trained in one pack."""
        switches = (("dropout_on", self.dropout > 0), ("momentum_on", self.momentum > 0))
        return (*((name, getattr(self, name)) for name in _SHAPE), *switches)

    def canonical(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as JSON types.

        So a field that is added later, with a default, changes no id. Without `seed` and `dataset`: in the
        id the seed stands beside this, and the dataset's fingerprint stands for its name.
        """
        content = self.non_defaults()
        return {name: content[name] for name in content if name not in ("seed", "dataset")}

    def trial_id(self, dataset_fingerprint: str) -> str:
        """16 hexadecimal digits for this configuration, its seed and the content of its dataset."""
        content = {"config": self.canonical(), "seed": self.seed, "dataset": dataset_fingerprint}
        return digest(content)


def check_field(name: str, value: object) -> Any:
    """`value` as the field `name` of a `TrialConfig` would hold it.

    Raises `SpecificationError` with paths relative to the value.
    """
    try:
        return _adapter(name).validate_python(value)
    except ValidationError as error:
        raise SpecificationError(problems_in(error)) from None


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(TrialConfig.model_fields[name].rebuild_annotation())
