"""A density of images as a Keras model: training, losses, metrics, export."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.flows import pixels
from tfp_realnvp.layers.checkpoints import StoresAllWeights

__all__ = ["DensityModel"]


class DensityModel(StoresAllWeights, keras.Model, abc.ABC):
    """A Keras model whose output is the log-probability of images, and which is trained to increase it.

    It is trained on images alone, or on images with labels: `fit(images)`, `fit(images, labels)`, or
    `fit({"images": images, "labels": labels, "context": context})`; the data may be arrays, a
    `tf.data.Dataset`, a generator or a `keras.utils.PyDataset` of batches. A model with `labels` uses the
    labels, and one with a `context_shape` the context; any other ignores them.

    The loss is the negative log-probability in nats per dimension, plus what `add_loss` and regularizers add.

    A subclass has `image_shape`, `labels`, `context_shape`, and `call(inputs, training)` from images, or from
    `{"images": images, "labels": labels, "context": context}`, to nats [n].
    """

    image_shape: tuple[int, int, int]
    labels: tuple[int, ...]
    context_shape: tuple[int, ...] | None

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if self.dtype_policy.variable_dtype != "float32":
            raise ValueError(
                "`dtype` must be float32, mixed_bfloat16 or mixed_float16 (all but the conditioners' matrix "
                f"products is in float32), received {self.dtype_policy.name}."
            )
        self.bits_per_dim_tracker = keras.metrics.Mean(name="bits_per_dim")

    @property
    @abc.abstractmethod
    def adapted(self) -> bool:
        """Whether the model was adapted to images."""

    @abc.abstractmethod
    def _adapt(self, images) -> None:
        """Adapt the model to images [n, height, width, channels]."""

    def adapt(self, images) -> None:
        """Initialize the normalization of a new model from images. The first `fit` does so.

        Args:
          images: integers [n, height, width, channels], or whatever `fit` takes; the first `adapt_images` are
            used.
        """
        self._adapt(self._images_of(_first_batches(images, self.adapt_images)[0]))

    @property
    @abc.abstractmethod
    def adapt_images(self) -> int:
        """The number of images to which a new model is adapted, at most."""

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """`keras.Model.compile`, without a loss: the model has its own.

        Metrics are called with the labels (zeros if there are none) and the log-probabilities in nats.

        Args:
          optimizer: as in Keras.
          loss: must be None.
          **kwargs: as in Keras.

        Raises:
          ValueError: a loss.
        """
        if loss is not None:
            raise ValueError(
                f"`loss` must be left out, received {loss!r}: a flow is trained by its own log-probability. "
                "`add_loss` and regularizers add to it; another loss is a subclass with its own `compute_loss`."
            )
        super().compile(optimizer=optimizer, **kwargs)

    def compile_from_config(self, config):
        """Compile a loaded model as it was compiled; Keras wants this beside an overridden `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """`keras.Model.fit` with images, with or without labels; the first call adapts the model to them."""
        x, y = self._started(x), self._targets(x, y, sample_weight)
        return super().fit(x, y, *args, sample_weight=sample_weight, **kwargs)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """`keras.Model.evaluate` with images, with or without labels."""
        y = self._targets(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """`keras.Model.train_on_batch`; the first call adapts the model to the batch."""
        return super().train_on_batch(self._started(x), y, sample_weight, **kwargs)

    def _started(self, x):
        """Adapt a new model to the data, build it, and return the data (a generator without a loss)."""
        if not self.adapted or not self.built:
            batches, x = _first_batches(x, self.adapt_images)
            if not self.adapted:
                self._adapt(self._images_of(batches))
            if not self.built:
                self(_first_rows(batches[0]), training=False)
        if getattr(self, "optimizer", None):
            # otherwise the first step makes the optimizer's variables, and TensorFlow traces it twice
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return x

    def _images_of(self, batches) -> tf.Tensor:
        return tf.concat([self._split(batch)[0] for batch in batches], axis=0)[: self.adapt_images]

    def _targets(self, x, y, sample_weight):
        """Targets for Keras, which drops sample weights that come without them."""
        if y is None and sample_weight is not None:
            return np.zeros(len(sample_weight), np.int32)
        return y

    def _split(self, batch):
        """(images, labels or None, context or None) of a batch as `fit` is given it."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        columns = x if isinstance(x, dict) else {"images": x}
        labels = columns.get("labels", y) if self.labels else None
        context = None if self.context_shape is None else columns.get("context")
        return columns["images"], labels, context

    def _with_labels(self, data):
        """The data, with the labels moved to the inputs if the model uses labels."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.labels and y is not None:
            columns = x if isinstance(x, dict) else {"images": x}
            x = {"labels": y, **columns}
        return x, y, sample_weight

    def train_step(self, data):
        """As in Keras, with labels as inputs."""
        return self._logs(super().train_step(self._with_labels(data)))

    def test_step(self, data):
        """As in Keras, with labels as inputs."""
        return self._logs(super().test_step(self._with_labels(data)))

    def _has_workers(self) -> bool:
        """Whether several processes train this model together."""
        resolver = getattr(self.distribute_strategy, "cluster_resolver", None)
        return resolver is not None and bool(resolver.cluster_spec().as_dict())

    def _logs(self, logs):
        """With several workers as vectors of one entry: Keras takes their mean along the first axis."""
        if not self._has_workers():
            return logs
        return tf.nest.map_structure(lambda value: tf.reshape(value, [1]), logs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras takes the mean of all workers' images, which TensorFlow cannot: let it see those of one."""
        if iterator is None or not self._has_workers():
            super()._maybe_symbolic_build(iterator, data_batch)
            return
        _, _, batches = next(iter(iterator))
        local = self.distribute_strategy.experimental_local_results
        data_batch = tf.nest.map_structure(lambda column: local(column)[0], next(batches))
        super()._maybe_symbolic_build(data_batch=data_batch)

    def predict_step(self, data):
        """As in Keras, with labels as inputs."""
        return super().predict_step(self._with_labels(data))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Negative log-probability in nats per dimension, and the losses that were added.

        Args:
          x: not used.
          y: not used.
          y_pred: what `call` returned, nats [n].
          sample_weight: float [n], or None.
          training: not used.

        Returns:
          Scalar tensor.
        """
        losses = -y_pred / np.prod(self.image_shape)
        if sample_weight is not None:
            losses *= tf.cast(sample_weight, losses.dtype)
        loss = tf.add_n([tf.reduce_mean(losses), *map(tf.reduce_sum, self.losses)])
        # Keras sums the gradients of all devices
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """`bits_per_dim` beside the loss, and the metrics that were compiled."""
        bits = pixels.bits_per_dim(y_pred, self.image_shape)
        self.bits_per_dim_tracker.update_state(bits, sample_weight)
        if y is None:
            y = x["labels"] if isinstance(x, dict) and "labels" in x else tf.zeros_like(y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def export(self, filepath, *args, input_signature=None, **kwargs):
        """`keras.Model.export`: a SavedModel whose `serve` gives the nats of images.

        `tfp_realnvp.serving.export` writes one that draws, encodes and decodes, too.

        Args:
          filepath: the folder.
          *args: as in Keras.
          input_signature: as in Keras; by default any number of uint8 images, and their labels and contexts if
            the model is told them.
          **kwargs: as in Keras.
        """
        if input_signature is None:
            inputs = tf.TensorSpec([None, *self.image_shape], tf.uint8, name="images")
            told = {}
            if self.labels:
                told["labels"] = tf.TensorSpec([None], tf.int32, name="labels")
            if self.context_shape is not None:
                shape = [None, *self.context_shape]
                told["context"] = tf.TensorSpec(shape, tf.float32, name="context")
            input_signature = [{"images": inputs, **told} if told else inputs]
        return super().export(filepath, *args, input_signature=input_signature, **kwargs)


def _first_batches(x, images: int) -> tuple[list, object]:
    """The first batches of what `fit` is given, and the data, in which they are still present."""
    if isinstance(x, keras.utils.PyDataset):
        return _until_enough((x[number] for number in range(x.num_batches or 1)), images), x
    if isinstance(x, Iterator):
        batches = _until_enough(x, images)
        return batches, (batch for batch in itertools.chain(batches, x))
    if isinstance(x, tf.data.Dataset):
        return _until_enough(x, images), x
    return [_first_rows(x, images)], x


def _until_enough(batches: Iterable, images: int) -> list:
    taken, count = [], 0
    for batch in batches:
        taken.append(batch)
        count += len(tf.nest.flatten(batch)[0])
        if count >= images:
            break
    if not taken:
        raise ValueError("the data are empty: expected at least one batch of images.")
    return taken


def _first_rows(batch, count=1):
    return tf.nest.map_structure(lambda column: column[:count], batch)
