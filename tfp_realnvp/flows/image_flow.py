"""What all flows share: a Keras model whose `distribution` is a TFP distribution over images."""

from __future__ import annotations

import abc
import functools
import inspect
import math
import random
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_realnvp.bijectors import UpToDate
from tfp_realnvp.bijectors.cache import with_own_cache
from tfp_realnvp.compute.blocks import in_blocks, rows_of_block
from tfp_realnvp.compute.random_numbers import ALGORITHM, normal_rows, to_seed, uniform_rows
from tfp_realnvp.compute.sharding import UNIT
from tfp_realnvp.compute.traces import any_rows
from tfp_realnvp.flows import pixels
from tfp_realnvp.flows.checks import (
    check_context_fits,
    check_images,
    check_labels_fit,
    check_latents,
    check_sample_shape,
    check_temperature,
)
from tfp_realnvp.flows.rowwise_model import RowwiseModel
from tfp_realnvp.flows.told import Told, as_encoder
from tfp_realnvp.layers import ClusterMixture, Normalization, VariationalDequantization

__all__ = ["ImageFlow"]

NORMALIZED_IMAGES = 1_000  # from which the normalization begins
CLUSTERED_IMAGES = 10_000  # among which clusters are found, fewer if they are large
CLUSTERED_VALUES = 2**25
DEQUANTIZATIONS = ("uniform", "variational")


class ImageFlow(RowwiseModel, abc.ABC):
    """A normalizing flow over images: one bijection between latents and images, and its density.

    `log p(image) = log p_base(latent) + log |det d latent / d image|`, with `latent = encode(image)`.

    A subclass makes its Keras layers in `__init__`, its conditioners in the list `conditioners`, and lists its
    bijectors in `make_bijectors`; everything else is here. It is a Keras model: `compile` with any optimizer,
    then `fit(images)`, see `DensityModel`. The loss is the negative log-probability in nats per dimension, the
    metric is `bits_per_dim`; Keras's callbacks must be told that less is better:
    `monitor="val_bits_per_dim", mode="min"`.

    Between the image and the subclass's bijectors there is `Normalization`: tone curve and ActNorm. It is
    initialized from images by `adapt`, which the first `fit` calls.

    The latents of a flow with `components` have a mixture of Gaussians, see `ClusterMixture`: one for each
    cluster of the images that it was adapted to. Labels are not needed for that.

    A flow with `labels` is class-conditional: one distribution for each label. It is trained by
    `fit(images, labels)`, its methods take labels, and it recognizes labels by Bayes' rule (`classify`).

    A flow with a `context_shape` is told something else of each image, a vector or an image, of about unit
    scale. It is trained by `fit({"images": images, "context": context})`, and its methods take `context`.
    Convolutional conditioners read a context image at their own scale: its height and width must be multiples
    or divisors of those of every scale. `given` fixes the label and the context.

    Attributes:
      exact: whether `log_prob` has exact log-determinants; otherwise it has estimates, right in the mean.
      half_precision: whether the conditioners' matrix products may be in half precision.

    Args:
      image_shape: (height, width, channels).
      levels: number of grey levels, 2 to 256; images are integers in [0, levels).
      components: number of Gaussians of the latents; 1 for standard normal latents, as a flow must have that
        is told something.
      separation: how far apart these Gaussians begin, 0 to 10; 1 is as far as the clusters' latents. In short
        training, more makes pictures that hold together better, and less gives images more probability.
      labels: those of a class-conditional flow, integers; none for a flow of images alone.
      context_shape: (features,) or (height, width, channels); None for a flow without a context.
      context_encoder: a Keras model from contexts [n, *context_shape] to [n, features] or
        [n, height, width, channels], which is trained with the flow; None takes the contexts as they are.
      dequantization: "uniform", or "variational" for learned noise, see `VariationalDequantization`.
      seed: of the initial weights and of the dequantization noise in training. None draws one, the same one
        after the same `keras.utils.set_random_seed`.
      **kwargs: those of `keras.Model`: `name`, and `dtype`, the policy of the conditioners'
        matrix products ("float32", "mixed_bfloat16" or "mixed_float16"; everything else is float32).

    Raises:
      TypeError, ValueError: an argument of another kind or outside its range.

    Reference:
      Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, section 3.1;
      Winkler, Worrall, Hoogeboom, Welling (2019), Learning likelihoods with conditional normalizing flows,
      section 3.2 (context).
    """

    exact = True
    half_precision = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        levels: int = 256,
        components: int = 1,
        separation: float = 0.5,
        labels: Sequence[int] = (),
        context_shape: Sequence[int] | None = None,
        context_encoder: keras.Model | None = None,
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
        if dequantization not in DEQUANTIZATIONS:
            raise ValueError(
                f"`dequantization` must be one of {', '.join(DEQUANTIZATIONS)}, "
                f"received {dequantization!r}."
            )
        self.image_shape = (int(height), int(width), int(channels))
        self.levels = levels
        # an attribute of the model, so that Keras trains and saves it
        self.context_encoder = as_encoder(context_encoder)
        self.told = Told(labels, context_shape, self.context_encoder)
        self.labels, self.context_shape = self.told.labels, self.told.context_shape
        self.dequantization = dequantization
        # Python's random numbers, as in Keras: `keras.utils.set_random_seed` seeds them
        self.seed = random.randrange(2**31) if seed is None else seed
        self.normalization = Normalization(self.image_shape, levels=levels, dtype="float32")
        self.clusters = self._make_clusters(components, separation)
        self.dequantizer = None
        if dequantization == "variational":
            self.dequantizer = VariationalDequantization(
                self.image_shape, levels=levels, seed=self.seed, dtype=self.dtype_policy
            )
        # a weight, because Keras does not save the state of a SeedGenerator with the weights
        self.noise_count = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="noise_count"
        )

    def _make_clusters(self, components: int, separation: float) -> ClusterMixture | None:
        if not isinstance(components, (int, np.integer)) or components < 1:
            raise ValueError(
                f"`components` must be an integer of at least 1, received {components}."
            )
        if components > 1 and self.told.shape:
            raise ValueError(
                "`components` must be 1 in a flow with labels or a context, which decide on the cluster, "
                f"received {components}."
            )
        if not 0 <= separation <= 10:
            raise ValueError(f"`separation` must be from 0 to 10, received {separation}.")
        self.components, self.separation = int(components), float(separation)
        if components == 1:
            return None
        return ClusterMixture(
            self.components, self.image_shape, separation=self.separation, dtype="float32"
        )

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
          context: for the conditioners: float32 [n, *told.shape], what the flow was told of each image, see
            `flows.told.Told`; None in a flow that is told nothing.
          conditioners: the callables to use in place of `self.conditioners`, in the same order: the layers
            themselves, or functions that call them with kernels that were read before.
        """

    @property
    def adapted(self) -> bool:
        """Whether the normalization was set from images."""
        return bool(self.normalization.adapted.numpy())

    @property
    def adapt_images(self) -> int:
        """The number of images to which a new flow is adapted, at most."""
        if self.clusters is None:
            return NORMALIZED_IMAGES
        fit = CLUSTERED_VALUES // self.dimensions
        return max(NORMALIZED_IMAGES, min(CLUSTERED_IMAGES, fit))

    @property
    def dimensions(self) -> int:
        """The number of values in an image: height * width * channels."""
        return math.prod(self.image_shape)

    @property
    def bijector(self) -> tfb.Bijector:
        """The bijection from latents (forward) to points of the unit cube, both of the image shape."""
        return self.bijector_given()

    @property
    def distribution(self) -> tfd.TransformedDistribution:
        """The density over images scaled to the unit cube, as a TFP distribution.

        Its event shape is the image shape. It reads the weights when it is used, so it may be kept while the
        model trains.
        """
        return self.distribution_given()

    def bijector_given(self, labels=None, *, context=None) -> tfb.Bijector:
        """The bijection for images of these labels and contexts; arguments as in `distribution_given`."""
        labels, context = self.told.check_rows(labels, context)
        return self.bijector_told(self.told.join(labels, self.told.encode(context)))

    def bijector_told(self, told) -> tfb.Bijector:
        """The bijection for images of which conditioners are told `told`, float32 [n, *told.shape], or None."""
        return with_own_cache(UpToDate(self._bijector_told(self._conditioners_here(), told)))

    def distribution_given(self, labels=None, *, context=None) -> tfd.TransformedDistribution:
        """The density of images of these labels and contexts: a batch of n distributions.

        Args:
          labels: int [n]; None in a flow without labels.
          context: float [n, *context_shape]; None in a flow without a context. It is encoded here, with the
            weights that an encoder has now.

        Returns:
          Distribution of batch shape [n], or [] if the flow is told nothing, whose event shape is the image
          shape.

        Raises:
          ValueError: labels or a context that are not known, not given, or not wanted.
        """
        labels, context = self.told.check_rows(labels, context)
        rows = [tf.shape(column)[:1] for column in (labels, context) if column is not None]
        bijector = self.bijector_told(self.told.join(labels, self.told.encode(context)))
        base = self.base_distribution(rows[0] if rows else ())
        return tfd.TransformedDistribution(base, bijector, name=self.name)

    def base_distribution(self, rows=()) -> tfd.Distribution:
        """Of the latents: independent standard normals over the image shape, or the mixture.

        Args:
          rows: the batch shape, none or an int32 tensor [1].
        """
        if self.clusters is not None:
            return self.clusters.distribution()
        shape = tf.concat([rows, self.image_shape], axis=0) if len(rows) else self.image_shape
        return tfd.Independent(tfd.Normal(tf.zeros(shape), 1.0), 3)

    def standardize(self, latents) -> tf.Tensor:
        """Latents in standard deviations of `base_distribution` from its mean.

        In a mixture they are those of the Gaussian that a latent is likeliest from.

        Args:
          latents: float32 [n, height, width, channels].
        """
        return latents if self.clusters is None else self.clusters.standardize(latents)

    def given(self, label: int | None = None, *, context=None) -> ImageFlow:
        """The flow for one label and one context, as a flow that is told nothing.

        It has the weights of this one: what trains one trains the other. So all that is made for flows of
        images alone works for flows that are told something: `fewshot`, `morph`, `serving`.

        Args:
          label: one that the flow knows; None in a flow without labels.
          context: float of `context_shape`; None in a flow without a context.

        Raises:
          ValueError: as `distribution_given`.

        Example:
          `threes = flow.given(3)`, then `threes.sample(10)`, `threes.log_prob(images)`, `threes.distribution`
        """
        from tfp_realnvp.flows.given_flow import GivenFlow  # noqa: PLC0415  (it imports this file)

        return GivenFlow(self, label=label, context=context)

    def _bijector(self, conditioners, labels, encoded) -> tfb.Bijector:
        told = self.told.join(labels, encoded)
        return with_own_cache(self._bijector_told(conditioners, told))

    def _bijector_told(self, conditioners, told) -> tfb.Bijector:
        if self._takes_conditioners:
            bijectors = self.make_bijectors(told, conditioners)
        else:
            bijectors = self.make_bijectors(told)  # type: ignore[call-arg]
        # without a name, TFP puts those of all bijectors into the name of every operation
        return tfb.Chain([*self.normalization.bijectors, *bijectors], name="flow")

    # For users.

    def log_prob(self, images, labels=None, *, context=None, seed: int = 0) -> tf.Tensor:
        """Log-probability of images, in nats per image, comparable between models and with papers.

        It includes dequantization (one draw of noise, see `flows.pixels.log_prob`), all
        log-determinants and `-D log(levels)`. An image's score depends on the image and the seed alone.

        Args:
          images: integers in [0, levels), [n, height, width, channels]; any number of batch axes, or none.
          labels: int [n], for `log p(image | label)`. None means `log p(image)`; in a class-conditional
            flow with equal shares of all labels.
          context: float [n, *context_shape], in a flow with a context.
          seed: int, or int32 [2], of the dequantization noise.

        Returns:
          float32 tensor [n].

        Raises:
          TypeError: the images are not integers.
          ValueError: their shape or values do not fit the model; labels or a context that do not.
        """
        if self.labels and labels is None:
            log_probs = self.log_prob_given_each(images, context=context, seed=seed)
            return tf.reduce_logsumexp(log_probs, axis=-1) - math.log(len(self.labels))
        told = self.told.check(labels, context)
        images, *told, restore = self._rows(self._check_images(images), *told)
        return restore(self._by_rows(self._log_prob, images, *told, seed=to_seed(seed)))

    def bits_per_dim(self, images, labels=None, *, context=None, seed: int = 0) -> tf.Tensor:
        """`-log_prob / (D log 2)` of each image, float32 [n]; arguments and errors are those of `log_prob`."""
        log_probs = self.log_prob(images, labels, context=context, seed=seed)
        return pixels.bits_per_dim(log_probs, self.image_shape)

    def bits_per_pixel(self, images, labels=None, *, context=None, seed: int = 0) -> tf.Tensor:
        """Where the bits of an image come from: those of each value, whose mean is `bits_per_dim`.

        Given what the conditioners said, each latent depends on one value of the image alone. So `log p(image)`
        is a sum over the values: of the log-probability of the latent, and of the logarithm of the slope from
        the value to the latent. A value costs the more bits, the less the others foretold it.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          labels: as in `log_prob`; a class-conditional flow needs them.
          context: as in `log_prob`.
          seed: as in `log_prob`.

        Returns:
          float32 tensor of the images' shape. A value can have less than 0 bits, because of dequantization.

        Raises:
          TypeError, ValueError: as `log_prob`; a flow with variational dequantization.
        """
        if self.dequantizer is not None:
            raise ValueError(
                "the bits of a pixel need uniform dequantization: learned noise has one log-probability for "
                "the whole image."
            )
        told = self.told.check(labels, context)
        images, *told, restore = self._rows(self._check_images(images), *told)
        return restore(self._by_rows(self._bits_per_pixel, images, *told, seed=to_seed(seed)))

    def log_prob_given_each(self, images, *, context=None, seed: int = 0) -> tf.Tensor:
        """`log p(image | label)` for every label of a class-conditional flow.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          context: float [n, *context_shape], in a flow with a context.
          seed: int, or int32 [2], of the dequantization noise.

        Returns:
          float32 tensor [n, number of labels], in the order of `labels`.

        Raises:
          ValueError: a flow without labels; and as `log_prob`.
        """
        if not self.labels:
            raise ValueError("this flow knows no labels: train a class-conditional one.")
        told = None, self.told.check_context(context)
        images, *told, restore = self._rows(self._check_images(images), *told)
        return restore(self._by_rows(self._log_prob_given_each, images, *told, seed=to_seed(seed)))

    def classify(self, images, *, context=None, seed: int = 0) -> tf.Tensor:
        """The likeliest label of each image by Bayes' rule, all labels being equally likely before.

        Arguments and errors are those of `log_prob_given_each`.

        Returns:
          int32 tensor [n].
        """
        log_probs = self.log_prob_given_each(images, context=context, seed=seed)
        best = tf.argmax(log_probs, axis=-1)
        return tf.gather(tf.constant(self.labels, tf.int32), best)

    def sample(
        self,
        n,
        labels=None,
        *,
        context=None,
        temperature: float | tf.Tensor = 1.0,
        seed: int | None = None,
    ) -> tf.Tensor:
        """Draw new images.

        Args:
          n: how many, at least 1: an integer or integer tensor; or a shape such as (2, 3).
          labels: in a class-conditional flow, the label of all of them, or int [n] (or of that shape); None
            draws them.
          context: in a flow with a context, that of all of them, float of `context_shape`, or
            [n, *context_shape].
          temperature: scale of the latents, above 0; below 1 gives more typical, less varied images.
          seed: int, or int32 [2]; the same seed gives the same images. None draws one, the same one after the
            same `keras.utils.set_random_seed`.

        Returns:
          uint8 tensor [n, height, width, channels], or with the axes of the shape instead of n.

        Raises:
          ValueError: a count below 1, a temperature that is not above 0, or labels or a context that do not
            fit.
        """
        shape, seed = check_sample_shape(n), to_seed(seed)
        temperature = check_temperature(temperature)
        count = math.prod(shape) if isinstance(shape, tuple) else tf.reduce_prod(shape)
        if self.labels and labels is None:
            drawn = tf.random.stateless_uniform(
                shape, seed + 1, 0, len(self.labels), tf.int32, alg=ALGORITHM
            )
            labels = tf.gather(tf.constant(self.labels, tf.int32), drawn)
        labels, context = self.told.check(labels, context)
        if labels is not None:
            labels = tf.reshape(check_labels_fit(labels, shape), [-1])
        if context is not None:
            context_shape = self.context_shape or ()
            context = check_context_fits(context, context_shape, shape)
            context = tf.reshape(context, [-1, *context_shape])
        if tf.executing_eagerly():
            images = self._sample_in_blocks(0, count, labels, context, temperature, seed)
        else:
            latents = self.draw_latents(count, temperature, seed)
            encoded = self.told.encode(context)
            images = self._decode(self._conditioners_here(), latents, labels, encoded)
        if tf.executing_eagerly() and len(shape) == 1:
            return images
        return tf.reshape(images, tf.concat([shape, self.image_shape], axis=0))

    def sample_rows(
        self,
        start: int,
        end: int,
        labels=None,
        *,
        context=None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> tf.Tensor:
        """Draw some of the images of a large sample: those from `start` up to but not including `end`.

        They are those of `sample(n, labels, seed=seed)` for any n of at least `end`, without the others. So a
        sample of any size can be drawn one part after the other.

        Args:
          start: at least 0, a multiple of 4.
          end: above `start`.
          labels: int [end - start], in a class-conditional flow.
          context: float [end - start, *context_shape], in a flow with a context.
          temperature: as in `sample`.
          seed: as in `sample`.

        Returns:
          uint8 tensor [end - start, height, width, channels].

        Raises:
          ValueError: rows that are out of order, and as `sample`.

        Example:
          `flow.sample_rows(1000, 2000, seed=7)`
        """
        if start < 0 or start % UNIT or end <= start:
            raise ValueError(
                f"`start` must be a multiple of {UNIT} and below `end`, received {start} and {end}."
            )
        temperature, count = check_temperature(temperature), end - start
        labels, context = self.told.check_rows(labels, context)
        self.told.check_batch(labels, context, tf.TensorShape([count]))
        return self._sample_in_blocks(start, count, labels, context, temperature, to_seed(seed))

    def encode(self, images, labels=None, *, context=None, seed: int | None = None) -> tf.Tensor:
        """Images to latents.

        Args:
          images: integers in [0, levels), [n, height, width, channels].
          labels: int [n], in a class-conditional flow.
          context: float [n, *context_shape], in a flow with a context.
          seed: of the dequantization noise. None takes the middle of each grey level:
            the latents that `decode` brings back to exactly these images.

        Returns:
          float32 tensor of the images' shape.

        Raises:
          TypeError, ValueError: as `log_prob`.
        """
        told = self.told.check(labels, context)
        images, *told, restore = self._rows(self._check_images(images), *told)
        seed = None if seed is None else to_seed(seed)
        return restore(self._by_rows(self._encode, images, *told, seed=seed))

    def decode(self, latents, labels=None, *, context=None) -> tf.Tensor:
        """Latents to images.

        Args:
          latents: float tensor [n, height, width, channels].
          labels: int [n], in a class-conditional flow.
          context: float [n, *context_shape], in a flow with a context.

        Returns:
          uint8 tensor of the same shape.

        Raises:
          ValueError: another shape, or labels or a context that do not fit.
        """
        latents = check_latents(latents, self.image_shape)
        latents, *told, restore = self._rows(latents, *self.told.check(labels, context))
        return restore(self._by_rows(self._decode, latents, *told))

    def draw_latents(self, n, temperature, seed, *, first=0) -> tf.Tensor:
        """The latents of new images.

        Args:
          n: how many, an int or a scalar tensor.
          temperature: what standard deviations are multiplied by, above 0.
          seed: int32 [2].
          first: which of the seed's latents is the first one, a multiple of 4.

        Returns:
          float32 tensor [n, height, width, channels].
        """
        if self.clusters is not None:
            return self.clusters.draw(seed, first, first + n, temperature=temperature)
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

    def _log_prob(self, conditioners, images, labels, encoded, *, seed):
        noise = pixels.image_noise(images, seed)
        return self._score(conditioners, images, labels, encoded, noise)

    def _score(self, conditioners, images, labels, encoded, noise, *, training=False):
        base, log_share = self.base_distribution(), 0.0
        if training and self.clusters is not None:
            base, log_share = self.clusters.of_images(images)
        bijector = self._bijector(conditioners, labels, encoded)
        log_prob = pixels.log_prob(
            tfd.TransformedDistribution(base, bijector, name="density"),
            images,
            levels=self.levels,
            noise=noise,
            dequantizer=self.dequantizer,
        )
        return log_prob + log_share

    def _log_prob_given_each(self, conditioners, images, _, encoded, *, seed):
        def given(label):
            labels = tf.fill([tf.shape(images)[0]], label)
            return self._log_prob(conditioners, images, labels, encoded, seed=seed)

        rows = tf.map_fn(given, tf.constant(self.labels), fn_output_signature=tf.float32)
        return tf.transpose(rows)

    def _bits_per_pixel(self, conditioners, images, labels, encoded, *, seed):
        points = pixels.dequantize(images, pixels.image_noise(images, seed), levels=self.levels)
        fixed = [functools.partial(_without_gradient, conditioner) for conditioner in conditioners]
        with tf.GradientTape() as tape:
            tape.watch(points)
            latents = self._bijector(fixed, labels, encoded).inverse(points)
        slopes = tape.gradient(latents, points)
        if self.clusters is None:
            log_probs = tfd.Normal(0.0, 1.0).log_prob(latents)
        else:
            log_probs = self.clusters.log_prob_of_values(latents)
        log_probs += tf.math.log(tf.abs(slopes))
        return (math.log(self.levels) - log_probs) / math.log(2)

    def _encode(self, conditioners, images, labels, encoded, *, seed):
        noise = 0.5 if seed is None else pixels.image_noise(images, seed)
        if self.dequantizer is not None:
            noise, _ = self.dequantizer(images, tf.broadcast_to(noise, tf.shape(images)))
        points = pixels.dequantize(images, noise, levels=self.levels)
        return self._bijector(conditioners, labels, encoded).inverse(points)

    def _decode(self, conditioners, latents, labels, encoded):
        points = self._bijector(conditioners, labels, encoded).forward(latents)
        return pixels.quantize(points, levels=self.levels)

    def _sample_in_blocks(self, first, count, labels, context, temperature, seed):
        draw = self._compiled(self._sample_in_shards)

        def block(start, end):
            told = [column if column is None else column[start:end] for column in (labels, context)]
            rows = tf.constant(first + start), tf.constant(end - start)
            draw.get_concrete_function(*rows, *map(any_rows, told), temperature, seed)
            return draw(*rows, *told, temperature, seed)

        return in_blocks(block, count, largest=rows_of_block(self.image_shape))

    def _sample_in_shards(self, first, count, labels, context, temperature, seed):
        def latents(start, end):
            return self.draw_latents(end - start, temperature, seed, first=first + start)

        def on_one_device(latents, labels, context):
            rows = count if callable(latents) else tf.shape(latents)[0]
            encoded = self.told.encode(context)
            return self._in_shards(self._decode, rows, latents, labels, encoded)

        return self._on_devices(on_one_device, count, latents, labels, context)

    # For Keras.

    def _adapt(self, images) -> None:
        images = self._check_images(images)
        noise = pixels.image_noise(images, to_seed(self.seed))
        points = pixels.dequantize(images, noise, levels=self.levels)
        self.normalization.adapt(points[:NORMALIZED_IMAGES])
        if self.clusters is not None:
            # the couplings of a new flow change nothing
            normalize = tfb.Chain(self.normalization.bijectors).inverse
            latents = in_blocks(
                lambda start, end: normalize(points[start:end]),
                len(points),
                largest=rows_of_block(self.image_shape),
            )
            self.clusters.adapt(images.numpy(), latents.numpy(), seed=self.seed)

    def call(self, inputs, training=False):
        """Log-probability of each image, nats [n]; in training, with new noise in every call.

        In training, that of a flow with a mixture is of the image and its cluster together.

        Args:
          inputs: images, or {"images": images, "labels": labels, "context": context}, as the flow is told.
          training: whether Keras trains.
        """
        images, *told = self._split(inputs)
        images, (labels, context) = self._check_images(images), self.told.check(*told)
        encoded = self.told.encode(context)
        rows = tf.shape(images)[0]
        noise = self._training_noise(rows) if training else None
        score = functools.partial(self._score, training=training)
        return self._in_shards(score, rows, images, labels, encoded, noise)

    def _training_noise(self, rows: tf.Tensor) -> Callable[..., tf.Tensor]:
        """New noise in every step, by the place of an image in the batch of all devices.

        So a step on several devices is that on one, and no two images have the same noise.
        """
        seed = tf.stack([to_seed(self.seed)[0], self.noise_count.value])
        replica = tf.distribute.get_replica_context()  # None outside of `strategy.run`
        device = 0 if replica is None else replica.replica_id_in_sync_group
        before = device * (-(-rows // UNIT) * UNIT)  # rows of the devices before this one
        noise = uniform_rows(self.image_shape, seed)
        self.noise_count.assign_add(1)
        return lambda start, end: noise(before + start, before + end)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "levels": self.levels,
            "components": self.components,
            "separation": self.separation,
            "labels": self.labels,
            "context_shape": self.context_shape,
            "context_encoder": self.context_encoder
            and keras.saving.serialize_keras_object(self.context_encoder),
            "dequantization": self.dequantization,
            "seed": self.seed,
        }


def _without_gradient(conditioner: Callable, *inputs, **options):
    """What the conditioner says, as numbers that do not depend on the image."""
    return tuple(map(tf.stop_gradient, conditioner(*inputs, **options)))
