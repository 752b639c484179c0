"""What all flows share: a Keras model whose `distribution` is a TFP distribution over images."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import ALGORITHM, normal_rows, to_seed, uniform_rows
from tfp_realnvp.compute.sharding import in_shards, row_by_row
from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.checks import check_images, check_labels
from tfp_realnvp.layers import Normalization, VariationalDequantization

__all__ = ["ImageFlow"]

ADAPT_IMAGES = 1_000
DEQUANTIZATIONS = ("uniform", "variational")


class ImageFlow(keras.Model, abc.ABC):
    """A normalizing flow over images: one bijection between latents and images, and its density.

    `log p(image) = log p_base(latent) + log |det d latent / d image|`, with `latent = encode(image)`.

    A subclass makes its Keras layers in `__init__`, builds them there, and lists its bijectors in
    `make_bijectors`; everything else is here. It is a Keras model: `compile` with any optimizer, then
    `fit(images)` with images alone, as an integer array or a `tf.data.Dataset` of batches. The loss is
    the negative log-probability in nats per dimension, the metric is `bits_per_dim`; Keras's callbacks want
    to be told that less is better: `monitor="val_bits_per_dim", mode="min"`.

    Between the image and the subclass's bijectors stands `Normalization`: tone curve and ActNorm.
    It takes its start from images: `adapt`, called by the first `fit`.

    A flow with `labels` is class-conditional: one distribution for each label. It is trained by
    `fit({"images": images, "labels": labels})`, its methods take labels, and it recognizes labels by
    Bayes' rule (`classify`).

    Args:
      image_shape: (height, width, channels).
      levels: number of grey levels, 2 to 256; images are integers in [0, levels).
      labels: those of a class-conditional flow, integers; none for a flow of images alone.
      dequantization: "uniform", or "variational" for learned noise, see `VariationalDequantization`.
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
        labels: Sequence[int] = (),
        dequantization: str = "uniform",
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
        if len(set(labels)) != len(labels) or len(labels) == 1:
            raise ValueError(f"`labels` must be two or more different ones, received {labels}.")
        if dequantization not in DEQUANTIZATIONS:
            raise ValueError(
                f"`dequantization` must be one of {', '.join(DEQUANTIZATIONS)}, "
                f"received {dequantization!r}."
            )
        self.image_shape = (int(height), int(width), int(channels))
        self.levels = levels
        self.labels = tuple(int(label) for label in labels)
        self.dequantization = dequantization
        self.seed = seed
        self.normalization = Normalization(self.image_shape, levels=levels, dtype="float32")
        self.dequantizer = None
        if dequantization == "variational":
            self.dequantizer = VariationalDequantization(
                self.image_shape, levels=levels, seed=seed, dtype=self.dtype_policy
            )
        # a weight, because Keras does not save the state of a SeedGenerator with the weights
        self.noise_count = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="noise_count"
        )
        self.bits_per_dim_tracker = keras.metrics.Mean(name="bits_per_dim")

    @abc.abstractmethod
    def make_bijectors(self, context: tf.Tensor | None) -> list[tfb.Bijector]:
        """The bijectors between latents and normalized images, the one next to the image first.

        Args:
          context: float32 [n, number of labels], 1 for an image's label and 0 elsewhere; None in a flow
            without labels. For the conditioners.
        """

    @property
    def dimensions(self) -> int:
        """Numbers in an image: height * width * channels."""
        return math.prod(self.image_shape)

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijection from latents (forward) to points of the unit cube, both of the image shape."""
        return self.bijector_given(None)

    @property
    def distribution(self) -> tfd.TransformedDistribution:
        """The density over images scaled to the unit cube, as a TFP distribution.

        Its event shape is the image shape. A new object at each access: TFP remembers results in eager
        mode, also those of older weights, so do not keep one while the model trains.
        """
        return self.distribution_given(None)

    def bijector_given(self, labels) -> tfb.Bijector:
        """The bijection for images of these labels, int [n], or None in a flow without labels."""
        bijectors = self.make_bijectors(self._context(labels))
        return tfb.Chain([*self.normalization.bijectors, *bijectors])

    def distribution_given(self, labels) -> tfd.TransformedDistribution:
        """The density of images of these labels, int [n], or None in a flow without labels."""
        base = tfd.Independent(tfd.Normal(tf.zeros(self.image_shape), 1.0), 3)
        return tfd.TransformedDistribution(base, self.bijector_given(labels), name=self.name)

    # What users ask for. Each takes what it is given in one go: for many images, go in batches.

    def log_prob(self, images, labels=None, *, seed: int = 0) -> tf.Tensor:
        """Log-probability of images, in nats per image, comparable between models and with papers.

        It includes dequantization (one draw of noise, see `pixels.log_prob`), all
        log-determinants and `-D log(levels)`. An image's score depends on the image and the seed alone.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          labels: int [n], for `log p(image | label)`. None means `log p(image)`; in a class-conditional
            flow with equal shares of all labels.
          seed: int, or int32 [2], of the dequantization noise.

        Returns:
          float32 tensor [n].

        Raises:
          TypeError: the images are not integers.
          ValueError: their shape or values do not fit the model; labels that it does not know.
        """
        images, seed = self._check_images(images), to_seed(seed)
        if self.labels and labels is None:
            return self._marginal(self._log_prob_given_each(images, seed=seed))
        return self._log_prob(images, self._check_labels(labels), seed=seed)

    def bits_per_dim(self, images, labels=None, *, seed: int = 0) -> tf.Tensor:
        """`-log_prob / (D log 2)` of each image, float32 [n]; arguments and errors are those of `log_prob`."""
        return pixels.bits_per_dim(self.log_prob(images, labels, seed=seed), self.image_shape)

    def log_prob_given_each(self, images, *, seed: int = 0) -> tf.Tensor:
        """`log p(image | label)` for every label of a class-conditional flow.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          seed: int, or int32 [2], of the dequantization noise.

        Returns:
          float32 tensor [n, number of labels], in the order of `labels`.

        Raises:
          ValueError: a flow without labels; and as `log_prob`.
        """
        if not self.labels:
            raise ValueError("this flow knows no labels: train a class-conditional one.")
        images, seed = self._check_images(images), to_seed(seed)
        return self._log_prob_given_each(images, seed=seed)

    def classify(self, images, *, seed: int = 0) -> tf.Tensor:
        """The likeliest label of each image by Bayes' rule, all labels being equally likely before.

        Arguments and errors are those of `log_prob_given_each`.

        Returns:
          int32 tensor [n].
        """
        best = tf.argmax(self.log_prob_given_each(images, seed=seed), axis=-1)
        return tf.gather(tf.constant(self.labels, tf.int32), best)

    def sample(
        self, n: int, labels=None, *, temperature: float = 1.0, seed: int | None = None
    ) -> tf.Tensor:
        """Draw new images.

        Args:
          n: how many, at least 1.
          labels: in a class-conditional flow, the label of all of them, or int [n]; None draws them.
          temperature: scale of the latents, above 0; below 1 gives more typical, less varied images.
          seed: int, or int32 [2]; the same seed gives the same images. None draws one.

        Returns:
          uint8 tensor [n, height, width, channels].

        Raises:
          ValueError: a count below 1, a temperature that is not above 0, or labels that are not known.
        """
        if n < 1:
            raise ValueError(f"`n` must be at least 1, received {n}.")
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(f"`temperature` must be above 0, received {temperature}.")
        seed = to_seed(seed)
        if self.labels and labels is None:
            drawn = tf.random.stateless_uniform(
                [n], seed + 1, 0, len(self.labels), tf.int32, alg=ALGORITHM
            )
            labels = tf.gather(tf.constant(self.labels, tf.int32), drawn)
        elif self.labels:
            labels = tf.broadcast_to(tf.convert_to_tensor(labels, tf.int32), [n])
        labels = self._check_labels(labels)
        return self._sample(tf.constant(n), labels, tf.constant(temperature, tf.float32), seed)

    def encode(self, images, labels=None, *, seed: int | None = None) -> tf.Tensor:
        """Images to latents.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          labels: int [n], in a class-conditional flow.
          seed: of the dequantization noise. None takes the middle of each grey level:
            the latents that `decode` brings back to exactly these images.

        Returns:
          float32 tensor of the images' shape.

        Raises:
          TypeError, ValueError: as `log_prob`.
        """
        images, labels = self._check_images(images), self._check_labels(labels)
        seed = None if seed is None else to_seed(seed)
        return self._encode(images, labels, seed=seed)

    def decode(self, latents, labels=None) -> tf.Tensor:
        """Latents to images.

        Args:
          latents: float tensor [n, height, width, channels].
          labels: int [n], in a class-conditional flow.

        Returns:
          uint8 tensor of the same shape.

        Raises:
          ValueError: another shape, or labels that are not known.
        """
        latents = tf.convert_to_tensor(latents, tf.float32)
        if tuple(latents.shape[-3:]) != self.image_shape:
            raise ValueError(
                f"`latents` must have the shape [..., {', '.join(map(str, self.image_shape))}], "
                f"received {latents.shape.as_list()}."
            )
        return self._decode(latents, self._check_labels(labels))

    def draw_latents(self, n, temperature, seed, *, first=0) -> tf.Tensor:
        """The latents of new images: independent normals, whose standard deviation is the temperature.

        Args:
          n: how many, an int or a scalar tensor.
          temperature: above 0.
          seed: int32 [2].
          first: which of the seed's latents is the first one, a multiple of 4.

        Returns:
          float32 tensor [n, height, width, channels].
        """
        return temperature * normal_rows(self.image_shape, seed)(first, first + n)

    def in_precision(self, dtype) -> ImageFlow:
        """A copy that does the conditioners' matrix products in another precision.

        What `train` keeps is in float32. In bfloat16 it draws and scores faster where the hardware has
        instructions for it, and less exactly (benchmarks/precision.py shows by how much).

        Args:
          dtype: "float32", "mixed_bfloat16", or any other policy that Keras knows.

        Returns:
          A flow of the same class with the same weights, not compiled.

        Example:
          `fast = flow.in_precision("mixed_bfloat16")`
        """
        copy = type(self).from_config({**self.get_config(), "dtype": dtype})
        copy.set_weights(self.get_weights())
        return copy

    def _check_images(self, images) -> tf.Tensor:
        return check_images(images, self.image_shape, levels=self.levels)

    def _check_labels(self, labels) -> tf.Tensor | None:
        return check_labels(labels, self.labels)

    def _context(self, labels) -> tf.Tensor | None:
        labels = self._check_labels(labels)
        if labels is None:
            return None
        return tf.cast(tf.equal(labels[:, tf.newaxis], self.labels), tf.float32)

    def _marginal(self, log_probs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_logsumexp(log_probs, axis=-1) - math.log(len(self.labels))

    @row_by_row
    def _log_prob(self, images, labels, *, seed):
        return self._score(images, labels, pixels.image_noise(images, seed))

    def _score(self, images, labels, noise):
        return pixels.log_prob(
            self.distribution_given(labels),
            images,
            levels=self.levels,
            noise=noise,
            dequantizer=self.dequantizer,
        )

    @row_by_row
    def _log_prob_given_each(self, images, *, seed):
        def given(label):
            return self._log_prob(images, tf.fill([tf.shape(images)[0]], label), seed=seed)

        rows = tf.map_fn(given, tf.constant(self.labels), fn_output_signature=tf.float32)
        return tf.transpose(rows)

    @row_by_row
    def _encode(self, images, labels, *, seed):
        noise = 0.5 if seed is None else pixels.image_noise(images, seed)
        if self.dequantizer is not None:
            noise, _ = self.dequantizer(images, tf.broadcast_to(noise, tf.shape(images)))
        points = pixels.dequantize(images, noise, levels=self.levels)
        return self.bijector_given(labels).inverse(points)

    @row_by_row
    def _decode(self, latents, labels):
        points = self.bijector_given(labels).forward(latents)
        return pixels.quantize(points, levels=self.levels)

    @tf.function(reduce_retracing=True)
    def _sample(self, n, labels, temperature, seed):
        def latents(start, end):
            return self.draw_latents(end - start, temperature, seed, first=start)

        return in_shards(self._decode, n, latents, labels)

    # What Keras asks for.

    def adapt(self, images) -> None:
        """Set the normalization from images, see `Normalization.adapt`.

        Args:
          images: integers in [0, levels), [n, height, width, channels], or whatever `fit` takes;
            the first 1,000 are used.
        """
        if isinstance(images, tf.data.Dataset):
            batches, count = [], 0
            for batch in images:
                batches.append(self._split(batch)[0])
                count += len(batches[-1])
                if count >= ADAPT_IMAGES:
                    break
            images = tf.concat(batches, axis=0)
        images = self._check_images(self._split(images)[0][:ADAPT_IMAGES])
        noise = pixels.image_noise(images, to_seed(self.seed))
        self.normalization.adapt(pixels.dequantize(images, noise, levels=self.levels))

    def fit(self, x=None, *args, **kwargs):
        """`keras.Model.fit` with images alone; the first call adapts the normalization to them."""
        if not self.normalization.adapted.numpy():
            self.adapt(x)
        if getattr(self, "optimizer", None):
            # else the first step makes the optimizer's variables, and TensorFlow traces it twice
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().fit(x, *args, **kwargs)

    def call(self, inputs, training=False):
        """Log-probability of each image, nats [n]; in training, with new noise in every call.

        Args:
          inputs: images, or {"images": images, "labels": labels} in a class-conditional flow.
          training: whether Keras trains.
        """
        images, labels = self._split(inputs)
        images = self._check_images(images)
        noise = None
        if training:
            seed = tf.stack([to_seed(self.seed)[0], self._next_noise()])
            noise = uniform_rows(self.image_shape, seed)
        return in_shards(self._score, tf.shape(images)[0], images, labels, noise)

    def _next_noise(self) -> tf.Tensor:
        """A number for each training step, and within a step for each device."""
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = self.noise_count.value * devices + device
        self.noise_count.assign_add(1)
        return number

    def _split(self, inputs):
        """(images, labels) of what `fit` was given."""
        if isinstance(inputs, dict):
            return inputs["images"], inputs["labels"]
        return inputs, None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Negative log-probability in nats per dimension; `y_pred` is what `call` returned."""
        losses = -y_pred / self.dimensions
        if sample_weight is not None:
            losses *= tf.cast(sample_weight, losses.dtype)
        # Keras sums the gradients of all devices
        return tf.reduce_mean(losses) / tf.distribute.get_strategy().num_replicas_in_sync

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """`bits_per_dim` beside the loss."""
        self.bits_per_dim_tracker.update_state(
            pixels.bits_per_dim(y_pred, self.image_shape), sample_weight
        )
        return self.get_metrics_result()

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "levels": self.levels,
            "labels": self.labels,
            "dequantization": self.dequantization,
            "seed": self.seed,
        }
