"""Flows: Keras models whose `distribution` is a TFP distribution over images."""

from __future__ import annotations

import abc
import math

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp import masks, preprocessing
from tfp_realnvp.bijectors import Coupling
from tfp_realnvp.conditioners import DenseConditioner

__all__ = ["ImageFlow", "RealNVP"]

ADAPT_IMAGES = 10_000


class ImageFlow(keras.Model, abc.ABC):
    """A normalizing flow over images: one bijection between latents and images, and its density.

    `log p(image) = log p_base(latent) + log |det d latent / d image|`, with `latent = encode(image)`.

    A subclass makes its Keras layers in `__init__`, builds them there, and lists its bijectors in
    `make_bijectors`; everything else is here. It is a Keras model: `compile` with any optimizer, then
    `fit(images)` with images alone, as an integer array or a `tf.data.Dataset` of batches. The loss is
    the negative log-probability in nats per dimension, the metric is `bits_per_dim`; Keras's callbacks want
    to be told that less is better: `monitor="val_bits_per_dim", mode="min"`.

    Between the logit and the subclass's bijectors stands a normalization, a learned shift and scale for
    each pixel. It starts (`adapt`, called by the first `fit`) with the mean and the standard deviation
    of the images' logits.

    Args:
      image_shape: (height, width, channels).
      levels: number of grey levels, 2 to 256; images are integers in [0, levels).
      alpha: of the logit, in (0, 0.5), see `preprocessing.logit`; None means a quarter of a grey level.
      seed: of the initial weights and of the dequantization noise in training.
      **kwargs: those of `keras.Model`: `name`, and `dtype`, the policy of the conditioners'
        matrix products ("float32" or "mixed_bfloat16"; everything else is float32).

    Raises:
      ValueError: an argument outside its range.

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 3.1.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        levels: int = 256,
        alpha: float | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        if len(image_shape) != 3 or min(image_shape) < 1:
            raise ValueError(
                f"`image_shape` must be (height, width, channels), received {image_shape}."
            )
        height, width, channels = image_shape
        if not 2 <= levels <= 256:
            raise ValueError(f"`levels` must be from 2 to 256, received {levels}.")
        if alpha is None:
            alpha = 0.25 / levels
        if not 0 < alpha < 0.5:
            raise ValueError(f"`alpha` must be between 0 and 0.5, received {alpha}.")
        self.image_shape = (int(height), int(width), int(channels))
        self.levels = levels
        self.alpha = alpha
        self.seed = seed
        self.center = self.add_weight(
            shape=image_shape, initializer="zeros", autocast=False, name="center"
        )
        self.log_spread = self.add_weight(
            shape=image_shape, initializer="zeros", autocast=False, name="log_spread"
        )
        self.adapted = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="adapted"
        )
        # a weight, because Keras does not save the state of a SeedGenerator with the weights
        self.noise_count = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="noise_count"
        )
        self.bits_per_dim_tracker = keras.metrics.Mean(name="bits_per_dim")

    @abc.abstractmethod
    def make_bijectors(self) -> list[tfb.Bijector]:
        """The bijectors between latents and normalized logits, the one next to the image first."""

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijection from latents (forward) to points of the unit cube, both of the image shape."""
        normalization = [
            tfb.Shift(tf.convert_to_tensor(self.center)),
            tfb.Scale(log_scale=tf.convert_to_tensor(self.log_spread)),
        ]
        return tfb.Chain([preprocessing.logit(self.alpha), *normalization, *self.make_bijectors()])

    @property
    def dimensions(self) -> int:
        """Numbers in an image: height * width * channels."""
        return math.prod(self.image_shape)

    @property
    def distribution(self) -> tfd.TransformedDistribution:
        """The density over images scaled to the unit cube, as a TFP distribution.

        Its event shape is the image shape. A new object at each access: TFP remembers results in eager
        mode, also those of older weights, so do not keep one while the model trains.
        """
        base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=self.image_shape)
        return tfd.TransformedDistribution(base, self.bijector, name=self.name)

    # What users ask for. Each takes what it is given in one go: for many images, go in batches.

    def log_prob(self, images, *, seed: int = 0) -> tf.Tensor:
        """Log-probability of images, in nats per image, comparable between models and with papers.

        It includes dequantization (one draw of noise, see `preprocessing.log_prob`), the logit's
        log-determinant and `-D log(levels)`. An image's score depends on the image and the seed alone.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          seed: int, or int32 [2], of the dequantization noise.

        Returns:
          float32 tensor [n].

        Raises:
          TypeError: the images are not integers.
          ValueError: their shape or values do not fit the model.
        """
        images = self._check_images(images)
        return self._log_prob(images, preprocessing.to_seed(seed))

    def bits_per_dim(self, images, *, seed: int = 0) -> tf.Tensor:
        """`-log_prob / (D log 2)` of each image, float32 [n]; arguments and errors are those of `log_prob`."""
        return preprocessing.bits_per_dim(self.log_prob(images, seed=seed), self.image_shape)

    def sample(self, n: int, *, temperature: float = 1.0, seed: int | None = None) -> tf.Tensor:
        """Draw new images.

        Args:
          n: how many, at least 1.
          temperature: scale of the latents, above 0; below 1 gives more typical, less varied images.
          seed: int, or int32 [2]; the same seed gives the same images. None draws one.

        Returns:
          uint8 tensor [n, height, width, channels].

        Raises:
          ValueError: a count below 1, or a temperature that is not above 0.
        """
        if n < 1:
            raise ValueError(f"`n` must be at least 1, received {n}.")
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(f"`temperature` must be above 0, received {temperature}.")
        return self._sample(
            tf.constant(n), tf.constant(temperature, tf.float32), preprocessing.to_seed(seed)
        )

    def encode(self, images, *, seed: int | None = None) -> tf.Tensor:
        """Images to latents.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          seed: of the dequantization noise. None takes the middle of each grey level:
            the latents that `decode` brings back to exactly these images.

        Returns:
          float32 tensor of the images' shape.

        Raises:
          TypeError, ValueError: as `log_prob`.
        """
        images = self._check_images(images)
        if seed is None:
            return self._encode(images, 0.5)
        return self._encode(images, preprocessing.image_noise(images, preprocessing.to_seed(seed)))

    def decode(self, latents) -> tf.Tensor:
        """Latents to images.

        Args:
          latents: float tensor [n, height, width, channels].

        Returns:
          uint8 tensor of the same shape.

        Raises:
          ValueError: another shape.
        """
        latents = tf.convert_to_tensor(latents, tf.float32)
        if tuple(latents.shape[-3:]) != self.image_shape:
            raise ValueError(
                f"`latents` must have the shape [..., {', '.join(map(str, self.image_shape))}], "
                f"received {latents.shape.as_list()}."
            )
        return self._decode(latents)

    def _check_images(self, images) -> tf.Tensor:
        return preprocessing.check_images(images, self.image_shape, levels=self.levels)

    @tf.function(reduce_retracing=True)
    def _log_prob(self, images, seed):
        return preprocessing.log_prob(self.distribution, images, levels=self.levels, seed=seed)

    @tf.function(reduce_retracing=True)
    def _sample(self, n, temperature, seed):
        shape = [n, *self.image_shape]
        latents = tf.random.stateless_normal(shape, seed, alg=preprocessing.ALGORITHM)
        return self._decode(temperature * latents)

    @tf.function(reduce_retracing=True)
    def _encode(self, images, noise):
        points = preprocessing.dequantize(images, noise, levels=self.levels)
        return self.bijector.inverse(points)

    @tf.function(reduce_retracing=True)
    def _decode(self, latents):
        points = self.bijector.forward(latents)
        return preprocessing.quantize(points, levels=self.levels)

    # What Keras asks for.

    def adapt(self, images) -> None:
        """Set the normalization from images: the mean and the standard deviation of each pixel's logit.

        Args:
          images: integers in [0, levels), [n, height, width, channels], or a `tf.data.Dataset` of batches;
            the first 10,000 are used.
        """
        if isinstance(images, tf.data.Dataset):
            batches, count = [], 0
            for batch in images:
                batches.append(batch)
                count += len(batch)
                if count >= ADAPT_IMAGES:
                    break
            images = tf.concat(batches, axis=0)
        images = self._check_images(images[:ADAPT_IMAGES])
        noise = preprocessing.image_noise(images, preprocessing.to_seed(self.seed))
        points = preprocessing.dequantize(images, noise, levels=self.levels)
        logits = preprocessing.logit(self.alpha).inverse(points)
        center, variance = tf.nn.moments(logits, axes=[0])
        self.center.assign(center)
        self.log_spread.assign(0.5 * tf.math.log(variance + 1e-6))
        self.adapted.assign(1.0)

    def fit(self, x=None, *args, **kwargs):
        """`keras.Model.fit` with images alone; the first call adapts the normalization to them."""
        if not self.adapted.numpy():
            self.adapt(x)
        return super().fit(x, *args, **kwargs)

    def call(self, images, training=False):
        """Log-probability of each image, nats [n]; in training, with new noise in every call."""
        images = self._check_images(images)
        if not training:
            return preprocessing.log_prob(
                self.distribution, images, levels=self.levels, seed=preprocessing.to_seed(0)
            )
        noise = tf.random.stateless_uniform(
            tf.shape(images),
            tf.stack([preprocessing.to_seed(self.seed)[0], self.noise_count.value]),
            alg=preprocessing.ALGORITHM,
        )
        self.noise_count.assign_add(1)
        points = preprocessing.dequantize(images, noise, levels=self.levels)
        return self.distribution.log_prob(points) - self.dimensions * math.log(self.levels)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Negative log-probability in nats per dimension; `y_pred` is what `call` returned."""
        losses = -y_pred / self.dimensions
        if sample_weight is not None:
            losses *= tf.cast(sample_weight, losses.dtype)
        return tf.reduce_mean(losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """`bits_per_dim` beside the loss."""
        self.bits_per_dim_tracker.update_state(
            preprocessing.bits_per_dim(y_pred, self.image_shape), sample_weight
        )
        return self.get_metrics_result()

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "levels": self.levels,
            "alpha": self.alpha,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class RealNVP(ImageFlow):
    """RealNVP with checkerboard couplings and dense conditioners.

    The pixels are ordered so that those of one colour of the checkerboard come first; each coupling then
    keeps one half, in turns, and transforms the other.

    Args:
      image_shape: (height, width, channels).
      couplings: number of couplings, at least 1; with fewer than 2 half of the pixels stay as they are.
      depth: dense layers in a conditioner, the output layer included, at least 1.
      width: units of a hidden layer.
      activation: of the hidden layers.
      **kwargs: those of `ImageFlow`: `levels`, `alpha`, `seed`, `dtype`.

    Raises:
      ValueError: an argument outside its range.

    Example:
      >>> flow = RealNVP((8, 8, 1), levels=17, couplings=2, width=32)
      >>> flow.compile(optimizer="adam")
      >>> images = np.zeros((100, 8, 8, 1), np.uint8)
      >>> history = flow.fit(images, epochs=1, verbose=0)
      >>> flow.sample(5, seed=0).shape
      TensorShape([5, 8, 8, 1])

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.2 to 3.5.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        couplings: int = 4,
        depth: int = 4,
        width: int = 512,
        activation="relu",
        **kwargs,
    ):
        super().__init__(image_shape, **kwargs)
        for name, value in (("couplings", couplings), ("depth", depth), ("width", width)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, received {value}.")
        mask = masks.checkerboard(self.image_shape)
        if mask.all():
            raise ValueError(
                f"`image_shape` must have at least two pixels, received {image_shape}."
            )
        self.couplings = couplings
        self.depth = depth
        self.width = width
        self.activation = keras.activations.get(activation)
        self.split = int(mask.sum())
        self.order = masks.kept_first(mask)
        self.conditioners = []
        for step in range(couplings):
            kept = self.split if step % 2 == 0 else self.dimensions - self.split
            conditioner = DenseConditioner(
                self.dimensions - kept,
                depth=depth,
                width=width,
                activation=self.activation,
                seed=self.couplings * self.seed + step,
                dtype=self.dtype_policy,
            )
            conditioner.build((None, kept))
            self.conditioners.append(conditioner)
        self.built = True

    def make_bijectors(self) -> list[tfb.Bijector]:
        """To the order of the checkerboard, the couplings, and back to the image shape."""
        unflatten = tfb.Chain(
            [
                tfb.Reshape(self.image_shape, [self.dimensions]),
                tfb.Permute(np.argsort(self.order).astype(np.int32), axis=-1),
            ]
        )
        couplings = [
            Coupling(conditioner, split=self.split, parity=step % 2)
            for step, conditioner in enumerate(self.conditioners)
        ]
        return [unflatten, *couplings, tfb.Invert(unflatten)]

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "couplings": self.couplings,
            "depth": self.depth,
            "width": self.width,
            "activation": keras.activations.serialize(self.activation),
        }
