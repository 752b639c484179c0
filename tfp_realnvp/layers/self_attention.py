"""Self-attention: each position of an image looks at all others."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tfp_realnvp.layers.transform_parameters import Dense, read_kernel

__all__ = ["SelfAttention"]

HEAD_SIZE = 16


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class SelfAttention(keras.layers.Layer):
    """Features plus what each position gathers from all positions, by several heads.

    With `x = normalized features + learned features of the position`, a head computes
    `softmax(query(x) key(x)^T / sqrt(16)) value(x)`, where query, key and value are linear maps to 16 numbers.
    A linear map of all heads, which starts at zero, is added to the features: a new layer changes nothing.

    Args:
      heads: at least 1.
      seed: of the initial weights.
      **kwargs: those of `keras.layers.Layer`; `dtype` is the policy of the matrix products.

    Call arguments:
      features: float tensor [n, height, width, channels].
      kernels: the result of `read_kernels()`, if the layer is called several times with the same weights; None
        reads them in this call.

    Returns:
      Tensor of the shape and dtype of the features.

    Example:
      >>> features = keras.random.normal((2, 3, 3, 8))
      >>> bool(keras.ops.all(SelfAttention(heads=2)(features) == features))
      True

    Reference:
      Vaswani et al. (2017), Attention is all you need, section 3.2;
      Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, section 3.3 (in the conditioners of a flow).
    """

    def __init__(self, heads: int, *, seed=0, **kwargs):
        super().__init__(**kwargs, autocast=False)
        self.heads = heads
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)
        self.normalize = keras.layers.LayerNormalization(dtype=self.dtype_policy)
        self.look = Dense(
            3 * heads * HEAD_SIZE,
            kernel_initializer=keras.initializers.HeNormal(self._seeds),
            dtype=self.dtype_policy,
        )

    def build(self, features_shape):
        """Make the weights."""
        _, height, width, channels = features_shape
        self.position = self.add_weight(
            shape=(height * width, channels),
            initializer=keras.initializers.RandomNormal(stddev=0.1, seed=self._seeds),
            autocast=False,
            name="position",
        )
        self.gather = Dense(
            channels, use_bias=False, kernel_initializer="zeros", dtype=self.dtype_policy
        )
        rows = (None, height * width, channels)
        self.normalize.build(rows)
        self.look.build(rows)
        self.gather.build((None, height * width, self.heads * HEAD_SIZE))
        super().build(features_shape)

    def read_kernels(self) -> list:
        """The kernels as tensors; see `DenseConditioner.read_kernels`."""
        return [read_kernel(self.look), read_kernel(self.gather)]

    def call(self, features, kernels=None):
        """See the class."""
        look, gather = kernels or (None, None)
        positions, channels = self.position.shape
        rows = keras.ops.reshape(features, (-1, positions, channels))
        seen = self.normalize(rows) + keras.ops.cast(self.position, self.compute_dtype)
        numbers = self.look(seen, kernel=look)
        numbers = keras.ops.reshape(numbers, (-1, positions, 3, self.heads, HEAD_SIZE))
        query, key, value = keras.ops.unstack(keras.ops.transpose(numbers, (2, 0, 3, 1, 4)), 3)
        scores = keras.ops.matmul(query, keras.ops.transpose(key, (0, 1, 3, 2)))
        scores = keras.ops.cast(scores, self.variable_dtype) / math.sqrt(HEAD_SIZE)
        # not that of Keras, which warns if there is only one position
        shares = keras.ops.cast(tf.nn.softmax(scores), self.compute_dtype)
        gathered = keras.ops.transpose(keras.ops.matmul(shares, value), (0, 2, 1, 3))
        gathered = keras.ops.reshape(gathered, (-1, positions, self.heads * HEAD_SIZE))
        return features + keras.ops.reshape(
            self.gather(gathered, kernel=gather), (-1, *features.shape[1:])
        )

    def compute_output_shape(self, features_shape):
        """That of the features."""
        return features_shape

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "seed": self.seed}
