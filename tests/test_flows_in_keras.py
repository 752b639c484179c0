"""Flows as Keras models: their weights, `fit`, files."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, dense_first, of_dense, perturb, random_images

from tfp_realnvp import MultiscaleRealNVP, RealNVP

IMAGES = random_images(6, (4, 4, 1))


def test_keras_owns_every_variable(small):
    flow = small()
    # four conditioners of 3 or 4 kernels, 3 biases, a bound; two of them with an attention of 6 weights; the
    # normalization has 3; two blocks of 3 kernels, biases and activations, three ActNorms
    count = {
        "RealNVP": 4 * 7 + 3,
        "MultiscaleRealNVP": 4 * 8 + 2 * 6 + 3,
        "ResidualFlow": 2 * 9 + 3 * 2 + 3,
    }[type(flow).__name__]
    assert len(flow.trainable_weights) == count
    assert flow.count_params() == sum(int(np.prod(weight.shape)) for weight in flow.weights)


@dense_first
def test_one_step_changes_every_trainable_weight(flow):
    flow.compile(keras.optimizers.SGD(0.1))
    flow.adapt(IMAGES)
    before = [weight.numpy().copy() for weight in flow.trainable_weights]
    flow.fit(IMAGES, batch_size=6, verbose=0)
    for weight, old in zip(flow.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path


@pytest.mark.slow
def test_training_learns(small):
    """Pixels in pairs, one the other's double: knowing one saves most of the other's bits."""
    left = random_images(1000, (4, 2, 1), levels=128)
    images = np.concatenate([left, 2 * left], axis=2)[:, :, [0, 2, 1, 3]]
    keras.utils.set_random_seed(0)  # of the order of the images
    residual = small is FLOWS["residual"]  # of which one block cannot do that
    flow = small(**({"scales": 1, "blocks": 4, "channels": 32} if residual else {}))
    flow.compile(keras.optimizers.Adam(0.01 if residual else 0.003))
    history = flow.fit(images, epochs=12, batch_size=100, verbose=0).history["bits_per_dim"]
    assert history[0] > 7 and history[-1] < 6.5
    assert flow.evaluate(images, verbose=0, return_dict=True)["bits_per_dim"] < 6.5


@dense_first
def test_loss_is_nats_per_dimension_and_evaluation_is_repeatable(flow):
    flow.compile()
    first = flow.evaluate(IMAGES, batch_size=4, verbose=0, return_dict=True)
    assert first == flow.evaluate(IMAGES, batch_size=4, verbose=0, return_dict=True)
    expected = -np.mean(flow.log_prob(IMAGES)) / 16
    assert first["loss"] == pytest.approx(expected, rel=1e-5)
    assert first["bits_per_dim"] == pytest.approx(expected / np.log(2), rel=1e-5)
    np.testing.assert_allclose(flow.predict(IMAGES, verbose=0), flow.log_prob(IMAGES), rtol=1e-5)


def test_adapt_normalizes(small):
    images = random_images(3000, (4, 4, 3)) // 4
    images[..., 1] += 100
    flow = small((4, 4, 3))
    flow.adapt(images)
    latents = flow.encode(images, seed=1).numpy()  # a new flow's couplings are the identity
    np.testing.assert_allclose(latents.mean(axis=(0, 1, 2)), 0, atol=0.05)
    np.testing.assert_allclose(latents.std(axis=(0, 1, 2)), 1, atol=0.05)


@pytest.mark.slow
def test_fit_adapts_once_and_takes_datasets(small):
    flow = small()
    flow.compile(keras.optimizers.SGD(0.0))
    batches = tf.data.Dataset.from_tensor_slices(random_images(64, (4, 4, 1))).batch(16)
    flow.fit(batches, shuffle=False, verbose=0)
    center = flow.normalization.center.numpy()
    assert np.any(center)
    flow.fit(np.zeros((16, 4, 4, 1), np.uint8), verbose=0)
    np.testing.assert_array_equal(center, flow.normalization.center.numpy())


@pytest.mark.slow
@of_dense
def test_training_step_compiles_with_xla(small):
    """And learns the same but for the noise: XLA draws other numbers from the same seed."""
    results = []
    for jit_compile in (False, True):
        flow = small(dequantization="variational")
        flow.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0), jit_compile=jit_compile)
        history = flow.fit(IMAGES, epochs=3, batch_size=6, shuffle=False, verbose=0).history
        results.append(history["bits_per_dim"])
    np.testing.assert_allclose(*results, rtol=0.03)
    assert results[1][-1] < results[1][0]


@pytest.mark.slow
def test_reloaded_in_another_process(tmp_path):
    """Which imports the package, and knows all kinds of flows by it."""
    flows = {name: perturb(make()) for name, make in FLOWS.items()}
    np.save(tmp_path / "images.npy", IMAGES)
    for name, flow in flows.items():
        flow.adapt(IMAGES)
        flow.save(tmp_path / f"{name}.keras")
    program = """
import sys, keras, numpy, tfp_realnvp
from pathlib import Path
import tfp_realnvp.flows
images = numpy.load(sys.argv[1] + "/images.npy")
for path in Path(sys.argv[1]).glob("*.keras"):
    flow = keras.saving.load_model(path, safe_mode=True)
    numpy.save(path.with_suffix(".npy"), flow.log_prob(images))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)
    for name, flow in flows.items():
        received = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(received, flow.log_prob(IMAGES), rtol=1e-6, err_msg=name)


ON_TWO_DEVICES = """
import sys
import tensorflow as tf
[cpu, *_] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import keras, numpy
from conftest import FLOWS, random_images
from tfp_realnvp.optimizers import Adam

def trained():
    flow = FLOWS[sys.argv[2]](dequantization=sys.argv[3])
    flow.compile(Adam(3e-4, global_clipnorm=1.0))
    return flow, flow.fit(images, batch_size=32, epochs=25, shuffle=False, verbose=0).history

images = random_images(64, (4, 4, 1))
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    both, history = trained()
alone, expected = trained()
assert both.normalization.adapted.numpy() == 1
numpy.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
for received, weight in zip(both.get_weights(), alone.get_weights(), strict=True):
    numpy.testing.assert_allclose(received, weight, atol=1e-4)
"""


@pytest.mark.slow
def test_trained_on_two_devices_as_on_one():
    """Noise is that of an image's place in the batch; losses and gradients are means over all devices."""
    folder = str(Path(__file__).parent)
    command = [sys.executable, "-c", ON_TWO_DEVICES, folder, "realnvp", "variational"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_layers_are_in_flat_lists(small):
    """Keras 3.12, the last one for Python 3.10, leaves those in lists of lists out of files."""
    for layer in small(dequantization="variational")._flatten_layers():
        lists = [value for value in vars(layer).values() if isinstance(value, (list, tuple))]
        items = [item for values in lists for item in values if isinstance(item, (list, tuple))]
        assert not any(isinstance(item[0], keras.layers.Layer) for item in items if item), layer


def test_noise_goes_on_after_loading(flow, tmp_path):
    """Every training step has noise of its own; a loaded model goes on where the saved one was."""
    first, second = (flow(IMAGES, training=True).numpy() for _ in range(2))
    assert np.all(first != second)
    flow.save_weights(tmp_path / "flow.weights.h5")
    loaded = type(flow).from_config(flow.get_config())
    loaded.load_weights(tmp_path / "flow.weights.h5")
    np.testing.assert_allclose(
        loaded(IMAGES, training=True), flow(IMAGES, training=True), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("constructor", "options"),
    [
        (RealNVP, {"couplings": 3, "depth": 2, "width": 9}),
        (MultiscaleRealNVP, {"scales": 1, "couplings": 3, "channels": 9, "blocks": 1}),
    ],
)
def test_config_is_complete(constructor, options):
    shared = {"levels": 17, "seed": 3, "activation": "gelu", "name": "mine"}
    flow = constructor((4, 4, 2), **shared, **options, dtype="mixed_bfloat16")
    copy = constructor.from_config(flow.get_config())
    assert copy.get_config() == flow.get_config()
    for name, value in {**shared, **options}.items():
        expected = keras.activations.gelu if name == "activation" else value
        assert getattr(copy, name) == expected, name
    assert copy.conditioners[0].output_layer.dense.compute_dtype == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("small", "optimizer"),
    [("realnvp", "sgd"), ("realnvp", "rmsprop"), ("multiscale", "adamw")],
    indirect=["small"],
)
def test_in_a_users_own_script(small, optimizer, tmp_path):
    flow = small(dtype="mixed_bfloat16")
    flow.compile(optimizer=optimizer)
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_bits_per_dim", mode="min", patience=2),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss"),
    ]
    history = flow.fit(
        IMAGES, epochs=2, validation_data=(IMAGES,), callbacks=callbacks, verbose=0, batch_size=3
    )
    assert set(history.history) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}
    assert (tmp_path / "best.keras").is_file()


@pytest.mark.slow
@of_dense
def test_values_out_of_range_in_training_are_found(small):
    flow = small(levels=17)
    flow.compile("adam")
    good = random_images(4, (4, 4, 1), levels=17)
    flow.fit(good, verbose=0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="16"):
        flow.fit(good + 10, verbose=0)
