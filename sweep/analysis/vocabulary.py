"""Words for columns: what a person reads where the store says ``srank`` or ``target_update_period``."""

from dataclasses import dataclass

from sweep.analysis.frames import FOREIGN_FIELD


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


_PROBES: dict[str, Term] = {
    "value_gap": Term(
        "Value gap",
        "root mean square",
        "Q of the actions taken against the discounted return from there, over all steps of evaluation",
    ),
    "q_max": Term("Largest Q value", "", "of any observation of the probe batch and any action"),
    "q_mean_max": Term("Mean largest Q value", "", "the best action's value, averaged over the probe batch"),
    "sparsity": Term(
        "Sparsity", "share of activations", "features that are exactly zero, over the probe batch"
    ),
    "dormant_ratio": Term("Dormant ratio", "share of units", "dormant units among the features"),
    "action_share": Term(
        "Commonest action",
        "share of observations",
        "whose greedy action is the commonest one; 1 is action collapse",
    ),
    "init_distance": Term(
        "Distance from initialisation",
        "",
        "Euclidean, between the network's parameters and their first values",
    ),
    "entropy_rank": Term(
        "Entropy rank", "directions", "exponential of the entropy of the singular values over their sum"
    ),
    "srank_eigenvalue": Term(
        "Eigenvalue rank",
        "directions",
        "as the effective rank, of the eigenvalues' sizes of as many observations as features",
        whole=True,
    ),
    "correlation": Term("Correlation of units", "", "mean over every two features that vary"),
    "feature_cosine": Term(
        "Feature cosine",
        "",
        "mean cosine of the features of consecutive observations: their dot product without norms",
    ),
    "policy_entropy": Term(
        "Policy entropy", "nats", "of the softmax of what the agent acts on, averaged over the probe batch"
    ),
    "greedy_action_entropy": Term(
        "Entropy of greedy actions", "nats", "over the probe batch; 0 is action collapse"
    ),
    "gram_mean": Term(
        "Mean Gram product", "", "of the features of every two units, or every two observations"
    ),
    "gram_zeros": Term("Zeros of the Gram matrix", "share of elements", "products that are exactly zero"),
    "fit_error_q_star": Term(
        "Fitting error of Q*",
        "mean square",
        "least that a linear map of the features leaves, over all reachable states",
    ),
    "fit_error_target": Term(
        "Fitting error of targets",
        "mean square",
        "least that a linear map of the features leaves of one-step Q-learning targets",
    ),
    "hessian_positive": Term(
        "Positive curvature", "share of eigenvalues", "of the Hessian of the training loss"
    ),
    "hessian_negative": Term(
        "Negative curvature", "share of eigenvalues", "of the Hessian of the training loss"
    ),
    "hessian_zero": Term(
        "Flat curvature", "share of eigenvalues", "of the Hessian of the training loss, near zero"
    ),
    "hessian_largest": Term("Sharpness", "largest eigenvalue", "of the Hessian of the training loss"),
    "lanczos_positive": Term(
        "Positive curvature", "estimated share", "of the Hessian's eigenvalues, by Lanczos steps"
    ),
    "lanczos_negative": Term(
        "Negative curvature", "estimated share", "of the Hessian's eigenvalues, by Lanczos steps"
    ),
    "lanczos_zero": Term(
        "Flat curvature", "estimated share", "of the Hessian's eigenvalues near zero, by Lanczos steps"
    ),
    "lanczos_largest": Term("Sharpness", "estimated largest eigenvalue", "of the Hessian, by Lanczos steps"),
    "robustness_shift_auc": Term(
        "Robustness to shifts",
        "area",
        "under the share of the return that is kept, over the amounts in pixels",
    ),
    "robustness_scale_auc": Term(
        "Robustness to scaling",
        "area",
        "under the share of the return that is kept, over the amounts as shares",
    ),
    "robustness_noise_auc": Term(
        "Robustness to noise",
        "area",
        "under the share of the return that is kept, over the standard deviations",
    ),
    "linear_probe_error": Term(
        "State not explained",
        "share of variance",
        "of the environment's state, by the best few activations of the last hidden layer",
    ),
}

_VECTORS: dict[str, Term] = {
    "singular_values": Term("Singular values", "", "of the features, descending"),
    "episode_returns": Term("Returns", "per episode", "of one evaluation, undiscounted"),
    "layer_srank": Term("Effective rank by layer", "directions", "from input to output", whole=True),
    "layer_numerical_rank": Term("Numerical rank by layer"),
    "layer_dead_units": Term("Dead units by layer", whole=True),
    "layer_dormant_ratio": Term("Dormant ratio by layer", "share of units"),
    "layer_sparsity": Term("Sparsity by layer", "share of activations"),
    "layer_correlation": Term("Correlation of units by layer"),
    "layer_grad_norm": Term("Gradient norm by layer", "", "the head last"),
    "layer_init_distance": Term("Distance from initialisation by layer", "", "the head last"),
    "action_shares": Term("Greedy actions", "share of observations", "by action"),
    "gram": Term("Gram matrix", "", "of features, row by row"),
    "hessian_eigenvalues": Term("Hessian eigenvalues", "", "of the training loss, descending"),
    "lanczos_nodes": Term("Hessian eigenvalues", "estimated", "nodes of a quadrature, vector by vector"),
    "lanczos_weights": Term("Weight of eigenvalues", "share", "of the nodes of the quadrature"),
    "reinit_loss": Term("Loss of a layer put back", "", "training loss then, less the loss now, by layer"),
    "reinit_output": Term("Change of a layer put back", "root mean square", "of the values, by layer"),
    "reinit_action": Term("Actions of a layer put back", "share that changes", "of greedy actions, by layer"),
    "robustness_shift": Term("Return kept under shifts", "share", "at each amount, undisturbed first"),
    "robustness_shift_returns": Term(
        "Return under shifts", "mean per episode", "at each amount, undisturbed first"
    ),
    "robustness_scale": Term("Return kept under scaling", "share", "at each amount, undisturbed first"),
    "robustness_scale_returns": Term(
        "Return under scaling", "mean per episode", "at each amount, undisturbed first"
    ),
    "robustness_noise": Term("Return kept under noise", "share", "at each amount, undisturbed first"),
    "robustness_noise_returns": Term(
        "Return under noise", "mean per episode", "at each amount, undisturbed first"
    ),
    "linear_probe_mse": Term(
        "Probing error by layer", "mean square", "of the environment's state, on test samples"
    ),
    "linear_probe_unexplained": Term("State not explained by layer", "share of variance"),
    "linear_probe_units": Term("Activations used by layer", "", "by the best linear probe of the state"),
}

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
    "grad_norm": Term("Gradient norm", "", "of the training loss on the probe batch, over all parameters"),
    "param_norm": Term("Parameter norm", "", "Euclidean norm over the network's own parameters"),
    **_PROBES,
    **_VECTORS,
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
    "n_step": Term("Steps of a return"),
    "target_tau": Term("Target averaging"),
    "num_quantiles": Term("Quantiles"),
    "num_atoms": Term("Atoms"),
    "v_max": Term("Largest value of the atoms"),
    "num_heads": Term("Heads"),
    "cql_alpha": Term("CQL alpha"),
    "bcq_threshold": Term("BCQ threshold"),
    "bcq_logit_penalty": Term("BCQ logit penalty"),
    "lstm_size": Term("LSTM size"),
    "lstm_activation": Term("LSTM activation"),
    "curl_weight": Term("CURL weight"),
    "curl_momentum": Term("CURL momentum"),
    "curl_shift": Term("CURL shift"),
    "curl_noise": Term("CURL noise"),
    "sam_weight": Term("SAM weight"),
    "sam_rho": Term("SAM rho"),
    "dr3_weight": Term("DR3 weight"),
    "dr3_variant": Term("DR3 variant"),
    "srank_penalty": Term("Penalty on singular values"),
    "redo_period": Term("ReDo period", "gradient steps"),
    "redo_threshold": Term("ReDo threshold"),
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
    "approach": Term("Approach"),
    "variable": Term("Hyperparameter"),
    "word": Term("Beside the other", "", "agrees, shrinks, vanishes, reverses, appears, or cannot tell"),
    "change": Term("Change", "standard deviations of the outcome"),
    "partial_r2": Term("Partial R²", "share of variance"),
    "robustness_value": Term("Robustness value", "", "to take the estimate to zero"),
    "robustness_value_bound": Term("Robustness value of the interval", "", "to take its bound to zero"),
    "e_value": Term("E-value"),
    "e_value_bound": Term("E-value of the interval"),
    "outside": Term("Without overlap", "share of trials"),
    "times": Term("Times as strong"),
    "times_to_zero": Term("Times as strong to reach zero"),
    "benchmark": Term("As strong as"),
    "measure_effect": Term("Effect on the measure"),
    "pooled_slope": Term("Slope over all trials", "outcome per standard deviation of the measure"),
    "within_slope": Term("Slope within groups", "outcome per standard deviation of the measure"),
    "pooled_spearman": Term("Spearman over all trials"),
    "within_spearman": Term("Spearman within groups"),
    "group": Term("Grouped by"),
    "n_groups": Term("Groups"),
    "smallest_group": Term("Smallest group", "trials"),
    "n_tested": Term("Groups with a slope"),
    "share_opposed": Term("Slopes of the other sign", "share of groups"),
    "n_opposed": Term("Slopes clearly of the other sign", "groups"),
    "flip_share": Term("Signs differ", "share of bootstrap draws"),
    "measure_sd": Term("Standard deviation of the measure"),
    "type": Term("Trials of"),
    "quantile": Term("Quantile", "", "of the measure, where the trials are divided"),
    "tau": Term("Threshold", "", "the quantile's value, in units of the measure"),
    "n_above": Term("Trials above", "", "the threshold"),
    "n_below": Term("Trials below", "", "the threshold, or at it"),
    "n_configurations_above": Term("Configurations above", "", "the threshold, with any of their seeds"),
    "n_configurations_below": Term(
        "Configurations below", "", "the threshold, or at it, with any of their seeds"
    ),
    "ate": Term(
        "Difference above the threshold",
        "",
        "mean outcome above it less that below: associational, not an effect",
    ),
    "p_holm": Term("p after Holm", "", "corrected for all rows of the table"),
    "p_bh": Term("p after Benjamini-Hochberg", "", "for looking through the rows of the table"),
    "paper_tau": Term("Threshold, as in the paper"),
    "paper_ate": Term("Difference, as in the paper"),
    "paper_half_width": Term(
        "Half-width, as in the paper", "", "1.645 standard errors, trials as independent"
    ),
    "paper_p": Term("One-sided p, as in the paper", "", "of a difference above zero, trials as independent"),
    "at": Term("Value of the measure"),
    "fit": Term("Mean outcome there", "", "by a natural cubic spline"),
    "line": Term("Line there", "", "by least squares"),
    "bend_p": Term("p of a bend", "", "of a straight line against the curve"),
    "bend_p_holm": Term("p of a bend after Holm"),
    "explained_by_line": Term("Explained by the line", "share of variance", "between trials"),
    "explained_by_curve": Term("Explained by the curve", "share of variance", "between trials"),
    "knots": Term("Knots", "", "of the curve; none where it is the line", whole=True),
    "effect": Term(
        "Difference or slope", "", "associational: of trials above a threshold, or per standard deviation"
    ),
    "effect_p": Term("p of no difference"),
    "sesoi": Term("Smallest effect of interest", "", "declared beforehand, in units of the outcome"),
    "equivalence_p": Term(
        "p of equivalence", "", "of an effect as large as the smallest of interest, or larger"
    ),
    "verdict": Term("Verdict"),
    "n_environments": Term("Environments"),
    "unit": Term(
        "Drawn as a whole", "", "what the interval repeats: a seed, or a configuration with all its seeds"
    ),
    "period": Term("Period", "", "the last evaluation, or the mean of all after step 0"),
    "score": Term("Score"),
    "iqm": Term("Interquartile mean", "", "of the middle half of all runs"),
    "median": Term("Median"),
    "mean": Term("Mean"),
    "optimality_gap": Term("Optimality gap", "", "how far runs stay below the score aimed at, on average"),
    "improvement": Term(
        "Probability of improvement", "", "that a run of the first kind beats one of the second"
    ),
    "improvement_p": Term("p of no difference", "", "by permutation of runs within environments"),
    "perturbation": Term("Disturbance"),
    "amount": Term("Amount", "", "of the disturbance: pixels, share of the size, or standard deviation"),
    "against": Term("Compared with"),
    "offset": Term("Added to every return"),
    "position": Term("Place on the curve", whole=True),
    "delta": Term("δ", "", "share of the singular values' sum that the rank leaves out"),
    "window": Term("Window", "share of training", "the last part, averaged over; 0 is the last value"),
    "threshold": Term("Split at", "quantile", "of the measure; none is a straight line"),
    "adjust": Term("Adjusted for"),
    "n_possible": Term("Specifications declared", whole=True),
    "n_run": Term("Specifications run", whole=True),
    "n_duplicate": Term("Same as another", "specifications", whole=True),
    "median_p": Term("p of the median", "", "by permutation of outcomes among configurations"),
    "share_of_sign": Term("Of the commoner sign", "share of specifications"),
    "share_significant": Term("Significant with that sign", "share of specifications"),
    "share_significant_p": Term("p of that share", "", "by permutation of outcomes among configurations"),
    "share_significant_other_sign": Term("Significant with the other sign", "share of specifications"),
    "mean_z": Term("Mean normal score", "", "of the specifications"),
    "mean_z_p": Term("p of the mean score", "", "by permutation of outcomes among configurations"),
    **{
        f"phase{k}_{end}": Term(f"Phase {k} {word}", "gradient steps")
        for k in (1, 2, 3)
        for end, word in (("begin", "begins"), ("end", "ends"))
    },
    **{
        f"phase{k}_confidence": Term(f"Confidence in phase {k}", "", "that it is there, or that it is not")
        for k in (1, 2, 3)
    },
    **{f"phase{k}_srank": Term(f"Effective rank in phase {k}", "median") for k in (1, 2, 3)},
    **{f"phase{k}_return_mean": Term(f"Return in phase {k}", "median") for k in (1, 2, 3)},
    "of": Term("Chosen among values of"),
    "best": Term("Best value", "", "the one with the highest mean outcome at that step"),
    "n_tied": Term("Equally good", "values"),
    "best_outcome": Term("Mean outcome of the best"),
    "share": Term("Best again", "share of bootstrap draws"),
    "not_distinguishable": Term("Not clearly worse", "values"),
    "n_not_distinguishable": Term("Not clearly worse", "number of values"),
    "n_values": Term("Values"),
    "n_evaluated": Term("Trials evaluated", "", "by that step"),
    "n_measured": Term("Trials measured", "", "by that step"),
    "repeated_by": Term("Repeated by"),
    "n_repeats": Term("Repeats", "", "of the value"),
    "selector": Term("Chosen by"),
    "n_candidates": Term("Candidates"),
    "n_seeds": Term("Seeds"),
    "chosen": Term("Choice of most seeds"),
    "chosen_share": Term("Seeds that agree", "share"),
    "valued": Term("Worth of a candidate"),
    "regret": Term("Simple regret", "", "0 is the best candidate and 1 the worst"),
    "regret_se": Term("Standard error of the regret", "over seeds"),
    "sets_mean": Term("Mean regret over sets of candidates"),
    "sets_low": Term("Lower bound over sets of candidates"),
    "sets_high": Term("Upper bound over sets of candidates"),
    "gain": Term("Better than one choice for all games", "%"),
    "gain_se": Term("Standard error of the gain", "%"),
    "spearman_p_holm": Term("p of Spearman after Holm", "", "over the environments of a space"),
    "association": Term("Association"),
    "factor": Term("Factor", "", "a hyperparameter, or the environment, with two levels"),
    "control": Term("Control"),
    "treatment": Term("Treatment"),
    "half_width": Term("Half-width of the interval"),
    "freedom": Term("Degrees of freedom"),
    "hc3_half_width": Term("Half-width, trials as independent", "", "by HC3, the same model"),
    "plain_effect": Term("Difference of the means", "", "nothing else held fixed"),
    "plain_half_width": Term("Half-width, as in the paper", "", "of that difference, trials as independent"),
    "max_correlation": Term("Largest correlation with another factor", "", "among the trials that are left"),
    "n_control": Term("Trials at control", whole=True),
    "n_treatment": Term("Trials at treatment", whole=True),
    "configurations_control": Term("Configurations at control", whole=True),
    "configurations_treatment": Term("Configurations at treatment", whole=True),
    "excluded_control": Term("Left out at control", whole=True),
    "excluded_treatment": Term("Left out at treatment", whole=True),
    "n_cells": Term("Combinations with a trial", whole=True),
    "n_cells_planned": Term("Combinations planned", whole=True),
    "aliases": Term("Mixed with", "", "interactions that the design cannot tell from the effect"),
    "together": Term("Changes with it", "", "columns that differ wherever the factor does"),
    "control_rule": Term("Control is from"),
    "model": Term("In the model"),
    "kind": Term("Kind", "", "randomised where the design set the levels, else associational"),
    "first": Term("First"),
    "second": Term("Second"),
    "first_effect": Term("Effect of the first alone", "", "from the control"),
    "second_effect": Term("Effect of the second alone", "", "from the control"),
    "interaction": Term("Interaction", "", "effect of both at once less that of each alone"),
    "interaction_p": Term("p of no interaction"),
    "interaction_p_bh": Term("p of no interaction after Benjamini-Hochberg"),
    "cells_effect": Term(
        "Difference of the two cells", "", "trials equal in seed and blocks, without a model"
    ),
    "n_control_cell": Term("Trials of the control cell", whole=True),
    "n_pair_cell": Term("Trials of the pair's cell", whole=True),
    "n_matched": Term("Matched in seed and blocks", whole=True),
    "path": Term("Path"),
    "treatment_scale": Term("Scale of the treatment", "", "log10: an effect is per factor of ten"),
    "standardised": Term("Standardised", "standard deviations"),
    "share_of_total": Term("Share of the total effect"),
    "adjusted_for": Term("Held fixed"),
    "identification": Term("What it assumes"),
    "sd_between": Term("Spread between configurations", "standard deviation"),
    "sd_within": Term("Spread between seeds", "standard deviation"),
    "sd_between_upper": Term("Spread between configurations, at most", "standard deviation"),
    "sd_within_upper": Term("Spread between seeds, at most", "standard deviation"),
    "share_between": Term("Share between configurations", "of the variance"),
    "share_between_upper": Term("Share between configurations, at most", "of the variance"),
    "seeds_per_configuration": Term("Seeds of a configuration"),
    "freedom_between": Term("Degrees of freedom between configurations", whole=True),
    "freedom_within": Term("Degrees of freedom between seeds", whole=True),
    "removed": Term("Taken out"),
    "note": Term("Note"),
}


def term(column: str) -> Term:
    """The column in words; a column that is not known reads as its own name without underscores."""
    known = _TERMS.get(column)
    if known is not None:
        return known
    return Term(column.removeprefix(FOREIGN_FIELD).replace("_", " ").strip().capitalize() or column)


def label(column: str) -> str:
    """Label alone, such as "Effective rank"."""
    return term(column).label
