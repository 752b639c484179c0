import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp.optimizers import Adam

OPTIONS = [
    {},
    {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    {"global_clipnorm": 0.5},
    {"weight_decay": 0.1, "use_ema": True},
    {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)},
    {"gradient_accumulation_steps": 2},
    {"gradient_accumulation_steps": 3, "global_clipnorm": 0.5, "use_ema": True},
]


def steps(optimizer, gradients):
    weights = [keras.Variable(np.ones((2, 3), np.float32)), keras.Variable([1.0, -2.0])]
    for pair in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32) for gradient in pair], weights)
    return weights + optimizer.variables


@pytest.mark.parametrize("options", OPTIONS)
def test_is_the_adam_of_keras(options):
    random = np.random.default_rng(0)
    gradients = [(random.standard_normal((2, 3)), random.standard_normal(2)) for _ in range(5)]
    received = steps(Adam(**{"learning_rate": 0.1, **options}), gradients)
    expected = steps(keras.optimizers.Adam(**{"learning_rate": 0.1, **options}), gradients)
    assert len(received) == len(expected)
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_config_is_complete():
    optimizer = Adam(0.1, beta_1=0.5, global_clipnorm=2.0)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is Adam
    assert copy.get_config() == optimizer.get_config()


def test_refuses_amsgrad():
    with pytest.raises(ValueError, match="amsgrad.*keras.optimizers.Adam"):
        Adam(amsgrad=True)


ON_TWO_DEVICES = """
import tensorflow as tf
[cpu, *_] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy, sys
from tfp_realnvp.optimizers import Adam

def trained():
    dense = keras.layers.Dense(2, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((3,)), dense])
    model.compile(Adam(0.1, **options), "mse")
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    return model.get_weights()

options = {} if sys.argv[1] == "none" else {sys.argv[1]: 0.3, "beta_1": 0.0, "beta_2": 0.5}
x = numpy.random.default_rng(0).standard_normal((16, 3)).astype("float32")
y = x[:, :2] ** 2
expected = trained()
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    received = trained()
for one, other in zip(received, expected):
    numpy.testing.assert_allclose(one, other, rtol=1e-4)
assert abs(expected[0] - 1).max() > 0.1
"""


def test_accumulates_gradients_in_fit():
    """Two batches and one update: what one batch of twice the size does."""
    x = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)

    def trained(optimizer, batch_size):
        dense = keras.layers.Dense(2, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((3,)), dense])
        model.compile(optimizer, "mse")
        model.fit(x, x[:, :2] ** 2, batch_size=batch_size, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    accumulated = trained(Adam(0.1, gradient_accumulation_steps=2), 4)
    for one, other in zip(accumulated, trained(Adam(0.1), 8), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["none", "global_clipnorm"])
def test_on_two_devices_as_on_one(clip):
    command = [sys.executable, "-c", ON_TWO_DEVICES, clip]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
