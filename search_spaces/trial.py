"""The unit of science: one configuration with one seed."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from search_spaces.algorithms import ALGORITHMS, SPECIFIC, check_algorithm, is_own
from search_spaces.canonical import digest
from search_spaces.errors import Problem, SpecificationError
from search_spaces.specification import (
    BelowOne,
    Count,
    Name,
    Natural,
    NotNegative,
    Positive,
    Probability,
    Seed,
    Specification,
    problems_in,
)

Network = Literal["mlp", "nature_dqn", "minatar"]
Activation = Literal["relu", "tanh", "elu", "sigmoid", "leaky_relu", "identity"]
Loss = Literal["huber", "mse"]
Optimizer = Literal["adam", "rmsprop", "rmsprop_centered", "sgd"]
Initialization = Literal["uniform", "he", "orthogonal"]
DR3Variant = Literal["dot", "stop_gradient", "absolute", "label_noise"]

DEFAULT_HIDDEN_SIZES: Final[dict[str, tuple[int, ...]]] = {
    "mlp": (64, 64),
    "nature_dqn": (512,),
    "minatar": (128,),
}

_CONVOLUTIONS: Final[dict[str, int]] = {"mlp": 0, "nature_dqn": 3, "minatar": 1}
"""How many each network has before its fully connected layers."""

_SHAPE: Final = (
    *("env", "dataset", "algorithm", "network", "hidden_sizes", "bottleneck", "activation", "layer_norm"),
    *(
        "initialization",
        "loss",
        "optimizer",
        "batch_size",
        "reward_clip",
        "train_steps",
        "n_step",
        "num_quantiles",
    ),
    *("num_atoms", "num_heads", "target_policy", "reinitialize", "lstm_size", "lstm_activation"),
    *("sequence_length", "burn_in", "sequence_shift", "recurrent_state", "value_rescaling", "dr3_variant"),
    *("curl_shift",),
)
_SWITCHES: Final = (
    *("dropout", "momentum", "weight_decay", "target_tau", "curl_weight", "sam_weight", "dr3_weight"),
    *("srank_penalty", "feature_norm_weight"),
)
"""Numbers that are off at 0: on or off is part of the shape, the number is not."""

_SETTINGS_OF: Final[dict[str, tuple[str, ...]]] = {
    "curl_weight": ("curl_momentum", "curl_shift", "curl_noise"),
    "sam_weight": ("sam_rho",),
    "dr3_weight": ("dr3_variant",),
    "redo_period": ("redo_threshold",),
    "reset_period": ("reset_layers",),
}
"""What belongs to something that can be off. Off, it has no effect, and goes back to its default."""

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


def _check_target_policy(policy: str) -> str:
    if policy in ("behaviour", "uniform", "optimal"):
        return policy
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}/[0-9a-f]{16}", policy):
        raise ValueError(
            "must be behaviour, uniform, optimal, or SWEEP/TRIAL_ID such as demo/0123456789abcdef"
        )
    return policy


AlgorithmName = Annotated[str, Field(strict=True), AfterValidator(check_algorithm)]
PolicyToEvaluate = Annotated[str, Field(strict=True), AfterValidator(_check_target_policy)]
Environment = Annotated[str, Field(strict=True), AfterValidator(_check_environment)]
LayerWidth = Annotated[int, Field(strict=True, ge=1, le=65536)]


class TrialConfig(Specification):
    """All that decides what a trial learns; the fields are the columns of the store's `trials` table.

    A hyperparameter that the optimiser or the algorithm does not use must keep its default: otherwise two ids
    would stand for one computation, and an analysis would see a factor that has no effect by construction.
    What belongs to a regulariser or a mitigation that is off goes back to its default by itself, so that a
    design can switch it.
    """

    env: Environment = Field(description="the environment to evaluate in, such as 'bsuite/catch/0'")
    dataset: Name = Field(description="a name under `datasets`")
    seed: Seed = Field(description="decides initial weights, minibatches and evaluation episodes")
    algorithm: AlgorithmName = "dqn"
    network: Network = "mlp"
    hidden_sizes: tuple[LayerWidth, ...] = Field(
        # Pydantic leaves a refused `network` out of `data`; its own problem is reported then.
        default_factory=lambda data: DEFAULT_HIDDEN_SIZES[data.get("network", "mlp")],
        description="widths of the fully connected layers; () is a linear network",
    )
    bottleneck: LayerWidth | None = Field(
        default=None,
        description="width of one more layer, like the others, before the last of `hidden_sizes`; behind it where "
        "there is only one (Gulcehre et al., A.13)",
    )
    activation: Activation = "relu"
    layer_norm: Annotated[bool, Field(strict=True)] = False
    initialization: Initialization = Field(
        default="uniform", description="of weights; uniform is PyTorch's default"
    )
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
    weight_decay: NotNegative = Field(default=0.0, description="decoupled (AdamW), times the learning rate")
    batch_size: Annotated[Count, Field(le=65536)] = Field(default=32, description="of r2d2, in sequences")
    discount: Probability = 0.99
    n_step: Annotated[Count, Field(le=1000)] = Field(default=1, description="rewards before the bootstrap")
    target_update_period: Count = Field(default=2500, description="in gradient steps")
    target_tau: Probability = Field(
        default=0.0, description="Polyak averaging of the target network, each step, in place of the period"
    )
    data_fraction: Annotated[Positive, Field(le=1)] = 1.0
    data_prefix: Annotated[Positive, Field(le=1)] = 1.0
    reward_clip: Positive | None = None
    train_steps: Count = Field(default=10_000, description="in gradient steps")
    # Of some algorithms.
    cql_alpha: NotNegative = Field(default=1.0, description="weight of CQL's penalty")
    num_quantiles: Annotated[Count, Field(le=1000)] = 200
    num_atoms: Annotated[int, Field(strict=True, ge=2, le=1000)] = 51
    v_max: Positive = Field(default=10.0, description="of c51: atoms lie from -v_max to v_max")
    num_heads: Annotated[Count, Field(le=1000)] = 200
    bcq_threshold: Probability = 0.3
    bcq_logit_penalty: NotNegative = 0.01
    ranking_weight: NotNegative = Field(default=0.0, description="of R-BVE's ranking term")
    ranking_margin: NotNegative = 0.05
    target_policy: PolicyToEvaluate = Field(
        default="behaviour", description="of fqe: behaviour, uniform, optimal, or SWEEP/TRIAL_ID"
    )
    reinitialize: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="of fqi: a fresh network at each fitting iteration"
    )
    lstm_size: LayerWidth = 256
    lstm_activation: Literal["tanh", "relu"] = "tanh"
    sequence_length: Annotated[int, Field(strict=True, ge=2, le=4096)] = 120
    burn_in: Natural = 0
    sequence_shift: Count | None = Field(default=None, description="None: half of what is learnt from")
    recurrent_state: Literal["zero", "stored"] = "zero"
    value_rescaling: Annotated[bool, Field(strict=True)] = True
    # Regularisers; 0 is off.
    curl_weight: NotNegative = 0.0
    curl_momentum: BelowOne = 0.999
    curl_shift: Natural = Field(default=4, description="of images: most pixels of the random shift")
    curl_noise: NotNegative = Field(default=0.1, description="of vectors: standard deviation of the noise")
    sam_weight: Probability = Field(default=0.0, description="share of the gradient that is taken at θ + ε")
    sam_rho: Positive = 0.05
    dr3_weight: NotNegative = 0.0
    dr3_variant: DR3Variant = "dot"
    srank_penalty: NotNegative = Field(default=0.0, description="weight of σ²max - σ²min of the features")
    feature_norm_weight: NotNegative = 0.0
    # Mitigations; None is off.
    redo_period: Count | None = Field(
        default=None, description="gradient steps between recyclings of dormant units"
    )
    redo_threshold: NotNegative = 0.025
    reset_period: Count | None = Field(
        default=None, description="gradient steps between resets of the last layers"
    )
    reset_layers: Count = 1

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if self.network != "mlp" and not self.hidden_sizes:
            message = f"{self.network} needs at least one width, such as [512]"
            problems.append(Problem(("hidden_sizes",), message, []))
        for name, optimizers in _USED_BY.items():
            if self.optimizer not in optimizers and self._is_set(name):
                message = f"is not used by optimizer {self.optimizer!r}, only by {', '.join(optimizers)}"
                problems.append(Problem((name,), f"{message}: leave it out", getattr(self, name)))
        problems += self._check_algorithm() + self._check_features() + self._check_mitigations()
        if problems:
            raise SpecificationError(problems)
        self._forget_what_is_off()
        return self

    def _check_algorithm(self) -> list[Problem]:
        problems = []
        for name, algorithms in SPECIFIC.items():
            used = self.algorithm in algorithms or is_own(self.algorithm)
            if not used and self._is_set(name):
                message = f"is not used by algorithm {self.algorithm!r}, only by {', '.join(algorithms)}: leave it out"
                problems.append(Problem((name,), message, getattr(self, name)))
        if not is_own(self.algorithm):
            for name, reason in ALGORITHMS[self.algorithm].refuses.items():
                if self._is_set(name):
                    message = f"cannot be combined with algorithm {self.algorithm!r}: {reason}; leave it out"
                    problems.append(Problem((name,), message, getattr(self, name)))
        if self.algorithm == "r2d2" and self.dr3_weight > 0 and self.dr3_variant == "label_noise":
            message = (
                "cannot be label_noise with algorithm 'r2d2': it is of the gradients of single transitions, and r2d2 "
                "learns from sequences; use dot"
            )
            problems.append(Problem(("dr3_variant",), message, self.dr3_variant))
        if self.burn_in >= self.sequence_length:
            message = (
                f"must be below sequence_length, {self.sequence_length}: something must be left to learn from"
            )
            problems.append(Problem(("burn_in",), message, self.burn_in))
        elif self.sequence_shift is not None and self.sequence_shift > self.sequence_length - self.burn_in:
            message = (
                f"must be at most sequence_length - burn_in, {self.sequence_length - self.burn_in}: "
                "else some transitions would never be learnt from"
            )
            problems.append(Problem(("sequence_shift",), message, self.sequence_shift))
        return problems

    def _check_features(self) -> list[Problem]:
        """A linear network's features are its observations: nothing that acts on features has an effect."""
        if self.hidden_sizes:
            return []
        why = "acts on features, and a linear network's are the observations: give hidden_sizes, or leave it out"
        names = (
            "curl_weight",
            "dr3_weight",
            "srank_penalty",
            "feature_norm_weight",
            "bottleneck",
            "redo_period",
        )
        return [Problem((name,), why, getattr(self, name)) for name in names if self._is_set(name)]

    def _check_mitigations(self) -> list[Problem]:
        problems = []
        if self.reset_period is not None and self.reset_layers > (layers := self._layers()):
            message = f"must be at most {layers}, the layers of this network with its head"
            problems.append(Problem(("reset_layers",), message, self.reset_layers))
        if self.reinitialize and self.target_tau > 0:
            message = "cannot be combined with reinitialize: Polyak averaging has no fitting iterations; leave one out"
            problems.append(Problem(("target_tau",), message, self.target_tau))
        return problems

    def _layers(self) -> int:
        recurrent = self.algorithm == "r2d2"
        dense = len(self.hidden_sizes) + (self.bottleneck is not None)
        return _CONVOLUTIONS[self.network] + dense + recurrent + 1

    def _forget_what_is_off(self) -> None:
        for switch, settings in _SETTINGS_OF.items():
            if not getattr(self, switch):
                self._reset(settings)
        if self.target_tau > 0:
            self._reset(("target_update_period",))

    def _reset(self, names: tuple[str, ...]) -> None:
        # Frozen for everyone else.
        defaults = _defaults()
        self.__dict__.update({name: defaults[name] for name in names})

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != _defaults()[name])

    def shape_key(self) -> tuple[tuple[str, Any], ...]:
        """What changes the shape of the computation; trials with equal keys can be trained in one pack."""
        values = self.__dict__
        switches = [(f"{name}_on", values[name] > 0) for name in _SWITCHES]
        return (*[(name, values[name]) for name in _SHAPE], *switches)

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
def _defaults() -> dict[str, Any]:
    return {name: field.default for name, field in TrialConfig.model_fields.items()}


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(TrialConfig.model_fields[name].rebuild_annotation())
