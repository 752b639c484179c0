"""What all flows share: a Keras model whose `distribution` is a TFP distribution over images."""

from __future__ import annotations

import abc
import functools
import inspect
import math
import random
import warnings
from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.bijectors import UpToDate
from tfp_realnvp.compute.blocks import in_blocks, rows_of_block
from tfp_realnvp.compute.random_numbers import ALGORITHM, normal_rows, to_seed, uniform_rows
from tfp_realnvp.compute.sharding import at_least_one_row, in_shards, shards
from tfp_realnvp.compute.traces import Traces
from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.checks import (
    check_images,
    check_labels,
    check_labels_fit,
    check_latents,
    check_sample_shape,
    check_temperature,
)
from tfp_realnvp.flows.density_model import DensityModel
from tfp_realnvp.layers import Normalization, VariationalDequantization

__all__ = ["ImageFlow"]

DEQUANTIZATIONS = ("uniform", "variational")


class ImageFlow(DensityModel, abc.ABC):
    """A normalizing flow over images: one bijection between latents and images, and its density.

    `log p(image) = log p_base(latent) + log |det d latent / d image|`, with `latent = encode(image)`.

    A subclass makes its Keras layers in `__init__`, its conditioners in the list `conditioners`, and lists its
    bijectors in `make_bijectors`; everything else is here. It is a Keras model: `compile` with any optimizer,
    then `fit(images)`, see `DensityModel`. The loss is the negative log-probability in nats per dimension, the
    metric is `bits_per_dim`; Keras's callbacks must be told that less is better:
    `monitor="val_bits_per_dim", mode="min"`.

    Between the image and the subclass's bijectors there is `Normalization`: tone curve and ActNorm. It is
    initialized from images by `adapt`, which the first `fit` calls.

    A flow with `labels` is class-conditional: one distribution for each label. It is trained by
    `fit(images, labels)`, its methods take labels, and it recognizes labels by Bayes' rule (`classify`).

    Args:
      image_shape: (height, width, channels).
      levels: number of grey levels, 2 to 256; images are integers in [0, levels).
      labels: those of a class-conditional flow, integers; none for a flow of images alone.
      dequantization: "uniform", or "variational" for learned noise, see `VariationalDequantization`.
      seed: of the initial weights and of the dequantization noise in training. None draws one, the same one
        after the same `keras.utils.set_random_seed`.
      **kwargs: those of `keras.Model`: `name`, and `dtype`, the policy of the conditioners'
        matrix products ("float32", "mixed_bfloat16" or "mixed_float16"; everything else is float32).

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
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
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
        # Python's random numbers, as in Keras: `keras.utils.set_random_seed` seeds them
        self.seed = random.randrange(2**31) if seed is None else seed
        self.normalization = Normalization(self.image_shape, levels=levels, dtype="float32")
        self.dequantizer = None
        if dequantization == "variational":
            self.dequantizer = VariationalDequantization(
                self.image_shape, levels=levels, seed=self.seed, dtype=self.dtype_policy
            )
        # a weight, because Keras does not save the state of a SeedGenerator with the weights
        self.noise_count = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="noise_count"
        )
        self._traces = Traces()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._takes_conditioners = "conditioners" in inspect.signature(cls.make_bijectors).parameters
        if not cls._takes_conditioners:
            warnings.warn(
                f"`{cls.__name__}.make_bijectors(context)` should be `make_bijectors(context, "
                "conditioners)` and use these conditioners, not `self.conditioners`. The old form goes with "
                "version 0.6.",
                FutureWarning,
                stacklevel=2,
            )

    @abc.abstractmethod
    def make_bijectors(
        self, context: tf.Tensor | None, conditioners: Sequence[Callable]
    ) -> list[tfb.Bijector]:
        """The bijectors between latents and normalized images, the one next to the image first.

        Args:
          context: float32 [n, number of labels], 1 for an image's label and 0 elsewhere; None in a flow
            without labels. For the conditioners.
          conditioners: the callables to use in place of `self.conditioners`, in the same order: the layers
            themselves, or functions that call them with kernels that were read before.
        """

    @property
    def adapted(self) -> bool:
        """Whether the normalization was set from images."""
        return bool(self.normalization.adapted.numpy())

    @property
    def dimensions(self) -> int:
        """The number of values in an image: height * width * channels."""
        return math.prod(self.image_shape)

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijection from latents (forward) to points of the unit cube, both of the image shape."""
        return self.bijector_given(None)

    @property
    def distribution(self) -> tfd.TransformedDistribution:
        """The density over images scaled to the unit cube, as a TFP distribution.

        Its event shape is the image shape. It reads the weights when it is used, so it may be kept while the
        model trains.
        """
        return self.distribution_given(None)

    def bijector_given(self, labels) -> tfb.Bijector:
        """The bijection for images of these labels, int [n], or None in a flow without labels."""
        labels = self._check_labels_of_batch(labels)
        return UpToDate(self._bijector(self._conditioners_here(), labels))

    def distribution_given(self, labels) -> tfd.TransformedDistribution:
        """The density of images of these labels: a batch of n distributions.

        Args:
          labels: int [n]; None in a flow without labels, for a single distribution.

        Returns:
          Distribution of batch shape [n], or [], whose event shape is the image shape.

        Raises:
          ValueError: labels that are not known, not given, or not wanted.
        """
        labels = self._check_labels_of_batch(labels)
        batch = [] if labels is None else tf.shape(labels)
        base = _standard_normal(
            tf.concat([batch, self.image_shape], axis=0) if batch else self.image_shape
        )
        return tfd.TransformedDistribution(base, self.bijector_given(labels), name=self.name)

    @property
    def _conditioners(self) -> Sequence[Callable]:
        return getattr(self, "conditioners", ())

    def _conditioners_here(self) -> Sequence[Callable]:
        """The conditioners; for a `tf.function` as functions too: a SavedModel holds each of them once."""
        if tf.executing_eagerly():
            return self._conditioners
        return [
            self._compiled(conditioner, f"conditioner_{number}")
            for number, conditioner in enumerate(self._conditioners)
        ]

    def _bijector(self, conditioners, labels) -> tfb.Bijector:
        context = None
        if labels is not None:
            context = tf.cast(tf.equal(labels[:, tf.newaxis], self.labels), tf.float32)
        if self._takes_conditioners:
            bijectors = self.make_bijectors(context, conditioners)
        else:
            bijectors = self.make_bijectors(context)  # type: ignore[call-arg]
        # without a name, TFP puts those of all bijectors into the name of every operation
        return tfb.Chain([*self.normalization.bijectors, *bijectors], name="flow")

    # For users. In eager mode each method computes its images in blocks of a bounded size. In a `tf.function`
    # it computes them all at once: call it there with batches.

    def log_prob(self, images, labels=None, *, seed: int = 0) -> tf.Tensor:
        """Log-probability of images, in nats per image, comparable between models and with papers.

        It includes dequantization (one draw of noise, see `flows.pixels.log_prob`), all
        log-determinants and `-D log(levels)`. An image's score depends on the image and the seed alone.

        Args:
          images: integers in [0, levels), [n, height, width, channels]; any number of batch axes, or none.
          labels: int [n], for `log p(image | label)`. None means `log p(image)`; in a class-conditional
            flow with equal shares of all labels.
          seed: int, or int32 [2], of the dequantization noise.

        Returns:
          float32 tensor [n].

        Raises:
          TypeError: the images are not integers.
          ValueError: their shape or values do not fit the model; labels that it does not know.
        """
        if self.labels and labels is None:
            log_probs = self.log_prob_given_each(images, seed=seed)
            return tf.reduce_logsumexp(log_probs, axis=-1) - math.log(len(self.labels))
        images, labels, restore = self._rows(self._check_images(images), self._check_labels(labels))
        return restore(self._by_rows(self._log_prob, images, labels, seed=to_seed(seed)))

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
        images, _, restore = self._rows(self._check_images(images))
        return restore(self._by_rows(self._log_prob_given_each, images, seed=to_seed(seed)))

    def classify(self, images, *, seed: int = 0) -> tf.Tensor:
        """The likeliest label of each image by Bayes' rule, all labels being equally likely before.

        Arguments and errors are those of `log_prob_given_each`.

        Returns:
          int32 tensor [n].
        """
        best = tf.argmax(self.log_prob_given_each(images, seed=seed), axis=-1)
        return tf.gather(tf.constant(self.labels, tf.int32), best)

    def sample(
        self, n, labels=None, *, temperature: float | tf.Tensor = 1.0, seed: int | None = None
    ) -> tf.Tensor:
        """Draw new images.

        Args:
          n: how many, at least 1: an integer or integer tensor; or a shape such as (2, 3).
          labels: in a class-conditional flow, the label of all of them, or int [n] (or of that shape); None
            draws them.
          temperature: scale of the latents, above 0; below 1 gives more typical, less varied images.
          seed: int, or int32 [2]; the same seed gives the same images. None draws one, the same one after the
            same `keras.utils.set_random_seed`.

        Returns:
          uint8 tensor [n, height, width, channels], or with the axes of the shape instead of n.

        Raises:
          ValueError: a count below 1, a temperature that is not above 0, or labels that are not known.
        """
        shape, seed = check_sample_shape(n), to_seed(seed)
        temperature = check_temperature(temperature)
        count = math.prod(shape) if isinstance(shape, tuple) else tf.reduce_prod(shape)
        if self.labels and labels is None:
            drawn = tf.random.stateless_uniform(
                [count], seed + 1, 0, len(self.labels), tf.int32, alg=ALGORITHM
            )
            labels = tf.gather(tf.constant(self.labels, tf.int32), drawn)
        elif labels is not None:
            labels = tf.reshape(check_labels_fit(self._check_labels(labels), shape), [-1])
        if tf.executing_eagerly():
            images = self._sample_in_blocks(count, labels, temperature, seed)
        else:
            latents = self.draw_latents(count, temperature, seed)
            images = self._decode(self._conditioners_here(), latents, labels)
        if tf.executing_eagerly() and len(shape) == 1:
            return images
        return tf.reshape(images, tf.concat([shape, self.image_shape], axis=0))

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
        images, labels, restore = self._rows(self._check_images(images), self._check_labels(labels))
        seed = None if seed is None else to_seed(seed)
        return restore(self._by_rows(self._encode, images, labels, seed=seed))

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
        latents = check_latents(latents, self.image_shape)
        latents, labels, restore = self._rows(latents, self._check_labels(labels))
        return restore(self._by_rows(self._decode, latents, labels))

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

    def _check_labels_of_batch(self, labels) -> tf.Tensor | None:
        labels = self._check_labels(labels)
        if labels is not None and labels.shape.rank != 1:
            raise ValueError(
                f"`labels` must have the shape [n], received {labels.shape.as_list()}."
            )
        return labels

    def _rows(self, images, labels=None):
        """Images and labels with one batch axis, and a function that restores the axes in a result."""
        batch = images.shape[:-3]
        if labels is not None:
            if not labels.shape.is_compatible_with(batch):
                raise ValueError(
                    f"`labels` must have the shape {batch.as_list()} of the images' batch, received "
                    f"{labels.shape.as_list()}."
                )
            labels = tf.reshape(labels, [-1])
        if batch.rank == 1:
            return images, labels, lambda result: result

        def restore(result):
            return tf.reshape(result, tf.concat([axes, tf.shape(result)[1:]], axis=0))

        axes = tf.shape(images)[:-3]
        return tf.reshape(images, [-1, *self.image_shape]), labels, restore

    def _by_rows(self, method, images, *columns, **others):
        """Call `method(conditioners, images, ...)`, which treats each row by itself.

        In eager mode it is compiled and computed in blocks, and each block in shards. In a `tf.function` of the
        caller's it is not divided: a SavedModel must not depend on the machine that wrote it.
        """
        if not tf.executing_eagerly():
            function = functools.partial(method, self._conditioners_here(), **others)
            return at_least_one_row(function, images, *columns)

        def sharded(images, *columns, **others):
            function = functools.partial(method, **others)
            return self._in_shards(function, tf.shape(images)[0], images, *columns)

        compiled = functools.partial(self._compiled(sharded, method.__name__), **others)

        def block(start, end):
            part = (
                column if column is None else column[start:end] for column in (images, *columns)
            )
            return at_least_one_row(compiled, *part)

        return in_blocks(block, len(images), largest=rows_of_block(self.image_shape))

    def _compiled(self, function, name=None):
        variables = list(self.variables)
        for (
            conditioner
        ) in self._conditioners:  # Keras does not track a layer that replaces one in a list
            variables += getattr(conditioner, "variables", ())
        return self._traces.get(name or function.__name__, function, variables)

    def _in_shards(self, function, rows, *columns):
        """`function(conditioners, *columns)` in shards, which share the kernels of the conditioners."""
        conditioners = self._conditioners
        if shards() > 1:
            conditioners = [
                functools.partial(conditioner, kernels=conditioner.read_kernels())
                if hasattr(conditioner, "read_kernels")
                else conditioner
                for conditioner in conditioners
            ]
        return in_shards(functools.partial(function, conditioners), rows, *columns)

    def _log_prob(self, conditioners, images, labels, *, seed):
        return self._score(conditioners, images, labels, pixels.image_noise(images, seed))

    def _score(self, conditioners, images, labels, noise):
        base = _standard_normal(self.image_shape)
        return pixels.log_prob(
            tfd.TransformedDistribution(base, self._bijector(conditioners, labels), name="density"),
            images,
            levels=self.levels,
            noise=noise,
            dequantizer=self.dequantizer,
        )

    def _log_prob_given_each(self, conditioners, images, *, seed):
        def given(label):
            labels = tf.fill([tf.shape(images)[0]], label)
            return self._log_prob(conditioners, images, labels, seed=seed)

        rows = tf.map_fn(given, tf.constant(self.labels), fn_output_signature=tf.float32)
        return tf.transpose(rows)

    def _encode(self, conditioners, images, labels, *, seed):
        noise = 0.5 if seed is None else pixels.image_noise(images, seed)
        if self.dequantizer is not None:
            noise, _ = self.dequantizer(images, tf.broadcast_to(noise, tf.shape(images)))
        points = pixels.dequantize(images, noise, levels=self.levels)
        return self._bijector(conditioners, labels).inverse(points)

    def _decode(self, conditioners, latents, labels):
        points = self._bijector(conditioners, labels).forward(latents)
        return pixels.quantize(points, levels=self.levels)

    def _sample_in_blocks(self, count, labels, temperature, seed):
        draw = self._compiled(self._sample_in_shards)

        def block(start, end):
            part = None if labels is None else labels[start:end]
            return draw(tf.constant(start), tf.constant(end - start), part, temperature, seed)

        return in_blocks(block, count, largest=rows_of_block(self.image_shape))

    def _sample_in_shards(self, first, count, labels, temperature, seed):
        def latents(start, end):
            return self.draw_latents(end - start, temperature, seed, first=first + start)

        return self._in_shards(self._decode, count, latents, labels)

    # For Keras.

    def _adapt(self, images) -> None:
        images = self._check_images(images)
        noise = pixels.image_noise(images, to_seed(self.seed))
        self.normalization.adapt(pixels.dequantize(images, noise, levels=self.levels))

    def call(self, inputs, training=False):
        """Log-probability of each image, nats [n]; in training, with new noise in every call.

        Args:
          inputs: images, or {"images": images, "labels": labels} in a class-conditional flow.
          training: whether Keras trains.
        """
        images, labels = self._split(inputs)
        images, labels = self._check_images(images), self._check_labels(labels)
        noise = None
        if training:
            seed = tf.stack([to_seed(self.seed)[0], self._next_noise()])
            noise = uniform_rows(self.image_shape, seed)
        return self._in_shards(self._score, tf.shape(images)[0], images, labels, noise)

    def _next_noise(self) -> tf.Tensor:
        """A new number for each training step and device, as a seed of its noise."""
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        replica = tf.distribute.get_replica_context()  # None outside of `strategy.run`
        device = 0 if replica is None else replica.replica_id_in_sync_group
        number = self.noise_count.value * devices + device
        self.noise_count.assign_add(1)
        return number

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


def _standard_normal(shape) -> tfd.Distribution:
    return tfd.Independent(tfd.Normal(tf.zeros(shape), 1.0), 3)
