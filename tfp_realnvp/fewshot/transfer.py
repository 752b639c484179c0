"""Few-shot transfer: from ten pictures of something that a flow never saw to more of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.fewshot import multinormal
from tfp_realnvp.flows import ImageFlow, pixels
from tfp_realnvp.flows.checks import check_images

__all__ = [
    "LATENT_VARIANCE_FLOOR",
    "fit_latent",
    "fit_pixels",
    "latent_gaussian",
    "sample_images",
]

# Latents of training images have variance 1; a hundredth of that is below what any direction shows.
LATENT_VARIANCE_FLOOR = 0.01


def latent_gaussian(
    flow: ImageFlow,
    shots: np.ndarray,
    *,
    seed: int = 0,
    variance_floor: float = LATENT_VARIANCE_FLOOR,
    **options,
) -> multinormal.Fit:
    """Encode the shots, and fit a Gaussian to their latents.

    Args:
      flow: a trained flow.
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
      seed: of the shots' dequantization noise.
      variance_floor: smallest variance in latent space.
      **options: `covariance`, `intrinsic_dimension`, `temperature` of `multinormal.fit`.

    Returns:
      multinormal.Fit whose distribution is over latents [height, width, channels].

    Raises:
      TypeError, ValueError: shots that do not fit the flow, and options as in `multinormal.fit`.
    """
    _check(shots)
    latents = flow.encode(shots, seed=seed).numpy().reshape(len(shots), -1)
    gaussian = multinormal.fit(latents, variance_floor=variance_floor, **options)
    return _through(gaussian, tfb.Reshape(flow.image_shape), "latent_gaussian")


def fit_latent(flow: ImageFlow, shots: np.ndarray, **options) -> multinormal.Fit:
    """The distribution of images that `latent_gaussian` leads to.

    Args:
      flow: a trained flow.
      shots: as in `latent_gaussian`.
      **options: likewise.

    Returns:
      multinormal.Fit whose distribution is over images scaled to the unit cube, as `flow.distribution`
      is: the latent Gaussian through the flow's bijector.

    Raises:
      TypeError, ValueError: as `latent_gaussian`.
    """
    return _through(latent_gaussian(flow, shots, **options), flow.bijector, "few_shot")


def fit_pixels(
    shots: np.ndarray,
    *,
    levels: int = 256,
    seed: int = 0,
    variance_floor: float | None = None,
    **options,
) -> multinormal.Fit:
    """The baseline: the same Gaussian, fitted to the shots' dequantized pixels.

    Args:
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
      levels: number of grey levels.
      seed: of the shots' dequantization noise.
      variance_floor: smallest variance in the unit cube; by default that of the dequantization noise
        itself, `1 / (12 levels**2)`.
      **options: `covariance`, `intrinsic_dimension`, `temperature` of `multinormal.fit`.

    Returns:
      multinormal.Fit whose distribution is over images scaled to the unit cube.

    Raises:
      TypeError, ValueError: as `fit_latent`.
    """
    _check(shots)
    shots = check_images(shots, shots.shape[1:], levels=levels)
    noise = pixels.image_noise(shots, to_seed(seed))
    points = pixels.dequantize(shots, noise, levels=levels).numpy().reshape(len(shots), -1)
    floor = 1 / (12 * levels**2) if variance_floor is None else variance_floor
    gaussian = multinormal.fit(points, variance_floor=floor, **options)
    return _through(gaussian, tfb.Reshape(shots.shape[1:]), "pixel_gaussian")


def sample_images(
    distribution: tfd.Distribution, n: int, *, levels: int = 256, seed: int | None = None
) -> tf.Tensor:
    """Draw images from a distribution over the unit cube.

    Args:
      distribution: of `fit_latent`, `fit_pixels` or a flow.
      n: how many, at least 1.
      levels: number of grey levels.
      seed: int, or int32 [2]; the same seed gives the same images. None draws one.

    Returns:
      uint8 tensor [n, height, width, channels].

    Raises:
      ValueError: a count below 1.
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1, received {n}.")
    points = distribution.sample(n, seed=to_seed(seed))
    return pixels.quantize(points, levels=levels)


def _check(shots: np.ndarray):
    if len(shots) < 2:
        raise ValueError(f"at least 2 shots are needed to fit a Gaussian, received {len(shots)}.")
    if np.all(np.equal(shots, shots[0])):
        raise ValueError("the shots are all equal: there is no spread to fit a Gaussian to.")


def _through(gaussian: multinormal.Fit, bijector: tfb.Bijector, name: str) -> multinormal.Fit:
    distribution = tfd.TransformedDistribution(gaussian.distribution, bijector, name=name)
    return dataclasses.replace(gaussian, distribution=distribution)
