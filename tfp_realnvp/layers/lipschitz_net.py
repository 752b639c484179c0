"""What networks of residual blocks share: bounded convolutions and estimates of log-determinants."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.conv_norm import conv_norms
from tfp_realnvp.compute.custom_gradient import custom_gradient
from tfp_realnvp.compute.hashed_numbers import signs, uniforms
from tfp_realnvp.compute.log_det_series import Terms, draw_terms, log_det_series
from tfp_realnvp.layers.context_positions import ContextPositions
from tfp_realnvp.layers.transform_parameters import as_shape

__all__ = ["LipschitzNet", "Product", "Weights", "convolved", "swish", "transposed"]

SCORING_TERMS = 20  # of the log-determinant's series that are always taken
TRAINING_TERMS = 2
MORE_TERMS = 2.0  # in the mean

Product = Callable[[tf.Tensor], tf.Tensor]


class Weights(NamedTuple):
    """The weights of a network as tensors, ready for use.

    Attributes:
      kernels: with bounded norms.
      biases: as many.
      steepness: of each activation, above 0.
      angles: of each concatenation; none without them.
      of_context: the kernel that reads the context; none without one.
    """

    kernels: list[tf.Tensor]
    biases: list[tf.Tensor]
    steepness: list[tf.Tensor]
    angles: list[tf.Tensor]
    of_context: list[tf.Tensor]


class LipschitzNet(keras.layers.Layer, abc.ABC):
    """Convolutions whose Lipschitz constant is bounded, whatever their weights are.

    A kernel is divided by `max(1, norm / coefficient)`, where `norm` is an upper bound of the spectral norm of
    its convolution, see `conv_norms`, each time that the kernels are read: so the bound holds after any change
    of the weights.

    The last kernel starts at zero: a new network gives zeros. What is known of each image is added to the first
    convolution's result; that needs no bound.

    A subclass says how many features each convolution has (`kernel_shapes`), what they are together
    (`linearize`), and what Lipschitz constant they have (`bound`).

    Args:
      channels: features of a convolution that is not the last one.
      coefficient: largest spectral norm of a convolution, above 0 and below 1.
      context: shape of what else is known of each image, [features] or [height, width, channels]; empty for
        nothing.
      seed: of the initial weights and of the signs.
      **kwargs: those of `keras.layers.Layer`.

    Call arguments:
      values: float32 [n, height, width, any].
      context: float32 [n, *context]; None without one.
      kernels: the result of `read_kernels()`, if the layer is called several times with the same weights; None
        reads them in this call.
      keys: uint32 [n], see `keys_of_rows`, for a log-determinant.
      step: int32 [], in training: then the series has only 2 terms that are always taken, instead of 20, and a
        number of others that depends on the step alone, in all shards and on all devices.

    Returns:
      g(values), of the same shape; with keys (g(values), log_det), log_det being an estimate of the
      log-determinant of the Jacobian of `values + g(values)`, float32 [n], right in the mean over keys, with a
      gradient of its own: in its computation only this network's features are kept in memory, and not those of
      the series.

    Raises:
      ValueError: `coefficient` is not above 0 and below 1, or a context image does not fit.

    Reference:
      Gouk, Frank, Pfahringer, Cree (2021), Regularisation of neural networks by enforcing Lipschitz
      continuity, section 4 (kernels that are divided by their norms);
      Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual flows, section 3 (the series, the gradient's memory).
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        coefficient: float = 0.98,
        context: Sequence[int] | int = (),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        if not 0 < coefficient < 1:
            raise ValueError(
                f"`coefficient` must be above 0 and below 1, received {coefficient}: at 1 and above, a "
                "residual block may have no inverse."
            )
        self.channels = channels
        self.coefficient = coefficient
        self.context = as_shape(context)
        self.seed = seed

    @property
    @abc.abstractmethod
    def bound(self) -> float:
        """What its Lipschitz constant does not exceed."""

    @property
    @abc.abstractmethod
    def activations(self) -> int:
        """The number of its activations, each of which has a steepness."""

    @property
    def concatenations(self) -> int:
        """The number of its concatenations, each of which has an angle."""
        return 0

    @abc.abstractmethod
    def kernel_shapes(self, size: int, *, one_pixel: bool) -> list[tuple[int, int, int]]:
        """The (side, features before, features after) of each convolution.

        Args:
          size: features of the values.
          one_pixel: whether images have one position only: then all sides are 1.
        """

    @abc.abstractmethod
    def linearize(self, values: tf.Tensor, weights: Weights) -> tuple[tf.Tensor, Product]:
        """g(values), and the product of vectors u with its Jacobian: `u @ J`."""

    def build(self, values_shape):
        """Make the weights."""
        _, height, width, size = values_shape
        shapes = self.kernel_shapes(size, one_pixel=max(height, width) == 1)
        random = np.random.default_rng(self.seed)
        # flat lists: older Keras does not save lists of lists
        self.kernels: list = []
        self.biases: list = []
        self.steepness: list = []
        self.angles: list = []
        for number, (side, before, after) in enumerate(shapes):
            spread = 0.0 if number == len(shapes) - 1 else (side * side * before) ** -0.5
            kernel = spread * random.standard_normal((side, side, before, after))
            self._add(self.kernels, "kernel", kernel)
            self._add(self.biases, "bias", np.zeros(after))
            if number < self.activations:
                self._add(self.steepness, "steepness", np.array(0.5))
        for _ in range(self.concatenations):
            self._add(self.angles, "angle", np.array(np.pi / 4))
        self.context_kernels: list = []
        if len(self.context) == 1:
            self._add(self.context_kernels, "context", np.zeros((*self.context, self.channels)))
        elif self.context:
            self._positions = ContextPositions(self.context, (height, width))
            kernel = np.zeros((3, 3, self._positions.shape[-1], self.channels))
            self._add(self.context_kernels, "context", kernel)
        super().build(values_shape)

    def _add(self, weights: list, name: str, value: np.ndarray) -> None:
        weight = self.add_weight(shape=value.shape, autocast=False, name=f"{name}_{len(weights)}")
        weight.assign(value)
        weights.append(weight)

    def read_kernels(self) -> Weights:
        """The weights, with bounded kernels."""
        [weights] = self.read_kernels_of([self])
        return weights

    @staticmethod
    def read_kernels_of(nets: Sequence[LipschitzNet]) -> list[Weights]:
        """As `read_kernels` of each; the norms of all kernels of one shape are computed together."""
        kernels = [[kernel.value + 0.0 for kernel in net.kernels] for net in nets]
        norms = _norms([kernel for of_net in kernels for kernel in of_net])
        return [
            Weights(
                [kernel / tf.maximum(1.0, next(norms) / net.coefficient) for kernel in of_net],
                [bias.value + 0.0 for bias in net.biases],
                [tf.nn.softplus(value.value) for value in net.steepness],
                [angle.value + 0.0 for angle in net.angles],
                [kernel.value + 0.0 for kernel in net.context_kernels],
            )
            for net, of_net in zip(nets, kernels, strict=True)
        ]

    def call(self, values, context=None, kernels=None, keys=None, step=None):
        """See the class."""
        weights = self.read_kernels() if kernels is None else kernels
        if self.context:
            first, *others = weights.biases
            features = self._features_of(context, *weights.of_context)
            weights = weights._replace(biases=[first + features, *others])
        if keys is None:
            return self.linearize(values, weights)[0]
        return self._with_log_det(values, weights, *self._draw(keys, values.shape[1:], step))

    def _features_of(self, context, kernel):
        if len(self.context) == 1:
            return tf.matmul(context, kernel)[:, tf.newaxis, tf.newaxis]
        return convolved(self._positions(context), kernel)

    def _draw(self, keys, shape, step) -> tuple[tf.Tensor, Terms]:
        """Signs and terms of a series."""
        exact, of_terms = SCORING_TERMS, keys
        if step is not None:
            exact, of_terms = TRAINING_TERMS, tf.fill(tf.shape(keys), tf.cast(step, tf.uint32))
        numbers = uniforms(of_terms, salt=2 * self.seed + 1)
        terms = draw_terms(numbers, exact=exact, more=MORE_TERMS)
        return signs(keys, shape, salt=2 * self.seed), terms

    def _with_log_det(self, values, weights, probe, terms):
        """(g(values), log_det), of which the series is not differentiated: its gradient is another series."""
        axes = list(range(1, values.shape.rank))
        structure = weights

        @custom_gradient
        def compute(values, *flat):
            weights = tf.nest.pack_sequence_as(structure, flat)
            residual, product = self.linearize(values, weights)
            log_det, solution = log_det_series(product, probe, terms)

            def gradient(of_residual, of_log_det):
                with tf.GradientTape() as tape:
                    tape.watch([values, *flat])
                    residual, product = self.linearize(values, weights)
                    changes = tf.reduce_sum(product(solution) * probe, axes)
                    total = tf.reduce_sum(of_residual * residual)
                    total += tf.reduce_sum(of_log_det * changes)
                return tape.gradient(total, [values, *flat])

            return (residual, log_det), gradient

        return compute(values, *tf.nest.flatten(weights))

    def compute_output_shape(self, values_shape):
        """The same."""
        return values_shape

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "channels": self.channels,
            "coefficient": self.coefficient,
            "context": self.context,
            "seed": self.seed,
        }


def _norms(kernels: list[tf.Tensor]) -> Iterator[tf.Tensor]:
    """A bound for each, in their order."""
    places: dict[tuple, list[int]] = {}
    for place, kernel in enumerate(kernels):
        places.setdefault(tuple(kernel.shape), []).append(place)
    norms: dict[int, tf.Tensor] = {}
    for of_shape in places.values():
        bounds = conv_norms(tf.stack([kernels[place] for place in of_shape]))
        norms.update(zip(of_shape, tf.unstack(bounds), strict=True))
    return iter([norms[place] for place in range(len(kernels))])


def convolved(values: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The convolution, padded with zeros."""
    return tf.nn.conv2d(values, kernel, strides=1, padding="SAME")


def transposed(vectors: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The product of vectors with the matrix of `convolved`."""
    shape = tf.concat([tf.shape(vectors)[:-1], [kernel.shape[2]]], axis=0)
    result = tf.nn.conv2d_transpose(vectors, kernel, shape, strides=1, padding="SAME")
    return tf.ensure_shape(result, [*vectors.shape[:-1], kernel.shape[2]])


def swish(values: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`values * sigmoid(steepness * values)`, and its slopes."""
    gate = tf.sigmoid(steepness * values)
    return values * gate, gate + steepness * values * gate * (1 - gate)
