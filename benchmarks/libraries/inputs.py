"""What the flows that are plain TensorFlow share: how images reach them, and how they answer."""

import tensorflow as tf


def as_dataset(batches):
    """The batches one after the other.

    Without tf.data's tuner: it would keep the end of a short data set waiting until it wakes up.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(2).with_options(options)


class PlainFlow:
    """A flow with functions `_step`, `_log_prob` and `_sample`, behind the interface of `libraries`."""

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
