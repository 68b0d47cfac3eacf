"""A penalty on the spread of the features' singular values."""

import torch
from torch import Tensor

from agents.objectives.base import Passes
from agents.regularisers.base import Regulariser


class SingularValuePenalty(Regulariser):
    """``srank_penalty`` times σ²max(Φ) - σ²min(Φ) of a minibatch's features (Kumar et al. 2021, eq. 6).

    Φ is ``[B, D]`` and has min(B, D) singular values, of which σmin is the least. Two equal transitions in a
    minibatch of at most D make it 0, which nothing pulls on.
    """

    def term(self, passes: Passes) -> Tensor:
        """See ``Regulariser.term``."""
        return passes.hypers.srank_penalty * squared_spread(passes.online_tm1.features)


def squared_spread(features: Tensor) -> Tensor:
    """σ²max - σ²min of ``features`` ``[B, D]``: a scalar in their dtype, in [0, ‖Φ‖²].

    σ² are eigenvalues of the smaller Gram matrix K, and the gradient of an eigenvalue with eigenvector v is
    v vᵀ. So tr(P K) with a constant P = v_max v_maxᵀ - v_min v_minᵀ has the value and the gradient of the
    penalty. Derivatives of an eigenvector, which are infinite where eigenvalues coincide, never arise: there
    the gradient is that of one choice of v. NaN where a feature is NaN or infinite.
    """
    # float64, because squaring squares the condition number; autocast leaves it alone.
    phi = features.double()
    phi = phi if phi.shape[0] < phi.shape[1] else phi.mT
    # A CUDA graph, which every update on a card is, cannot record cuSOLVER's eigenvalues.
    spread = spread_by_squaring(phi) if phi.is_cuda else spread_by_eigenvectors(phi)
    return spread.to(features.dtype)


def spread_by_eigenvectors(phi: Tensor) -> Tensor:
    """The spread of ``phi`` float64 ``[K, L]``, as ‖Φᵀ v_max‖² - ‖Φᵀ v_min‖²."""
    along = extreme_eigenvectors((phi @ phi.mT).detach()) @ phi
    squares = (along * along).sum(1)
    return squares[0] - squares[1]


def extreme_eigenvectors(gram: Tensor) -> Tensor:
    """v of the largest and of the smallest eigenvalue of ``gram``, positive and float64 ``[K, K]``: rows ``[2, K]``.

    By inverse iteration from the eigenvalues (Golub & Van Loan 2013, Section 7.6.1), two thirds of the time of all
    eigenvectors. The shifts lie 2⁻⁴⁰ λmax outside of the spectrum, where a Cholesky factor exists; two iterations
    multiply what belongs to an eigenvalue at distance g λmax by (2⁻⁴⁰ / g)².
    """
    # LAPACK raises an error for what is not finite, and one diverged member must not end its pack.
    whole = torch.where(torch.isfinite(gram).all(), gram, 0.0)
    # Its public form, eigvalsh, computes vectors too wherever it sees a function transform.
    values: Tensor = torch.ops.aten._linalg_eigh(whole, "L", False)[0]
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    beside = 2.0**-40 * (values[-1] + _TINY)
    shifted = ((values[-1] + beside) * identity - whole, whole - (values[0] - beside) * identity)
    factor, _ = torch.linalg.cholesky_ex(torch.stack(shifted))
    # A start that no eigenvector of interest is orthogonal to: fractional parts of the golden ratio's multiples.
    start = 1 + torch.arange(gram.shape[0], dtype=gram.dtype, device=gram.device) * 0.6180339887498949 % 1
    vectors = start.view(1, -1, 1).expand(2, -1, -1)
    for _ in range(2):
        vectors = torch.cholesky_solve(vectors, factor)
        vectors = vectors / vectors.square().sum(1, keepdim=True).sqrt()
    return vectors.squeeze(2)


def spread_by_squaring(phi: Tensor) -> Tensor:
    """The same by matrix products alone, of which there are 50."""
    gram = phi @ phi.mT
    largest, smallest = extreme_projections(gram.detach())
    return ((largest - smallest) * gram).sum()


def extreme_projections(gram: Tensor) -> tuple[Tensor, Tensor]:
    """v vᵀ of the largest and of the smallest eigenvalue of ``gram``, symmetric float64 ``[K, K]``.

    A large power of a positive matrix is v vᵀ of its largest eigenvalue times a number; the power of
    λmax I - K is that of K's smallest. Eigenvalues nearer to the extreme one than λmax over the power share
    the result, whose trace is 1: an average of the v vᵀ of values that are all but equal.
    """
    largest = _power(gram, 20)
    shift = (largest * gram).sum() * (1 + 2.0**-30)
    # Just over λmax, so that equal eigenvalues leave a multiple of the identity and not nothing.
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    return largest, _power(shift * identity - gram, 30)


def _power(matrix: Tensor, squarings: int) -> Tensor:
    power = matrix / (matrix.trace() + _TINY)
    for _ in range(squarings):
        power = power @ power
        power = power / (power.trace() + _TINY)
    return power


_TINY = 1e-100
"""Of float64, below the square of any float32: what is 0 stays 0 instead of becoming NaN."""
