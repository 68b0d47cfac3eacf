"""What can be measured on a network's features: pure functions with any leading axes.

``features`` is ``[..., N, D]``: D features of N inputs. Results have the leading axes. A slice that holds a
NaN or an infinity gives NaN for that slice alone.
"""

import torch
from torch import Tensor


def singular_values(features: Tensor) -> Tensor:
    """Singular values in descending order, float64 ``[..., min(N, D)]``, unit of the features.

    They are roots of eigenvalues of the smaller Gram matrix in float64, an order of magnitude faster than an
    SVD. Values under √(eps · max(N, D)) of the largest (3e-7 for 512 inputs) are given as 0, others are exact to
    eps σ₁² / σ: float32 features hold no more, and no measure here can see it.
    """
    phi = features.double()
    finite = _finite(phi)
    phi = torch.where(finite[..., None, None], phi, 0.0)
    scale = torch.ones_like(finite, dtype=torch.float64)
    if features.dtype == torch.float64:
        # Squares of anything in float32 stay within float64; squares of its own extremes do not. A power of
        # two changes no digit.
        _, exponent = torch.frexp(phi.abs().amax(dim=(-2, -1)))
        scale = torch.ldexp(scale, exponent.clamp(-1000, 1000))
        phi = phi / scale[..., None, None]
    gram = phi @ phi.mT if phi.shape[-2] < phi.shape[-1] else phi.mT @ phi
    eigenvalues = torch.linalg.eigvalsh(gram).flip(-1).clamp_min(0.0)
    # Rounding leaves eigenvalues of about eps times the largest where the exact ones are zero.
    floor = eigenvalues[..., :1] * torch.finfo(torch.float64).eps * max(phi.shape[-2:])
    sigma = torch.where(eigenvalues > floor, eigenvalues, 0.0).sqrt() * scale[..., None]
    return torch.where(finite[..., None], sigma, torch.nan)


def srank(features: Tensor, delta: float = 0.01) -> Tensor:
    """Effective rank: the smallest k whose k largest singular values hold 1 - delta of their sum, ``[...]``.

    Kumar et al. (2021), Section 3; Gulcehre et al. (2022), eq. 1. Float64 in [0, min(N, D)]; 0 only where every
    feature is zero, where the papers leave it undefined.
    """
    return srank_of(singular_values(features), delta)


def srank_of(sigma: Tensor, delta: float = 0.01) -> Tensor:
    """``srank`` from singular values ``[..., K]`` in descending order."""
    cumulative = sigma.cumsum(-1)
    total = cumulative[..., -1:]
    # Count of partial sums that fall short, plus one: Gulcehre et al. (2022), Appendix A.11.
    short = (cumulative < (1.0 - delta) * total).sum(-1)
    rank = torch.where(total.squeeze(-1) > 0, short + 1, 0).double()
    return torch.where(torch.isnan(total.squeeze(-1)), torch.nan, rank)


def numerical_rank(features: Tensor) -> Tensor:
    """(Σσ)² / Σσ², ``[...]`` float64 in [0, min(N, D)]: the participation ratio of the singular values.

    0 where every feature is zero.
    """
    return numerical_rank_of(singular_values(features))


def numerical_rank_of(sigma: Tensor) -> Tensor:
    """``numerical_rank`` from singular values ``[..., K]``."""
    # Relative to the largest, so that neither sum leaves the range of float64.
    largest = sigma[..., :1]
    relative = sigma / torch.where(largest > 0, largest, 1.0)
    squares = relative.square().sum(-1)
    return relative.sum(-1).square() / torch.where(squares == 0, 1.0, squares)


def dead_units(features: Tensor) -> Tensor:
    """Number of units that are exactly zero for every one of the N inputs, ``[...]`` float64 in [0, D].

    Gulcehre et al. (2022), Section 8.
    """
    count = (features == 0).all(dim=-2).sum(-1).double()
    return _nan_where_not_finite(count, features)


def dormant_units(features: Tensor, threshold: float = 0.025) -> Tensor:
    """Number of units whose mean absolute activation, over the layer's mean of it, is at most ``threshold``.

    ``[...]`` float64 in [0, D]. Sokar et al. (2023), Definition 3.1 (τ-dormant), with their τ = 0.025.
    """
    score = features.double().abs().mean(dim=-2)
    layer = score.mean(dim=-1, keepdim=True)
    relative = score / torch.where(layer > 0, layer, 1.0)
    return _nan_where_not_finite((relative <= threshold).sum(-1).double(), features)


def feature_norm(features: Tensor) -> Tensor:
    """Mean Euclidean norm of the N feature vectors, ``[...]`` float64 ≥ 0."""
    norm = features.double().square().sum(-1).sqrt().mean(-1)
    return _nan_where_not_finite(norm, features)


def feature_dot_product(phi_t: Tensor, phi_tp1: Tensor) -> Tensor:
    """Mean over N of φ(s)ᵀ φ(s'), ``[...]`` float64, for ``phi_t`` and ``phi_tp1`` ``[..., N, D]``.

    Kumar et al. (2022), Section 3.
    """
    product = (phi_t.double() * phi_tp1.double()).sum(-1).mean(-1)
    return torch.where(torch.isfinite(product), product, torch.nan)


def _nan_where_not_finite(value: Tensor, features: Tensor) -> Tensor:
    return torch.where(_finite(features.double()), value, torch.nan)


def _finite(features: Tensor) -> Tensor:
    """Whether all of a slice is finite, bool ``[...]``: a sum keeps NaN and infinity, and is the fastest look."""
    return torch.isfinite(features.flatten(-2).sum(-1))
