"""Words for columns: what a person reads where the store says ``srank`` or ``target_update_period``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A column in words: ``label`` (sentence case), ``unit`` ("" when a pure number) and what it is."""

    label: str
    unit: str = ""
    meaning: str = ""
    whole: bool = False
    """Whether every value is a whole number."""

    @property
    def inline(self) -> str:
        """Label as it reads within a sentence: "effective rank", but "TD error"."""
        return self.label if self.label[1:2].isupper() else self.label[:1].lower() + self.label[1:]

    @property
    def axis(self) -> str:
        """Label with its unit, for an axis or a table head."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


_TERMS: dict[str, Term] = {
    "return_mean": Term(
        "Return", "mean per episode", "undiscounted return of an evaluation episode, averaged"
    ),
    "return_std": Term("Return spread", "standard deviation", "between the episodes of one evaluation"),
    "return_normalized": Term("Normalised return", "", "0 is the random agent, 1 the reference score"),
    "episode_length": Term("Episode length", "agent steps"),
    "return_normalized_dqn": Term(
        "Return normalised by DQN", "", "0 is the random agent, 1 an online DQN's published score"
    ),
    "return_mean_perturbed": Term(
        "Perturbed return", "mean per episode", "return with disturbed observations, in the same episodes"
    ),
    "value_error": Term(
        "Value error", "root mean square", "Q against the true Q*, over all reachable states and actions"
    ),
    "value_bias": Term(
        "Value bias", "", "value at the start of an episode less the discounted return then obtained"
    ),
    "srank": Term(
        "Effective rank",
        "directions",
        "singular directions that hold 99 % of the sum of singular values (srank)",
        whole=True,
    ),
    "numerical_rank": Term("Numerical rank", "", "squared sum of singular values over sum of their squares"),
    "dead_units": Term(
        "Dead units", "", "features that are zero for every observation of the probe batch", whole=True
    ),
    "dormant_units": Term(
        "Dormant units", "", "features whose mean activation is small beside their layer's", whole=True
    ),
    "feature_norm": Term("Feature norm"),
    "feature_dot_product": Term(
        "Feature dot product", "", "mean dot product of the features of consecutive observations"
    ),
    "loss": Term("Training loss"),
    "td_error": Term("TD error"),
    "q_mean": Term("Mean Q value"),
    "grad_norm": Term("Gradient norm"),
    "param_norm": Term("Parameter norm"),
    "step": Term("Gradient steps"),
    "last_step": Term("Last step", "gradient steps"),
    "train_steps": Term("Training length", "gradient steps"),
    "final_step": Term("Last step", "gradient steps"),
    "diverged_step": Term("Diverged at", "gradient steps"),
    "env": Term("Environment"),
    "learning_rate": Term("Learning rate"),
    "optimizer_epsilon": Term("Optimiser epsilon"),
    "beta1": Term("Adam beta 1"),
    "beta2": Term("Adam beta 2"),
    "rmsprop_decay": Term("RMSProp decay"),
    "optimizer": Term("Optimiser"),
    "hidden_sizes": Term("Hidden layers", "units"),
    "batch_size": Term("Batch size"),
    "target_update_period": Term("Target update period", "gradient steps"),
    "data_fraction": Term("Share of the data"),
    "data_prefix": Term("First part of the data"),
    "discount": Term("Discount"),
    "reward_clip": Term("Reward clip"),
    "n_trials": Term("Trials"),
    "n_configurations": Term("Configurations"),
    "n_planned": Term("Planned trials"),
    "n_included": Term("In the analysis"),
    "n_excluded": Term("Left out"),
    "n_diverged": Term("Diverged"),
    "n_failed": Term("Failed"),
    "n_unfinished": Term("Unfinished"),
    "n_early_stopped": Term("Under early stopping"),
    "n_missing": Term("Measure missing"),
    "pearson": Term("Pearson correlation"),
    "spearman": Term("Spearman correlation"),
    "slope": Term("Slope"),
    "note": Term("Note"),
}


def term(column: str) -> Term:
    """The column in words; a column that is not known reads as its own name without underscores."""
    known = _TERMS.get(column)
    if known is not None:
        return known
    return Term(column.replace("_", " ").strip().capitalize() or column)


def label(column: str) -> str:
    """Label alone, such as "Effective rank"."""
    return term(column).label
