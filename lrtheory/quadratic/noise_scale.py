r"""The gradient noise scale: below which batch size a larger batch lets lr grow.

One step :math:`\theta - \eta g` with a gradient of mean G and covariance :math:`\Sigma/B` changes the expected loss by
:math:`-\eta\|G\|^2 + \tfrac12\eta^2 (G^\top H G + \mathrm{tr}(H\Sigma)/B)` (McCandlish et al. 2018, 1812.06162, section 2):
exact where the Hessian is constant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp


class NoiseScale(NamedTuple):
    """What decides the best lr: ``lr_max`` [param]²/[loss] for a batch without noise, ``batch`` where it is halved."""

    lr_max: Any
    batch: Any


def noise_scale(gradient: Any, hessian: Any, covariance: Any) -> NoiseScale:
    r""":math:`\|G\|^2/G^\top HG` and :math:`\mathrm{tr}(H\Sigma)/G^\top HG`.

    Parameters
    ----------
    gradient : (d,)
        Mean gradient G.
    hessian, covariance : (d, d)
        H, and the covariance Σ of one example's gradient. Where H is a multiple of the identity the batch is trΣ/‖G‖².
    """
    along = gradient @ hessian @ gradient
    return NoiseScale(gradient @ gradient / along, jnp.trace(hessian @ covariance) / along)


def optimal_lr(scale: NoiseScale, batch: Any) -> Any:
    """The lr with the largest expected decrease in one SGD step: ``lr_max/(1 + scale.batch/batch)``."""
    return scale.lr_max / (1 + scale.batch / batch)


class GradientEstimate(NamedTuple):
    """Unbiased ‖G‖² and trΣ of one example; their ratio, the simple noise scale, is *not* unbiased: average first."""

    square: Any
    trace: Any


def estimate_from_norms(small_square: Any, big_square: Any, small_batch: Any, big_batch: Any) -> GradientEstimate:
    """Unbiased estimates from ‖g‖² of a small and a big batch (1812.06162, appendix A.1).

    Examples must be drawn with replacement (or from a stream). The batches may share examples: only the expectation of
    each enters. Without replacement from N examples, put ``B(N−1)/(N−B)`` in place of each batch size B.
    """
    square = (big_batch * big_square - small_batch * small_square) / (big_batch - small_batch)
    trace = (small_square - big_square) / (1 / small_batch - 1 / big_batch)
    return GradientEstimate(square, trace)
