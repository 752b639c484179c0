"""Invertible residual networks as a flow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_realnvp.bijectors import ActNorm, EstimatedChain, Residual, Squeeze
from tfp_realnvp.bijectors.context_rows import context_of_rows
from tfp_realnvp.compute.random_numbers import to_seed
from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.checks import check_latents, check_scales
from tfp_realnvp.flows.flow_with_options import FlowWithOptions
from tfp_realnvp.flows.options import ResidualOptions
from tfp_realnvp.flows.rowwise_model import with_kernels
from tfp_realnvp.layers import LipschitzConvNet, LipschitzDenseNet
from tfp_realnvp.layers.lipschitz_net import LipschitzNet

__all__ = ["ResidualFlow"]


class Inversion(NamedTuple):
    """How the inverse of a block was found.

    Attributes:
      steps: evaluations of its network.
      error: what no row's error exceeds: the norm of the last step times L / (1 - L).
    """

    steps: int
    error: float


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class ResidualFlow(FlowWithOptions):
    """A chain of residual blocks `x = y + g(y)`, each with a network `g` whose Lipschitz constant is below 1.

    A scale squeezes 2x2 pixels into channels, and all channels go through its blocks and on to the next scale.
    There is an ActNorm before each block and after the last one.

    `encode` evaluates each network once; `decode` and `sample` find the inverse of each block by fixed-point
    iteration, see `Residual`, which takes tens of evaluations. `log_prob` is an estimate: the log-determinant
    of a block is a sum of random terms, which is right in the mean, see `LipschitzNet`. It depends on the
    image and the seed alone, and `log_prob_error` says how far it may be off.

    Args:
      image_shape: (height, width, channels); height and width must be multiples of `2**scales`.
      **kwargs: the options below, and the arguments of `ImageFlow`: `levels`, `labels`, `context_shape`,
        `context_encoder`, `dequantization`, `seed`; `dtype` must be float32.

    Raises:
      TypeError, ValueError: an argument of the wrong type or outside its range, or an image shape that cannot
        be squeezed so often.

    Example:
      >>> flow = ResidualFlow((8, 8, 1), levels=17, blocks=1, channels=16)
      >>> flow.sample(5, seed=0).shape
      TensorShape([5, 8, 8, 1])

    Reference:
      Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual flows for invertible generative modeling;
      Perugachi-Diaz, Tomczak, Bhulai (2021), Invertible DenseNets with concatenated LipSwish.
    """

    options_class = ResidualOptions
    exact = False
    half_precision = ResidualOptions.half_precision

    def __init__(self, image_shape: tuple[int, int, int], **kwargs):
        super().__init__(image_shape, **kwargs)
        if self.dtype_policy.compute_dtype != "float32":
            raise ValueError(
                "`dtype` must be float32 in a residual flow, whose inverse and bounds need it, received "
                f"{self.dtype_policy.name}."
            )
        check_scales(self.image_shape, self.scales)
        height, width, size = self.image_shape
        self.conditioners: list[LipschitzNet] = []
        self.centers: list = []  # of the ActNorms
        self.log_spreads: list = []
        for _ in range(self.scales):
            height, width, size = height // 2, width // 2, 4 * size
            for _ in range(self.blocks):
                net = self._make_network()
                net.build((None, height, width, size))
                self.conditioners.append(net)
                self._add_actnorm(size)
        self._add_actnorm(size)
        self.built = True

    def _make_network(self) -> LipschitzNet:
        seed = self.seed * self.scales * self.blocks + len(self.conditioners)
        options = {
            "channels": self.channels,
            "coefficient": self.coefficient,
            "context": self.told.shape,
            "seed": seed,
            "dtype": "float32",
        }
        if self.dense_layers:
            return LipschitzDenseNet(layers=self.dense_layers, **options)
        return LipschitzConvNet(**options)

    def _add_actnorm(self, size: int) -> None:
        for weights, name in ((self.centers, "center"), (self.log_spreads, "log_spread")):
            weight = self.add_weight(
                shape=(size,), initializer="zeros", name=f"{name}_{len(weights)}", autocast=False
            )
            weights.append(weight)

    def make_bijectors(self, context, conditioners) -> list[tfb.Bijector]:
        """The blocks of all scales, the one next to the image first, and back to the image shape."""
        bijectors: list[tfb.Bijector] = []
        actnorms = [
            ActNorm(center.value, log_spread.value)
            for center, log_spread in zip(self.centers, self.log_spreads, strict=True)
        ]
        for number, conditioner in enumerate(conditioners):
            if number % self.blocks == 0:
                bijectors.append(tfb.Invert(Squeeze()))
            network = functools.partial(_network, conditioner, context)
            bijectors += [actnorms[number], Residual(network)]
        return [*bijectors, actnorms[-1], *[Squeeze()] * self.scales]

    def _bijector_told(self, conditioners, told) -> tfb.Bijector:
        bijectors = self.make_bijectors(told, conditioners)
        return EstimatedChain([*self.normalization.bijectors, *bijectors], told, name="flow")

    def _score(self, conditioners, *columns, training=False):
        if training:  # the noise of this step has been counted
            step = self.noise_count.value
            conditioners = [functools.partial(each, step=step) for each in conditioners]
        return super()._score(conditioners, *columns, training=training)

    def log_prob_error(
        self, images, labels=None, *, context=None, draws: int = 8, seed: int = 0
    ) -> tf.Tensor:
        """The standard error of `log_prob`: how far its estimates of log-determinants spread, in nats.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          labels: int [n], in a class-conditional flow.
          context: float [n, *context_shape], in a flow with a context.
          draws: number of estimates that are compared, at least 2.
          seed: as in `log_prob`; the noise is the same in all of them.

        Returns:
          float32 tensor [n].

        Raises:
          TypeError, ValueError: fewer than 2 draws, and as `log_prob`.
        """
        if draws < 2:
            raise ValueError(f"`draws` must be at least 2, received {draws}.")
        told = self.told.check(labels, context)
        images, *told, restore = self._rows(self._check_images(images), *told)
        seeds = {"seed": to_seed(seed), "draws": tf.range(draws)}
        return restore(self._by_rows(self._log_prob_error, images, *told, **seeds))

    def _log_prob_error(self, conditioners, images, labels, encoded, *, seed, draws):
        noise = pixels.image_noise(images, seed)

        def estimate(draw):
            again = [functools.partial(_with_other_keys, each, draw) for each in conditioners]
            return self._score(again, images, labels, encoded, noise)

        estimates = tf.map_fn(estimate, draws, fn_output_signature=tf.float32)
        mean = tf.reduce_mean(estimates, axis=0)
        squares = tf.reduce_sum(tf.square(estimates - mean), axis=0)
        return tf.sqrt(squares / tf.cast(tf.shape(draws)[0] - 1, tf.float32))

    def inversions(self, latents, labels=None, *, context=None) -> list[Inversion]:
        """How `decode` goes for these latents: the iteration of each block, in the order of `decode`.

        Args:
          latents: float [n, height, width, channels].
          labels: int [n], in a class-conditional flow.
          context: float [n, *context_shape], in a flow with a context.

        Raises:
          ValueError: another shape, or labels or a context that do not fit.
          tf.errors.InvalidArgumentError: an iteration does not converge.
        """
        values = check_latents(latents, self.image_shape)
        labels, context = self.told.check_rows(labels, context)
        told = self.told.join(labels, self.told.encode(context))
        bound = self.conditioners[0].bound
        found = []
        for bijector in reversed(self.make_bijectors(told, self.conditioners)):
            if not isinstance(bijector, Residual):
                values = bijector.forward(values)
                continue
            solution = bijector.solve(values)
            values = solution.points
            error = tf.reduce_max(solution.changes) * bound / (1 - bound)
            found.append(Inversion(int(solution.steps), float(error)))
        return found

    def bits_per_pixel(self, images, labels=None, *, context=None, seed: int = 0) -> tf.Tensor:
        """Not to be had.

        Raises:
          ValueError: always.
        """
        raise ValueError(
            "the bits of a pixel need couplings: the log-determinant of a residual block is not a sum over "
            "pixels."
        )


def _with_other_keys(conditioner: Callable, draw, *values, keys=None, **options):
    """Estimates of another draw for the same images; draw 0 is that of `log_prob`."""
    if keys is not None:
        keys = tf.bitwise.bitwise_xor(keys, tf.cast(draw, tf.uint32) * 0x9E3779B9)
    return conditioner(*values, keys=keys, **options)


def _network(conditioner: Callable, context) -> Callable:
    """The network of a block, with the kernels of now."""
    [conditioner] = with_kernels([conditioner])

    def network(values, **options):
        return conditioner(values, context=context_of_rows(context, values), **options)

    return network
