"""How strong would something unseen have to be to explain an association away? Robustness value and E-value.

Cinelli & Hazlett (2020), "Making sense of sensitivity", JRSS B 82:39: with the confounder in the regression, the
estimate would be what it is less ``sqrt(R2_YZ R2_DZ / (1 - R2_DZ)) * error * sqrt(freedom)`` (equation 14), where R2_DZ
and R2_YZ are the shares that the confounder explains of what is left of the measure and, beside the measure, of the
outcome. VanderWeele & Ding (2017), "Sensitivity analysis in observational research: introducing the E-value",
Annals of Internal Medicine 167:268.

The classical standard error and degrees of freedom stand for the algebra of least squares here, which is exact
whatever the errors are. Where a bound or a p is meant, ``inflation`` carries the clusters: the ratio of the clustered
standard error to the classical one, taken not to change when the confounder enters.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Fit:
    """The coefficient of a measure by least squares, beside the other regressors.

    ``error`` is the classical standard error, ``freedom`` the residual degrees of freedom (trials less coefficients);
    ``inflation`` and ``critical_freedom`` are of the clusters, 1 and ``freedom`` where there are none.
    """

    estimate: float
    error: float
    freedom: float
    inflation: float = 1.0
    critical_freedom: float | None = None

    def critical(self, confidence: float) -> float:
        """What |estimate| / classical error must exceed for the interval to leave zero out, one freedom less."""
        freedom = self.freedom - 1 if self.critical_freedom is None else self.critical_freedom
        return float(stats.t.ppf((1 + confidence) / 2, freedom)) * self.inflation


@dataclass(frozen=True)
class Confounder:
    """Shares in [0, 1] that something unseen explains of what is left of the ``measure`` and of the ``outcome``."""

    measure: float
    outcome: float


def partial_r2(fit: Fit) -> float:
    """Share of what is left of the outcome that the measure explains.

    A confounder that explained all that is left of the outcome would have to explain this share of the measure.
    """
    t = fit.estimate / fit.error
    return float(t * t / (t * t + fit.freedom))


def robustness_value(fit: Fit, confidence: float | None = None, *, share: float = 1.0) -> float:
    """Share of both measure and outcome that a confounder must explain to take away ``share`` of the estimate.

    With a ``confidence``, to bring the interval of that level to zero; 0 where it holds zero already. Equations 17 to
    19; of a very strong association the bound comes nearest to zero where the confounder explains more of the measure
    than of the outcome, as later versions of the authors' package sensemakr have it.
    """
    strength = share * abs(fit.estimate / fit.error) / np.sqrt(fit.freedom)
    if confidence is None:
        return _equal_shares(strength)
    if fit.freedom <= 1:
        # One coefficient more leaves nothing to tell an error from.
        return 0.0
    limit = fit.critical(confidence) / np.sqrt(fit.freedom - 1)
    if strength <= limit:
        return 0.0
    if limit * strength < 1:
        return _equal_shares(strength - limit)
    return float((strength**2 - limit**2) / (1 + strength**2))


def adjusted(fit: Fit, confounder: Confounder, confidence: float) -> tuple[float, float, float]:
    """Estimate and interval if the confounder were in the regression and pulled the estimate towards zero and past."""
    bias = (
        np.sqrt(confounder.outcome * confounder.measure / (1 - confounder.measure))
        * fit.error
        * np.sqrt(fit.freedom)
    )
    estimate = np.sign(fit.estimate) * (abs(fit.estimate) - bias)
    error = (
        np.sqrt((1 - confounder.outcome) / (1 - confounder.measure))
        * fit.error
        * np.sqrt(fit.freedom / (fit.freedom - 1))
    )
    reach = fit.critical(confidence) * error
    return float(estimate), float(estimate - reach), float(estimate + reach)


def as_strong_as(benchmark: Confounder, times: float) -> Confounder | None:
    """The most that a confounder can explain that is ``times`` as strong as a regressor, or a group of them.

    ``benchmark`` holds the regressor's partial R2 with the measure (given the other regressors) and with the outcome
    (given these and the measure). None where nothing can be so strong: it would explain all of the measure. Section
    4.4 and appendix; an outcome's share of more than 1 is 1.
    """
    if benchmark.measure >= 1 or times * benchmark.measure >= 1:
        return None
    measure = times * benchmark.measure / (1 - benchmark.measure)
    if measure >= 1:
        return None
    shared = times * benchmark.measure**2 / ((1 - times * benchmark.measure) * (1 - benchmark.measure))
    if shared >= 1:
        return None
    if benchmark.outcome >= 1:
        return Confounder(float(measure), 1.0)
    own = benchmark.outcome / (1 - benchmark.outcome)
    outcome = (np.sqrt(times) + np.sqrt(shared)) ** 2 / (1 - shared) * own
    return Confounder(float(measure), float(min(outcome, 1.0)))


def e_value(ratio: float) -> float:
    """Risk ratio that a confounder must have with both exposure and outcome to explain a risk ratio away."""
    above = max(ratio, 1 / ratio)
    return float(above + np.sqrt(above * (above - 1)))


def e_values_of_difference(d: float, low: float, high: float) -> tuple[float, float]:
    """E-values of a standardised mean difference ``d`` and of the bound of its interval that is nearer to zero.

    The risk ratio is taken as exp(0.91 d) (VanderWeele & Ding, Table 2), an approximation: of being in the upper part
    of an outcome cut anywhere. A bound on the other side of zero has an E-value of 1: nothing need be unseen.
    """
    nearer = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return e_value(float(np.exp(0.91 * abs(d)))), e_value(float(np.exp(0.91 * nearer)))


def _equal_shares(strength: float) -> float:
    return float((np.sqrt(strength**4 + 4 * strength**2) - strength**2) / 2)
