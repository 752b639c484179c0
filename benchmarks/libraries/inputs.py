"""How images reach the flows that are made of TensorFlow."""

import tensorflow as tf


def as_dataset(batches):
    """The batches one after the other.

    Without tf.data's tuner: it would keep the end of a short data set waiting until it wakes up.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(2).with_options(options)
