"""The distribution of latents with a Gaussian for each cluster of images."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfp_realnvp.compute.random_numbers import normal_rows, uniform_rows

__all__ = ["ClusterMixture"]


@keras.saving.register_keras_serializable(package="tfp_realnvp")
class ClusterMixture(keras.layers.Layer):
    """A mixture of Gaussians with diagonal covariances, each for the images of one cluster.

    The clusters are those of k-means on pixels (`adapt`). In training, an image has the Gaussian of its
    cluster (`of_images`), and means, scales and shares are learned with the flow. So couplings need not tear
    what is connected: with one Gaussian, images that lie between two kinds of images are likely, too.

    Args:
      components: number of Gaussians, at least 2.
      image_shape: (height, width, channels), of images and latents.
      separation: how far apart the means begin, as a share of what they are for the clusters' latents.
      **kwargs: those of `keras.layers.Layer`.

    Reference:
      Izmailov, Kirichenko, Finzi, Wilson (2020), Semi-supervised learning with normalizing flows, section 3,
      where the Gaussians are those of labels.
    """

    def __init__(
        self,
        components: int,
        image_shape: tuple[int, int, int],
        *,
        separation: float = 0.5,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        self.components = components
        self.image_shape = tuple(image_shape)
        self.separation = separation
        self.build((None, *self.image_shape))

    def build(self, latents_shape):
        """Make the weights."""
        of_each = (self.components, *self.image_shape)
        self.means = self._weight(of_each, "means")
        self.log_scales = self._weight(of_each, "log_scales")
        self.log_shares = self._weight((self.components,), "log_shares")  # up to a constant
        self.centers = self._weight(of_each, "centers", trainable=False)
        self.built = True

    def _weight(self, shape, name, trainable=True):
        return self.add_weight(
            shape=shape, initializer="zeros", trainable=trainable, autocast=False, name=name
        )

    def adapt(self, images: np.ndarray, latents: np.ndarray, *, seed: int) -> None:
        """Find the clusters, and set the Gaussians to begin with.

        Means begin at `separation` times what the means of the clusters' latents differ from that of all. The
        farther they are apart at the start, the more of the drawn pictures hold together, and the longer it
        takes until the log-probability is as good as from means of 0.

        Args:
          images: integers [n, *image_shape], n at least the number of components.
          latents: float32 of that shape, of the images.
          seed: of k-means.

        Raises:
          ValueError: fewer images.

        Reference:
          Sculley (2010), Web-scale k-means clustering.
        """
        from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415  (it takes a second)

        if len(images) < self.components:
            raise ValueError(
                f"`images` must be at least as many as the flow has `components`, {self.components}, to adapt "
                f"to, received {len(images)}: give more of them at once, or fewer components."
            )
        k_means = MiniBatchKMeans(self.components, random_state=seed % 2**32, n_init=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of clusters without images, where many are the same
            k_means.fit(np.reshape(images, [len(images), -1]).astype(np.float32))
        self.centers.assign(k_means.cluster_centers_.reshape(self.centers.shape))
        members = np.eye(self.components, dtype=np.float32)[k_means.labels_]
        counts = members.sum(axis=0)
        sums = np.tensordot(members, latents - np.mean(latents, axis=0), (0, 0))
        self.means.assign(self.separation * sums / np.maximum(counts, 1)[:, None, None, None])
        self.log_shares.assign(np.log(counts + 1))

    def of_images(self, images: tf.Tensor) -> tuple[tfd.Distribution, tf.Tensor]:
        """The Gaussians of the clusters of images, and the logarithms of their shares.

        Args:
          images: integers [n, *image_shape].

        Returns:
          A distribution of batch shape [n], and float32 [n].
        """
        pixels = tf.reshape(tf.cast(images, tf.float32), [tf.shape(images)[0], -1])
        centers = tf.reshape(self.centers.value, [self.components, -1])
        nearness = tf.matmul(pixels, centers, transpose_b=True)
        nearness -= 0.5 * tf.reduce_sum(tf.square(centers), axis=1)
        # a product has a dense gradient, as clipping wants it
        chosen = tf.one_hot(tf.argmax(nearness, axis=1), self.components)
        means, log_scales, log_shares = (
            tf.tensordot(chosen, weight, 1)
            for weight in (self.means.value, self.log_scales.value, self._log_shares())
        )
        return _gaussians(means, tf.exp(log_scales)), log_shares

    def distribution(self) -> tfd.Distribution:
        """The mixture, over the image shape. It reads the weights when it is used."""
        scales = tfp.util.DeferredTensor(self.log_scales.value, tf.exp)
        gaussians = _gaussians(self.means.value, scales)
        return _Mixture(tfd.Categorical(self.log_shares.value), gaussians, name="mixture")

    def draw(self, seed: tf.Tensor, first, last, *, temperature=1.0) -> tf.Tensor:
        """Latents from an endless table, of which any rows can be made without the others.

        Args:
          seed: int32 [2].
          first: of the rows, a multiple of 4.
          last: the row after the last one.
          temperature: what deviations from the mean of a Gaussian are multiplied by.

        Returns:
          float32 [last - first, *image_shape].
        """
        shares = tf.cumsum(tf.exp(self._log_shares()))
        place = uniform_rows([], seed + 1)(first, last) * shares[-1]
        chosen = tf.reduce_sum(tf.cast(place[:, tf.newaxis] >= shares[:-1], tf.int32), axis=1)
        noise = normal_rows(self.image_shape, seed)(first, last)
        means, scales = self._means_and_scales(chosen)
        return means + temperature * scales * noise

    def standardize(self, latents: tf.Tensor) -> tf.Tensor:
        """Latents in standard deviations from the mean, both of the Gaussian that they are likeliest from."""
        means, scales = self._means_and_scales(self._likeliest(latents))
        return (latents - means) / scales

    def log_prob_of_values(self, latents: tf.Tensor) -> tf.Tensor:
        """Terms, one for each value of latents, whose sum is the log-probability of the latents.

        Each is that of the value under the likeliest Gaussian, and an equal part of what the sum lacks.
        """
        means, scales = self._means_and_scales(self._likeliest(latents))
        terms = tfd.Normal(means, scales).log_prob(latents)
        lacks = self.distribution().log_prob(latents) - tf.reduce_sum(terms, axis=[1, 2, 3])
        values = tf.cast(tf.size(latents[0]), tf.float32)
        return terms + (lacks / values)[:, tf.newaxis, tf.newaxis, tf.newaxis]

    def _likeliest(self, latents):
        """The Gaussian of each latent, int32 [n]."""
        return tf.argmax(self.distribution().log_probs(latents), output_type=tf.int32)

    def _means_and_scales(self, chosen):
        """Those of Gaussians, int32 [n], as float32 [n, *image_shape]."""
        means, log_scales = (
            tf.gather(weight.value, chosen) for weight in (self.means, self.log_scales)
        )
        return means, tf.exp(log_scales)

    def _log_shares(self):
        return tf.nn.log_softmax(self.log_shares.value)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "components": self.components,
            "image_shape": self.image_shape,
            "separation": self.separation,
        }


def _gaussians(means, scales) -> tfd.Distribution:
    """Over [height, width, channels]."""
    return tfd.Independent(tfd.Normal(means, scales), 3)


class _Mixture(tfd.MixtureSameFamily):
    """One that takes one Gaussian after the other: memory does not grow with their number times the rows."""

    def _sample_n(self, n, seed=None):
        """Draw from the chosen Gaussians only, where the parent class draws from all."""
        of_gaussian, of_values = tfp.random.split_seed(seed, salt="mixture")
        chosen = self.mixture_distribution.sample(n, seed=of_gaussian)
        gaussians = self.components_distribution.distribution
        means, scales = (
            tf.gather(tf.convert_to_tensor(parameter), chosen)
            for parameter in (gaussians.loc, gaussians.scale)
        )
        return _gaussians(means, scales).sample(seed=of_values)

    def log_probs(self, x) -> tf.Tensor:
        """Of x [..., *event_shape] and each Gaussian together, float32 [number of Gaussians, ...]."""
        gaussians = self.components_distribution.distribution
        log_shares = tf.nn.log_softmax(self.mixture_distribution.logits_parameter())

        def of_one(parameters):
            mean, scale, log_share = parameters
            return _gaussians(mean, scale).log_prob(x) + log_share

        parameters = gaussians.loc, gaussians.scale, log_shares
        return tf.map_fn(
            of_one,
            tuple(map(tf.convert_to_tensor, parameters)),
            fn_output_signature=tf.float32,
        )

    def _log_prob(self, x):
        return tf.reduce_logsumexp(self.log_probs(x), axis=0)
