"""The network of a residual block: convolutions whose Lipschitz constant is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.compute.log_det_series import Terms, log_det_series

__all__ = ["LipschitzConvNet"]

SIZES = (3, 1, 3)  # of the kernels
LIPSWISH = 1.1  # above the largest slope of x * sigmoid(x)
TOLERANCE = 1e-4  # of a norm: its relative change in one more step of the power iteration
MOST_STEPS = 1000


class Weights(NamedTuple):
    """The weights of a network as tensors, ready for use.

    Attributes:
      kernels: with bounded norms.
      biases: as many.
      steepness: of each LipSwish, above 0.
    """

    kernels: list[tf.Tensor]
    biases: list[tf.Tensor]
    steepness: list[tf.Tensor]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class LipschitzConvNet(keras.layers.Layer):
    """Three convolutions, each after a LipSwish, with a Lipschitz constant of at most `coefficient**3`.

    `LipSwish(x) = x * sigmoid(steepness * x) / 1.1`, with a learned steepness. A kernel is divided by
    `max(1, norm / coefficient)`, where `norm` is the spectral norm of its convolution on images of this size.
    Power iteration finds it each time that the kernels are read, to a tolerance and not in a number of steps,
    and starts where it ended in the last step of training: so the bound holds after any change of the weights.

    The last kernel starts at zero: a new network gives zeros.

    Args:
      channels: features between the convolutions.
      coefficient: largest spectral norm of a convolution, above 0 and below 1.
      seed: of the initial weights.
      **kwargs: those of `keras.layers.Layer`.

    Call arguments:
      values: float32 [n, height, width, any].
      kernels: the result of `read_kernels()`, if the layer is called several times with the same weights; None
        reads them in this call.
      probe: float32 of the shape of `values`, signs, for a log-determinant.
      terms: of its series, see `log_det_series`.

    Returns:
      g(values), of the same shape; with a probe (g(values), log_det), log_det being an estimate of the
      log-determinant of the Jacobian of `values + g(values)`, float32 [n], with a gradient of its own: in its
      computation only this network's features are kept in memory, and not those of the series.

    Raises:
      ValueError: `coefficient` is not above 0 and below 1.

    Example:
      >>> net = LipschitzConvNet(channels=8)
      >>> net(tf.ones([5, 4, 4, 2])).shape
      TensorShape([5, 4, 4, 2])

    Reference:
      Gouk, Frank, Pfahringer, Cree (2021), Regularisation of neural networks by enforcing Lipschitz continuity,
      section 4 (power iteration through a convolution and its transpose);
      Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual flows, section 3 (LipSwish, the gradient's memory).
    """

    def __init__(self, *, channels: int = 64, coefficient: float = 0.98, seed: int = 0, **kwargs):
        super().__init__(**kwargs, autocast=False)
        if not 0 < coefficient < 1:
            raise ValueError(
                f"`coefficient` must be above 0 and below 1, received {coefficient}: at 1 and above, a "
                "residual block may have no inverse."
            )
        self.channels = channels
        self.coefficient = coefficient
        self.seed = seed

    def build(self, values_shape):
        """Make the weights."""
        _, height, width, size = values_shape
        random = np.random.default_rng(self.seed)
        # flat lists: older Keras does not save lists of lists
        self.kernels: list = []
        self.biases: list = []
        self.steepness: list = []
        self.starts: list = []  # of the power iteration
        before = size
        for side in SIZES:
            last = len(self.kernels) == len(SIZES) - 1
            after = size if last else self.channels
            spread = 0.0 if last else (side * side * before) ** -0.5
            kernel = spread * random.standard_normal((side, side, before, after))
            self._add(self.kernels, "kernel", kernel)
            self._add(self.biases, "bias", np.zeros(after))
            self._add(self.steepness, "steepness", np.array(0.5))
            start = random.standard_normal((1, height, width, after))
            self._add(self.starts, "start", start, trainable=False)
            before = after
        super().build(values_shape)

    def _add(self, weights: list, name: str, value: np.ndarray, *, trainable: bool = True) -> None:
        weight = self.add_weight(
            shape=value.shape, trainable=trainable, autocast=False, name=f"{name}_{len(weights)}"
        )
        weight.assign(value)
        weights.append(weight)

    def read_kernels(self, *, training: bool = False) -> Weights:
        """The weights, with bounded kernels.

        Args:
          training: whether the power iteration starts from where it ends now, the next time.
        """
        kernels = []
        for kernel, start in zip(self.kernels, self.starts, strict=True):
            norm, end = _spectral_norm(kernel.value, start.value)
            if training:
                start.assign(end)
            kernels.append(kernel.value / tf.maximum(1.0, norm / self.coefficient))
        return Weights(
            kernels,
            [bias.value + 0.0 for bias in self.biases],
            [tf.nn.softplus(value.value) for value in self.steepness],
        )

    def call(self, values, kernels=None, probe=None, terms: Terms | None = None, training=False):
        """See the class."""
        weights = kernels or self.read_kernels(training=training)
        if probe is None:
            return _linearize(values, weights)[0]
        return _with_log_det(values, weights, probe, terms)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "channels": self.channels,
            "coefficient": self.coefficient,
            "seed": self.seed,
        }


def _spectral_norm(kernel: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The norm of a convolution on images of a size, which has a gradient, and where the iteration ended.

    Args:
      kernel: [side, side, before, after].
      start: [1, height, width, after].
    """
    fixed = tf.stop_gradient(kernel)

    def step(_, __, end):
        begin = _unit(_transposed(end, fixed))
        end = _convolved(begin, fixed)
        norm = tf.norm(end)
        return norm, begin, tf.math.divide_no_nan(end, norm)

    def goes_on(last, norm, *_):
        return tf.abs(norm - last) > TOLERANCE * norm

    def again(_, norm, begin, end):
        return norm, *step(norm, begin, end)

    first = (tf.constant(-1.0), *step(None, None, start))
    _, _, begin, end = tf.while_loop(goes_on, again, first, maximum_iterations=MOST_STEPS)
    begin, end = tf.stop_gradient(begin), tf.stop_gradient(end)
    return tf.reduce_sum(end * _convolved(begin, kernel)), end


def _unit(values):
    return tf.math.divide_no_nan(values, tf.norm(values))


def _convolved(values, kernel):
    return tf.nn.conv2d(values, kernel, strides=1, padding="SAME")


def _transposed(values, kernel):
    shape = tf.concat([tf.shape(values)[:-1], [kernel.shape[2]]], axis=0)
    result = tf.nn.conv2d_transpose(values, kernel, shape, strides=1, padding="SAME")
    return tf.ensure_shape(result, [*values.shape[:-1], kernel.shape[2]])


def _linearize(
    values: tf.Tensor, weights: Weights
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """g(values), and the product of vectors u with its Jacobian: `u @ J`."""
    slopes = []
    for kernel, bias, steepness in zip(*weights, strict=True):
        gate = tf.sigmoid(steepness * values)
        slopes.append((gate + steepness * values * gate * (1 - gate)) / LIPSWISH)
        values = _convolved(values * gate / LIPSWISH, kernel) + bias

    def product(vectors):
        for kernel, slope in zip(reversed(weights.kernels), reversed(slopes), strict=True):
            vectors = _transposed(vectors, kernel) * slope
        return vectors

    return values, product


def _with_log_det(values, weights, probe, terms):
    """(g(values), log_det), of which the series is not differentiated: its gradient is another series."""
    axes = list(range(1, values.shape.rank))
    structure = weights

    @tf.custom_gradient
    def compute(values, *flat):
        weights = tf.nest.pack_sequence_as(structure, flat)
        residual, product = _linearize(values, weights)
        log_det, solution = log_det_series(product, probe, terms)

        def gradient(of_residual, of_log_det):
            with tf.GradientTape() as tape:
                tape.watch([values, *flat])
                residual, product = _linearize(values, weights)
                changes = tf.reduce_sum(product(solution) * probe, axes)
                total = tf.reduce_sum(of_residual * residual) + tf.reduce_sum(of_log_det * changes)
            return tape.gradient(total, [values, *flat])

        return (residual, log_det), gradient

    return compute(values, *tf.nest.flatten(weights))
