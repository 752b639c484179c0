"""What users of Keras do with any model, as a table: every flow answers as they expect."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import of_couplings, of_dense, perturb, plain, random_images
from tensorflow_probability import bijectors as tfb

from tfp_realnvp import ImageFlow
from tfp_realnvp.layers import DenseConditioner

IMAGES = random_images(12, (4, 4, 1))
LABELS = np.resize([3, 5, 8], 12)
KNOWN = (3, 5, 8)


@pytest.fixture
def small(small):
    return plain(small)


def test_summary_has_shapes(flow):
    lines = []
    flow.summary(print_fn=lambda line, **_: lines.append(line), line_length=120)
    table = "\n".join(lines)
    kind = type(flow.conditioners[0]).__name__
    rows = [line for line in table.splitlines() if kind in line]
    assert len(rows) == len(flow.conditioners)
    assert all("?" not in row and "None" in row for row in rows), table
    assert f"{flow.count_params():,}" in table


@pytest.mark.slow
def test_export(small, tmp_path):
    """`Model.export`: a SavedModel that scores."""
    flow = small()
    flow.adapt(IMAGES)
    flow.export(tmp_path / "flow", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "flow"))
    served = loaded.serve(IMAGES)
    np.testing.assert_allclose(served, flow.log_prob(IMAGES), rtol=1e-5)


@pytest.mark.slow
@of_dense
def test_export_of_a_conditional_flow(small, tmp_path):
    flow = perturb(small(labels=KNOWN))
    flow.export(tmp_path / "flow", verbose=False)
    inputs = {"images": IMAGES, "labels": LABELS.astype(np.int32)}
    loaded = tf.saved_model.load(str(tmp_path / "flow"))
    served = loaded.serve(inputs)
    np.testing.assert_allclose(served, flow.log_prob(IMAGES, LABELS), rtol=1e-5)


@pytest.mark.slow
@of_dense
def test_load_model_after_import_alone(flow, tmp_path):
    flow.save(tmp_path / "model.keras")
    program = """
import sys, keras, tfp_realnvp
flow = keras.saving.load_model(sys.argv[1])
print(flow.count_params())
"""
    process = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.keras")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert process.stdout.strip() == str(flow.count_params()), process.stderr


SHAPES = {
    "a number": (5, (5,)),
    "a NumPy number": (np.int64(5), (5,)),
    "a tensor": (tf.constant(5), (5,)),
    "a long tensor": (tf.constant(5, tf.int64), (5,)),
    "a shape": ((2, 3), (2, 3)),
    "a shape tensor": (tf.constant([2, 3]), (2, 3)),
}


@pytest.mark.slow
@of_dense
@pytest.mark.parametrize("n", SHAPES)
def test_sample_shapes(flow, n):
    n, shape = SHAPES[n]
    expected = flow.sample(int(np.prod(shape)), seed=1, temperature=0.7).numpy()
    eager = flow.sample(n, seed=1, temperature=tf.constant(0.7))
    assert eager.shape == (*shape, 4, 4, 1)
    np.testing.assert_array_equal(eager.numpy().reshape(expected.shape), expected)
    traced = tf.function(lambda: flow.sample(n, seed=1, temperature=tf.constant(0.7)))()
    np.testing.assert_array_equal(traced, eager)
    arguments = [tf.constant(n), tf.constant(0.7)]
    given = tf.function(lambda n, t: flow.sample(n, seed=1, temperature=t))(*arguments)
    np.testing.assert_array_equal(given, eager)


def test_sample_shapes_with_labels(small):
    flow = perturb(small(labels=KNOWN), 0.3)
    assert flow.sample((2, 3), seed=1).shape == (2, 3, 4, 4, 1)
    labels = [[3, 5, 8], [8, 5, 3]]
    grid = flow.sample((2, 3), labels, seed=1).numpy()
    np.testing.assert_array_equal(
        grid.reshape(6, 4, 4, 1), flow.sample(6, np.ravel(labels), seed=1)
    )


@pytest.mark.parametrize("n", [0, (2, 0), 1.5, "five"])
def test_bad_sample_shapes(flow, n):
    with pytest.raises(ValueError, match="`n` must be"):
        flow.sample(n)


def test_bad_tensors_in_a_graph(flow):
    draw = tf.function(lambda n, t: flow.sample(n, temperature=t))
    for n, temperature, words in ((0, 1.0, "`n`"), (2, 0.0, "`temperature`")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            draw(tf.constant(n), tf.constant(temperature))


def test_distribution_given_labels(small):
    """A batch of distributions, one a label."""
    flow = perturb(small(labels=KNOWN), 0.3)
    labels = [3, 8]
    distribution = flow.distribution_given(labels)
    assert distribution.batch_shape == [2] and distribution.event_shape == [4, 4, 1]
    assert distribution.sample(seed=[1, 2]).shape == (2, 4, 4, 1)
    points = distribution.sample((2, 4), seed=[1, 2])
    assert points.shape == (2, 4, 2, 4, 4, 1)
    log_probs = distribution.log_prob(tf.identity(points))
    assert log_probs.shape == (2, 4, 2)
    for number, label in enumerate(labels):
        alone = flow.distribution_given([label])
        expected = alone.log_prob(tf.reshape(points[:, :, number], [8, 4, 4, 1])[:, tf.newaxis])
        np.testing.assert_allclose(
            tf.reshape(log_probs[:, :, number], [8, 1]), expected, rtol=1e-4, atol=1e-3
        )
    one = points[0, 0, 0]  # the same image under both labels
    np.testing.assert_allclose(
        distribution.log_prob(one), distribution.log_prob(tf.stack([one, one])), rtol=1e-4
    )


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_policies_that_are_refused(small, dtype):
    with pytest.raises(ValueError, match=f"`dtype` must be float32, .* received {dtype}"):
        small(dtype=dtype)


class BuiltLate(ImageFlow):
    """A flow of a user's, whose layers are built when they are first called."""

    def __init__(self, image_shape, **options):
        super().__init__(image_shape, **options)
        self.scale = keras.layers.Dense(1, kernel_initializer="zeros")

    def make_bijectors(self, context, conditioners):
        """A shift that is learned."""
        return [tfb.Shift(self.scale(tf.ones([1, 1]))[0])]


def test_subclass_that_is_built_late():
    flow = BuiltLate((4, 4, 1), levels=256)
    flow.compile(keras.optimizers.SGD(0.5))
    flow.fit(IMAGES, epochs=2, batch_size=6, verbose=0)
    assert np.any(flow.scale.kernel.numpy())


def test_old_form_of_make_bijectors_is_warned_of():
    with pytest.warns(FutureWarning, match=r"make_bijectors\(context, conditioners\)"):

        class Old(BuiltLate):
            """As flows were written for version 0.4."""

            def make_bijectors(self, context):
                """Nothing."""
                return [tfb.Shift(1.0)]

    assert Old((4, 4, 1)).log_prob(IMAGES).shape == (12,)


@pytest.mark.slow
@of_couplings
def test_any_number_of_batch_axes(flow):
    images = IMAGES.reshape(2, 6, 4, 4, 1)
    for first, second in (
        (images, IMAGES),
        (IMAGES, images),
        (IMAGES[0], images),
        (images, IMAGES[0]),
    ):
        flow = type(flow).from_config(flow.get_config())  # with no traces yet
        for function in (flow.log_prob, flow.encode, flow.bits_per_dim):
            results = [function(given).numpy() for given in (first, second, first)]
            np.testing.assert_array_equal(results[0], results[2])
            for given, result in zip((first, second), results, strict=False):
                rows = function(given.reshape(-1, 4, 4, 1)).numpy()
                np.testing.assert_allclose(result.reshape(rows.shape), rows, rtol=1e-4, atol=1e-5)
        for given in (first, second):
            latents = flow.encode(given)
            np.testing.assert_array_equal(flow.decode(latents), given)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda flow: pickle.loads(pickle.dumps(flow))])
def test_copies(flow, copied):
    flow.log_prob(IMAGES)
    np.testing.assert_allclose(copied(flow).log_prob(IMAGES), flow.log_prob(IMAGES), rtol=1e-5)


def test_functional_api(flow):
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(inputs, flow(inputs))
    np.testing.assert_allclose(model(IMAGES), flow.log_prob(IMAGES), rtol=1e-5)


IN_A_STRATEGY = """
import sys
import tensorflow as tf
[cpu, *_] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import keras, numpy
from conftest import FLOWS, random_images

images = random_images(8, (4, 4, 1))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    flow = FLOWS["realnvp"]()
    flow.adapt(images)
    first, second = flow(images, training=True), flow(images, training=True)
    assert numpy.all(numpy.isfinite(first)) and numpy.any(first != second)
flow.compile("sgd")
flow.fit(images, batch_size=4, verbose=0)
"""


@pytest.mark.slow
def test_called_in_the_scope_of_a_strategy():
    process = subprocess.run(
        [sys.executable, "-c", IN_A_STRATEGY, str(Path(__file__).parent)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr


def test_seeds_follow_set_random_seed(small):
    def drawn():
        keras.utils.set_random_seed(7)
        flow = small(seed=None)
        perturb(flow)
        return flow.get_weights(), flow.sample(3).numpy(), flow.sample(3).numpy()

    (weights, first, second), (weights_again, first_again, second_again) = drawn(), drawn()
    for weight, again in zip(weights, weights_again, strict=True):
        np.testing.assert_array_equal(weight, again)
    np.testing.assert_array_equal(first, first_again)
    np.testing.assert_array_equal(second, second_again)
    assert np.any(first != second)
    keras.utils.set_random_seed(8)
    others = perturb(small(seed=None)).get_weights()
    assert any(np.any(weight != other) for weight, other in zip(weights, others, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_call_in_a_graph_draws_others(flow, jit_compile):
    draw = tf.function(lambda: flow.sample(2), jit_compile=jit_compile)
    assert np.any(draw().numpy() != draw().numpy())


@of_couplings
def test_replaced_conditioner_is_used(flow):
    flow.log_prob(IMAGES)
    old = flow.conditioners[0]
    new = type(old).from_config(old.get_config())
    new.build(*old._build_shapes_dict.values())
    perturb(new, 0.5, seed=9)
    flow.conditioners[0] = new
    expected = tf.function(flow.log_prob)(IMAGES)
    np.testing.assert_allclose(flow.log_prob(IMAGES), expected, rtol=1e-5)
    flow.sample(2, seed=1)


@of_couplings
def test_low_rank_adaptation_is_used(flow):
    """LoRA, by Keras's own means."""
    before = flow.log_prob(IMAGES).numpy()
    conditioner = flow.conditioners[0]
    layer = (
        conditioner.hidden[0] if isinstance(conditioner, DenseConditioner) else conditioner.first
    )
    layer.enable_lora(2)
    np.testing.assert_allclose(flow.log_prob(IMAGES), before, rtol=1e-5)
    layer.lora_kernel_b.assign(0.1 * np.ones(layer.lora_kernel_b.shape))
    assert np.all(np.abs(flow.log_prob(IMAGES) - before) > 1e-5)
