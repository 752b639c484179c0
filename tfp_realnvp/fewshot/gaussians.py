"""Gaussians fitted to a few images, on their latents or their pixels, as distributions over images."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.blocks import in_blocks, rows_of_block
from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.fewshot import multinormal
from tfp_realnvp.fewshot.affine_maps import with_maps
from tfp_realnvp.fewshot.multinormal import FittedGaussian
from tfp_realnvp.fewshot.route import Route, default_floor
from tfp_realnvp.flows import FewShotFlow, IdentityFlow, ImageFlow, pixels
from tfp_realnvp.flows.checks import check_images

__all__ = [
    "check_shots",
    "few_shot_flow",
    "fit_latent",
    "fit_pixels",
    "fit_route",
    "latent_gaussian",
    "route_points",
    "sample_images",
]


def latent_gaussian(
    flow: ImageFlow,
    shots: np.ndarray,
    *,
    seed: int = 0,
    variance_floor: float | None = None,
    **options,
) -> FittedGaussian:
    """Encode the shots, and fit a Gaussian to their latents.

    Args:
      flow: a trained flow.
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
      seed: of the shots' dequantization noise.
      variance_floor: smallest variance in latent space, above 0; None means 0.01.
      **options: `covariance`, `intrinsic_dimension` and `temperature` of `multinormal.fit`.

    Returns:
      A `FittedGaussian` whose distribution is over latents [height, width, channels].

    Raises:
      TypeError, ValueError: shots that do not fit the flow, and options as in `multinormal.fit`.
    """
    check_shots(shots)
    latents = _latent_points(flow, shots, seed)
    floor = default_floor("latents", flow.levels) if variance_floor is None else variance_floor
    gaussian = multinormal.fit(latents, variance_floor=floor, **options)
    return _through(gaussian, tfb.Reshape(flow.image_shape), "latent_gaussian")


def fit_latent(flow: ImageFlow, shots: np.ndarray, **options) -> FittedGaussian:
    """Fit a Gaussian to the latents of the shots, and decode it: a distribution over images.

    Args:
      flow: a trained flow.
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
      **options: as in `latent_gaussian`.

    Returns:
      A `FittedGaussian` whose distribution is over images scaled to the unit cube, as `flow.distribution`
      is: the latent Gaussian through the flow's bijector.

    Raises:
      TypeError, ValueError: as `latent_gaussian`.

    Example:
      `nines = fit_latent(flow, ten_nines, covariance="full", intrinsic_dimension=9, temperature=0.7)`
    """
    return _through(latent_gaussian(flow, shots, **options), flow.bijector, "few_shot")


def fit_pixels(
    shots: np.ndarray,
    *,
    levels: int = 256,
    seed: int = 0,
    variance_floor: float | None = None,
    **options,
) -> FittedGaussian:
    """The baseline: fit the same Gaussian to the dequantized pixels of the shots.

    Args:
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
      levels: number of grey levels.
      seed: of the shots' dequantization noise.
      variance_floor: smallest variance in the unit cube, above 0; None means that of the dequantization
        noise, `1 / (12 levels**2)`.
      **options: `covariance`, `intrinsic_dimension` and `temperature` of `multinormal.fit`.

    Returns:
      A `FittedGaussian` whose distribution is over images scaled to the unit cube.

    Raises:
      TypeError, ValueError: as `fit_latent`.
    """
    check_shots(shots)
    shots = check_images(shots, shots.shape[1:], levels=levels)
    points = _pixel_points(shots, levels, seed)
    floor = default_floor("pixels", levels) if variance_floor is None else variance_floor
    gaussian = multinormal.fit(points, variance_floor=floor, **options)
    return _through(gaussian, tfb.Reshape(shots.shape[1:]), "pixel_gaussian")


def fit_route(flow: ImageFlow, shots: np.ndarray, route: Route, *, seed: int = 0) -> FittedGaussian:
    """Follow a route from shots to a distribution over images.

    Args:
      flow: a trained flow.
      shots: uint8 [n, height, width, channels], n at least 2, not all equal.
      route: where and how the Gaussian is fitted.
      seed: of the shots' dequantization noise.

    Returns:
      As `fit_latent` or `fit_pixels`.

    Raises:
      TypeError, ValueError: as `fit_latent`.
    """
    if route.space == "latents":
        return fit_latent(flow, shots, seed=seed, **route.options)
    return fit_pixels(shots, levels=flow.levels, seed=seed, **route.options)


def few_shot_flow(
    flow: ImageFlow, shots: np.ndarray, route: Route, *, seed: int = 0
) -> FewShotFlow:
    """Follow a route from shots to a distribution over images, as a flow: to be saved, exported and asked.

    Args:
      flow: a trained flow; of an `adapted` route, its adapted copy.
      shots: uint8 [n, height, width, channels], n at least 1, or 2 without maps, not all equal.
      route: where and how the Gaussian is fitted; the `maps` of the shots are made here.
      seed: of the maps and of the dequantization noise.

    Returns:
      A flow with the layers of the given one. On pixels it has none.

    Raises:
      TypeError, ValueError: as `fit_latent`.

    Example:
      `few_shot_flow(adapt(flow, ten_nines), ten_nines, ADAPTED).save("nines.keras")`
    """
    points = with_maps(shots, route.maps, seed=seed)
    check_shots(points)
    route = route.for_shots(len(shots), flow.dimensions)
    fitted = fit_route(flow, points, route, seed=seed)
    if route.space == "pixels":
        flow = IdentityFlow(flow.image_shape, levels=flow.levels, seed=seed)
    return FewShotFlow.of_mixture(flow, fitted.mixture)


def route_points(flow: ImageFlow, images: np.ndarray, route: Route, *, seed: int = 0) -> np.ndarray:
    """Images as the points that a route fits its Gaussian to.

    Args:
      flow: a trained flow.
      images: uint8 [n, height, width, channels].
      route: in whose space the points lie.
      seed: of the dequantization noise.

    Returns:
      float32 [n, height * width * channels].

    Raises:
      TypeError, ValueError: images that do not fit the flow.
    """
    if route.space == "latents":
        return _latent_points(flow, images, seed)
    return _pixel_points(
        check_images(images, flow.image_shape, levels=flow.levels), flow.levels, seed
    )


def sample_images(
    distribution: tfd.Distribution, n: int, *, levels: int = 256, seed: int | None = None
) -> tf.Tensor:
    """Draw images from a distribution over the unit cube, in blocks of a bounded size.

    Args:
      distribution: of `fit_latent`, `fit_pixels` or a flow.
      n: number of images, at least 1.
      levels: number of grey levels.
      seed: int, or int32 [2]; the same seed gives the same images. None draws one.

    Returns:
      uint8 tensor [n, height, width, channels].

    Raises:
      ValueError: a count below 1.
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1, received {n}.")
    first = to_seed(seed)

    def block(start, end):
        points = distribution.sample(end - start, seed=tf.add(first, [0, start]))
        return pixels.quantize(points, levels=levels)

    return in_blocks(block, n, largest=rows_of_block(distribution.event_shape))


def check_shots(shots: np.ndarray) -> None:
    """Check that there is something to fit a Gaussian to.

    Raises:
      ValueError: fewer than two shots, or shots that are all equal.
    """
    if len(shots) < 2:
        raise ValueError(
            f"`shots` must be at least 2 images, received {len(shots)}: give more, or take a route with affine "
            "maps of the shots, such as `adapt`."
        )
    if np.all(np.equal(shots, shots[0])):
        raise ValueError(
            "`shots` are all equal: there is no spread to fit a Gaussian to. Choose different images, or take "
            "a route with affine maps of the shots, such as `adapt`."
        )


def _latent_points(flow, images, seed):
    return flow.encode(images, seed=seed).numpy().reshape(len(images), -1)


def _pixel_points(images, levels, seed):
    noise = pixels.image_noise(images, to_seed(seed))
    return pixels.dequantize(images, noise, levels=levels).numpy().reshape(len(images), -1)


def _through(gaussian: FittedGaussian, bijector: tfb.Bijector, name: str) -> FittedGaussian:
    distribution = tfd.TransformedDistribution(gaussian.distribution, bijector, name=name)
    return dataclasses.replace(gaussian, distribution=distribution)
