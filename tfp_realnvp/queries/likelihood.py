"""How likely is an image, more exactly?"""

from __future__ import annotations

import numpy as np

from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.evaluation import BATCH

__all__ = ["log_prob_bound"]


def log_prob_bound(
    distribution, images, *, noise_samples: int = 16, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The importance-weighted bound of `log p(image)`, from several draws of the dequantization noise.

    `log p(image) >= E[log mean over k of (density(image + noise) / q(noise))]`

    With one draw, k = 1, this is `log_prob`. With more of them it grows towards the true value.

    Args:
      distribution: a flow that is told nothing, or has labels; or an `ImageDistribution`.
      images: uint8 [n, height, width, channels].
      noise_samples: k, at least 1.
      seed: of the noise.

    Returns:
      (bound, standard error), each float64 [n], in nats. The error is that of the estimate, from the spread of
      the k weights; NaN for k = 1.

    Raises:
      ValueError: fewer than one draw; several of a flow whose log-probabilities are estimates, as of a residual
        flow: their errors would make the bound too high.
      TypeError, ValueError: images that do not fit.

    Example:
      `bound, error = log_prob_bound(flow, images, noise_samples=64)`

    Reference:
      Burda, Grosse, Salakhutdinov (2016), Importance weighted autoencoders, section 3;
      Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 4.2.
    """
    if noise_samples < 1:
        raise ValueError(f"`noise_samples` must be at least 1, received {noise_samples}.")
    if noise_samples > 1 and not distribution.exact:
        raise ValueError(
            "`noise_samples` must be 1 for a flow whose log-probabilities are estimates, "
            f"received {noise_samples}."
        )
    first = to_seed(seed).numpy()
    parts = [
        np.stack(
            [
                distribution.log_prob(
                    images[start : start + BATCH], seed=(first[0] + number, first[1])
                )
                for number in range(noise_samples)
            ]
        ).astype(np.float64)
        for start in range(0, len(images), BATCH)
    ]
    values = np.concatenate(parts, axis=1)
    highest = values.max(axis=0)
    weights = np.exp(values - highest)
    mean = weights.mean(axis=0)
    if noise_samples == 1:
        return values[0], np.full(len(images), np.nan)
    errors = weights.std(axis=0, ddof=1) / np.sqrt(noise_samples) / mean
    return highest + np.log(mean), errors
