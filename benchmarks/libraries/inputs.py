"""What the flows in TensorFlow share: their input, and the methods that `libraries` lists."""

import tensorflow as tf


def as_dataset(batches):
    """The batches one after the other.

    tf.data's tuner is off: a short data set would end only when the tuner's sleep is over.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(2).with_options(options)


class PlainFlow:
    """A flow that defines `_step`, `_log_prob` and `_sample`."""

    def train(self, batches):
        """A step for each batch."""
        for images in as_dataset(batches):
            loss = self._step(images)
        loss.numpy()

    def log_prob(self, images):
        """Nats of each image."""
        return self._log_prob(tf.constant(images)).numpy()

    def sample(self, n):
        """New images."""
        return self._sample(tf.constant(n)).numpy()
