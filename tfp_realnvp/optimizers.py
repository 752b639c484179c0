"""The optimizer of `train`: Keras's Adam, faster."""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["Adam"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with one operation for each weight instead of twenty.

    The result is the same. A training step reads and writes each weight and its two moments once, and it is
    traced more quickly; benchmarks/compare.py shows what that gives. On several devices, gradients are clipped
    when they are summed, so that a step is that on one device. (Keras clips those of each device by
    themselves.)

    Args:
      *args: those of `keras.optimizers.Adam`.
      **kwargs: those of `keras.optimizers.Adam`; `amsgrad` must be False.

    Raises:
      ValueError: `amsgrad` is True.

    Example:
      >>> weight = keras.Variable([1.0])
      >>> Adam(0.1, global_clipnorm=1.0).apply([tf.constant([2.0])], [weight])
      >>> weight.numpy().round(3)
      array([0.9], dtype=float32)

    Reference:
      Kingma, Ba (2015), Adam: a method for stochastic optimization, algorithm 1.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("`amsgrad` must be False, or take `keras.optimizers.Adam`.")

    def _clip_gradients(self, gradients):
        """Keras calls it before it sums the gradients of all devices: sum them first.

        A sum over a single device would change nothing, and TensorFlow would keep its graph for ever.
        """
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            pairs = [(gradient, None) for gradient in gradients]
            gradients = [gradient for gradient, _ in super()._all_reduce_sum_gradients(pairs)]
        return super()._clip_gradients(gradients)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Already done."""
        return grads_and_vars

    def update_step(self, gradient, variable, learning_rate):
        """Change a weight and its moments."""
        index = self._get_variable_index(variable)
        step = tf.cast(
            self.iterations + 1, variable.dtype
        )  # of updates: gradients may be accumulated
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,  # a TensorFlow variable: that of the device, if there are several
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
