"""The definitions of a rank that were or might have been used, from measures and from stored vectors.

srank at other δ, the numerical and the entropy rank follow from the singular values of the features; the rank of
another layer from the vectors over layers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from sweep.analysis.association import Floats
from sweep.analysis.specifications.windows import stacked
from sweep.store.schema import VECTORS

RANKS: Final = ("srank", "numerical_rank", "entropy_rank", "srank_eigenvalue")
LAST: Final = "last"
LAYERS: Final = (LAST, "penultimate", "first", "mean")
_OF_LAYER: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "penultimate": lambda v: v[:, -2] if v.shape[1] > 1 else np.full(len(v), np.nan),
    "first": lambda v: v[:, 0],
    "mean": lambda v: v.mean(axis=1),
}


class Definition(NamedTuple):
    """A measure, of a layer, with a δ (NaN where it has none)."""

    measure: str
    layer: str = LAST
    delta: float = np.nan


def declared(
    measures: Sequence[str], layers: Sequence[str], deltas: Sequence[float], delta: float
) -> list[Definition]:
    """What the choices allow: each measure of each layer, and srank of the last layer at each of ``deltas`` too.

    ``delta`` is the protocol's, at which everything else was measured that needs one.
    """
    found = []
    for measure in measures:
        own = delta if measure.startswith("srank") else np.nan
        for layer in layers:
            if layer != LAST and f"layer_{measure}" not in VECTORS:
                continue
            found.append(Definition(measure, layer, own))
            if measure == "srank" and layer == LAST:
                found += [Definition(measure, LAST, other) for other in deltas if other != own]
    return found


def vectors_for(measures: Sequence[str], layers: Sequence[str]) -> list[str]:
    """Names of the vectors that the definitions are made of."""
    names = ["singular_values"] if {"srank", "numerical_rank", "entropy_rank"} & set(measures) else []
    others = [f"layer_{measure}" for measure in measures if set(layers) - {LAST}]
    return names + [name for name in others if name in VECTORS]


def series_of(
    definitions: Sequence[Definition], metrics: pd.DataFrame, spectra: pd.DataFrame | None, delta: float
) -> Iterator[tuple[Definition, pd.DataFrame]]:
    """trial_id, step and ``value`` of each definition that was measured, or whose vectors were stored."""
    for definition in definitions:
        measure, layer, own = definition
        logged = layer == LAST and (measure != "srank" or own == delta)
        if logged and measure in metrics.columns and metrics[measure].notna().any():
            taken = metrics.loc[metrics[measure].notna(), ["trial_id", "step", measure]]
            yield definition, taken.rename(columns={measure: "value"})
        elif spectra is not None:
            found = _from_vectors(definition, spectra)
            if found is not None:
                yield definition, found


def srank_of(sigma: Floats, delta: float) -> Floats:
    """Smallest k whose k largest of ``sigma`` ``[n, K]``, descending, hold 1 - delta of their sum (0 if all are 0).

    Gulcehre et al. (2022), eq. 1; as the probe counts it.
    """
    held = np.cumsum(sigma, axis=1)
    total = held[:, -1:]
    return np.where(total[:, 0] > 0, (held < (1 - delta) * total).sum(axis=1) + 1.0, 0.0)


def _from_vectors(definition: Definition, spectra: pd.DataFrame) -> pd.DataFrame | None:
    measure, layer, delta = definition
    name = "singular_values" if layer == LAST else f"layer_{measure}"
    rows = spectra[spectra["name"] == name]
    if rows.empty or (layer == LAST and measure not in ("srank", "numerical_rank", "entropy_rank")):
        return None
    value = np.full(len(rows), np.nan)
    for places, vectors in stacked(rows["values"]):
        if layer != LAST:
            value[places] = _OF_LAYER[layer](vectors)
        elif measure == "srank":
            value[places] = srank_of(vectors, delta)
        elif measure == "numerical_rank":
            squares = (vectors**2).sum(axis=1)
            value[places] = vectors.sum(axis=1) ** 2 / np.where(squares > 0, squares, 1.0)
        else:
            value[places] = _entropy_rank(vectors)
    return pd.DataFrame(
        {"trial_id": rows["trial_id"].to_numpy(), "step": rows["step"].to_numpy(), "value": value}
    )


def _entropy_rank(sigma: Floats) -> Floats:
    total = sigma.sum(axis=1, keepdims=True)
    share = np.divide(sigma, total, out=np.zeros_like(sigma), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.where(total[:, 0] > 0, np.exp(-(share * logs).sum(axis=1)), 0.0)
