"""What is missing of an image, by a Markov chain: for flows that were not trained to fill it in."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.neighbors import NearestNeighbors

from tfp_realnvp.compute.random_numbers import ALGORITHM, to_seed
from tfp_realnvp.flows import ImageFlow, pixels
from tfp_realnvp.flows.checks import check_images
from tfp_realnvp.queries.masks import check_mask

__all__ = ["Filled", "fill_by_chain"]

WANTED = 0.25  # share of proposals that is accepted, to which the step is adapted
FASTEST = 2.0  # change of the logarithm of a step at the first proposal


class Filled(NamedTuple):
    """What chains have come to.

    Attributes:
      completions: uint8 [m, n, height, width, channels]: the last state of each chain.
      acceptance: float [m, n], the share of proposals that was accepted in the second half.
      log_probs: float32 [steps, m, n], of the states, in nats up to a constant: the walk has come to rest where
        they no longer rise.
      scale_reduction: float [m], of the log-probabilities in the second half (R-hat; about 1 if the n chains of
        an image agree; NaN for a single chain).
      seconds: for all of them.
    """

    completions: np.ndarray
    acceptance: np.ndarray
    log_probs: np.ndarray
    scale_reduction: np.ndarray
    seconds: float


def fill_by_chain(
    flow: ImageFlow,
    images,
    mask,
    learned: np.ndarray,
    *,
    n: int = 4,
    steps: int = 300,
    slack: float = 0.25,
    seed: int = 0,
    on_step: Callable[[int], object] = lambda step: None,
) -> Filled:
    """Walk to what is missing of images, in latent space: projected latent Markov chain Monte Carlo.

    A step adds a little noise to the observed pixels, encodes the image, adds noise to the latents, decodes,
    takes the missing pixels from there, and is accepted or not, so that in the end the states are samples of
    `p(missing pixels | observed pixels)`. In the first half of the steps the noise of the latents is adapted.

    The chains start from learned images that are nearest in the observed pixels: one that starts from black
    stays there, because black is likely. They are slow. Look at `acceptance`, `log_probs` and `scale_reduction`
    before you trust them, or take `fill_missing` with a flow that was trained for it.

    Args:
      flow: a flow that is told nothing, with uniform dequantization.
      images: integers [m, height, width, channels], m at least 1; what is missing may have any value.
      mask: bool, True where an image is observed: [height, width] for all images, or [m, height, width, 1].
      learned: uint8 [k, height, width, channels], k at least n: images like the whole ones. Each chain of an
        image starts from another one.
      n: chains for each image, at least 1.
      steps: of each chain, at least 2.
      slack: standard deviation of the noise on observed pixels, in grey levels, above 0.
      seed: the same seed gives the same completions.
      on_step: called after each step, with its number from 1 on.

    Raises:
      TypeError, ValueError: images or a mask that do not fit the flow, a flow that is told something, or a
        number below its limit.

    Example:
      `fill_by_chain(flow, images, named_mask("lower", flow.image_shape), train.images).completions`

    Reference:
      Cannella, Soloveychik, Tarokh (2021), Projected latent Markov chain Monte Carlo: conditional sampling of
      normalizing flows, section 3.
    """
    for name, value, least in (("n", n, 1), ("steps", steps, 2)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}, received {value}.")
    if not slack > 0:
        raise ValueError(f"`slack` must be above 0, received {slack}.")
    if len(learned) < n:
        raise ValueError(f"`learned` must be at least `n` images, {n}, received {len(learned)}.")
    if flow.dequantizer is not None:
        raise ValueError("`flow` must be one with uniform dequantization, received another one.")
    images = check_images(images, flow.image_shape, levels=flow.levels).numpy().astype(np.uint8)
    masks, started = check_mask(mask, images), time.monotonic()
    starts = np.concatenate(
        [_starts(image, mask, learned, n) for image, mask in zip(images, masks, strict=True)]
    )
    observed = tf.constant(np.repeat(masks, n, axis=0))
    first = to_seed(seed)
    # the same for all chains of an image where it is observed, so that they have one distribution
    noise = tf.where(observed, 0.5, pixels.image_noise(tf.constant(starts), first))
    points = pixels.dequantize(starts, noise, levels=flow.levels)
    step = tf.function(
        functools.partial(_step, flow, observed, points, slack / flow.levels), autograph=False
    )
    state = points, flow.distribution.log_prob(points)
    log_steps, history, accepted = np.full(len(starts), -3.0, np.float32), [], []
    for number in range(steps):
        *state, was_accepted = step(*state, tf.exp(log_steps), tf.add(first, [number, 1]))
        if number < steps // 2:
            rate = FASTEST / (1 + 20 * number / steps)
            log_steps = log_steps + np.float32(rate) * (was_accepted.numpy() - np.float32(WANTED))
        else:
            accepted.append(was_accepted.numpy())
        history.append(state[1].numpy())
        on_step(number + 1)
    log_probs = np.stack(history).reshape(steps, len(images), n)
    half = log_probs[steps // 2 :].transpose(0, 2, 1)
    reduction = np.full(len(images), np.nan)
    if n > 1 and len(half) > 1:
        reduction = tfp.mcmc.potential_scale_reduction(half, independent_chain_ndims=1).numpy()
    completions = tf.where(
        observed, np.repeat(images, n, axis=0), pixels.quantize(state[0], levels=flow.levels)
    )
    return Filled(
        completions.numpy().reshape(len(images), n, *flow.image_shape),
        np.mean(accepted, axis=0).reshape(len(images), n),
        log_probs,
        reduction,
        time.monotonic() - started,
    )


def _starts(image, mask, learned, n) -> np.ndarray:
    """The image, completed by each of the n learned images that are nearest in its observed pixels."""
    seen = np.broadcast_to(mask, image.shape)
    near = NearestNeighbors(n_neighbors=n, algorithm="brute").fit(
        learned[:, seen].astype(np.float32)
    )
    _, nearest = near.kneighbors(image[seen][np.newaxis].astype(np.float32))
    return np.where(mask, image, learned[nearest[0]])


def _step(flow, observed, points, slack, state, log_prob, size, seed):
    """One proposal for each chain: (state, its log-probability, 1 where it was accepted)."""
    shape, count = tf.shape(state), tf.shape(state)[0]
    around, along = (
        tf.random.stateless_normal(shape, tf.add(seed, [0, number]), alg=ALGORITHM)
        for number in (1, 2)
    )
    bijector = flow.bijector
    here = tf.where(observed, points + slack * around, state)
    latents = bijector.inverse(here)
    log_det = bijector.inverse_log_det_jacobian(here, event_ndims=3)
    there = bijector.forward(latents + tf.reshape(size, [-1, 1, 1, 1]) * along)
    log_det_there = bijector.inverse_log_det_jacobian(there, event_ndims=3)
    proposal = tf.where(observed, points, there)
    proposed = flow.distribution.log_prob(proposal)

    def off(values):
        squares = tf.where(observed, ((values - points) / slack) ** 2, 0.0)
        return -0.5 * tf.reduce_sum(squares, axis=[1, 2, 3])

    ratio = proposed - log_prob + off(there) - off(here) + log_det - log_det_there
    inside = tf.reduce_all((proposal >= 0) & (proposal < 1), axis=[1, 2, 3])
    uniform = tf.random.stateless_uniform([count], tf.add(seed, [0, 3]), alg=ALGORITHM)
    accept = inside & (tf.math.log(uniform) < ratio)
    state = tf.where(accept[:, tf.newaxis, tf.newaxis, tf.newaxis], proposal, state)
    return state, tf.where(accept, proposed, log_prob), tf.cast(accept, tf.float32)
