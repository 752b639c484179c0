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
from conftest import FLOWS, of_couplings, of_dense, perturb, random_images
from tensorflow_probability import bijectors as tfb

from tfp_realnvp import ImageFlow
from tfp_realnvp.layers import DenseConditioner
from tfp_realnvp.optimizers import Adam

IMAGES = random_images(12, (4, 4, 1))
LABELS = np.resize([3, 5, 8], 12)
KNOWN = (3, 5, 8)


@pytest.fixture
def small(small):
    """With affine couplings: they are traced faster, and Keras does not notice the difference."""
    plain = {"transform": "affine", "heads": 0} if small is FLOWS["multiscale"] else {}
    return lambda *arguments, **options: small(*arguments, **{**plain, **options})


class Batches(keras.utils.PyDataset):
    """Three batches of four."""

    def __init__(self, labelled):
        super().__init__()
        self.labelled = labelled

    def __len__(self):
        return 3

    def __getitem__(self, number):
        rows = slice(4 * number, 4 * number + 4)
        return (IMAGES[rows], LABELS[rows]) if self.labelled else (IMAGES[rows],)


def dataset(*columns):
    return tf.data.Dataset.from_tensor_slices(columns).batch(4)


def generator(*columns):
    for start in range(0, 12, 4):
        yield tuple(column[start : start + 4] for column in columns)


# What `fit` may be given: name to the positional arguments of `fit`.
DATA = {
    "images": lambda: (IMAGES,),
    "tensor": lambda: (tf.constant(IMAGES),),
    "images, labels": lambda: (IMAGES, LABELS),
    "dataset of images": lambda: (tf.data.Dataset.from_tensor_slices(IMAGES).batch(4),),
    "dataset of (image,)": lambda: (dataset(IMAGES),),
    "dataset of (image, label)": lambda: (dataset(IMAGES, LABELS),),
    "dataset of (image, label, weight)": lambda: (dataset(IMAGES, LABELS, np.ones(12)),),
    "generator of (image,)": lambda: (generator(IMAGES),),
    "generator of (image, label)": lambda: (generator(IMAGES, LABELS),),
    "PyDataset of (image,)": lambda: (Batches(labelled=False),),
    "PyDataset of (image, label)": lambda: (Batches(labelled=True),),
}
TELLS_LABELS = [name for name in DATA if "label" in name]


def fitted(flow, *arguments):
    flow.compile(keras.optimizers.SGD(0.0))
    is_generator = hasattr(
        arguments[0], "send"
    )  # Keras warns of one that ends without being told when
    steps = 3 if is_generator else None
    return flow.fit(*arguments, shuffle=False, verbose=0, steps_per_epoch=steps).history


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
@of_dense
def test_fit_of_a_new_flow(small, data):
    """The flow starts from all the images, and sees all of them."""
    flow, expected = small(), small()
    history = fitted(flow, *DATA[data]())
    expected.adapt(IMAGES)
    np.testing.assert_array_equal(flow.normalization.center, expected.normalization.center)
    assert flow.noise_count.numpy() == (1 if data in ("images", "tensor", "images, labels") else 3)
    assert history["bits_per_dim"][0] == pytest.approx(
        float(np.mean(expected.bits_per_dim(IMAGES))), abs=0.3
    )


@pytest.mark.slow
@pytest.mark.parametrize("data", [*TELLS_LABELS, "dictionary"])
@of_dense
def test_fit_of_a_new_conditional_flow(small, data):
    flow = perturb(small(labels=KNOWN), 0.3)
    arguments = ({"images": IMAGES, "labels": LABELS},) if data == "dictionary" else DATA[data]()
    history = fitted(flow, *arguments)
    given = np.mean(flow.bits_per_dim(IMAGES, LABELS))
    wrong = np.mean(flow.bits_per_dim(IMAGES, np.roll(LABELS, 1)))
    assert abs(history["bits_per_dim"][0] - given) < abs(history["bits_per_dim"][0] - wrong)
    scores = flow.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert scores["bits_per_dim"] == pytest.approx(float(given), rel=1e-5)
    predicted = flow.predict({"images": IMAGES, "labels": LABELS}, verbose=0)
    np.testing.assert_allclose(predicted, flow.log_prob(IMAGES, LABELS), rtol=1e-5)


def test_conditional_fit_without_labels_is_refused(small):
    with pytest.raises(ValueError, match="class-conditional: `labels` must be of 3, 5, 8"):
        fitted(small(labels=KNOWN), IMAGES)


@pytest.mark.slow
@of_dense
def test_train_on_batch_first(small):
    flow = small()
    flow.compile("adam")
    logs = flow.train_on_batch(IMAGES, return_dict=True)
    assert flow.adapted and set(logs) == {"loss", "bits_per_dim"}
    conditional = small(labels=KNOWN)
    conditional.compile("adam")
    assert np.isfinite(conditional.train_on_batch(IMAGES, LABELS)[0])


@pytest.mark.slow
@of_dense
def test_sample_weights(flow):
    """Weights of 0 leave images out, with and without labels beside them."""
    flow.compile(keras.optimizers.SGD(0.0))
    weights = np.array([1.0] * 4 + [0.0] * 8)
    expected = -np.sum(flow.log_prob(IMAGES[:4])) / 12 / 16
    for targets in (None, LABELS):
        scores = flow.evaluate(
            IMAGES, targets, sample_weight=weights, batch_size=12, verbose=0, return_dict=True
        )
        assert scores["loss"] == pytest.approx(float(expected), rel=1e-5)
    with_weights = flow.fit(IMAGES, sample_weight=weights, batch_size=12, verbose=0).history
    assert with_weights["loss"][0] == pytest.approx(float(expected), rel=0.05)


class Linear(keras.regularizers.Regularizer):
    """A loss that is easy to predict, with its gradient."""

    def __init__(self, factor, constant=0.0):
        self.factor, self.constant = factor, constant

    def __call__(self, weight):
        return self.factor * keras.ops.sum(weight) + self.constant


@of_dense
def test_losses_that_are_added_count(flow):
    flow.compile(keras.optimizers.SGD(0.0))
    before = flow.evaluate(IMAGES, verbose=0, return_dict=True)["loss"]
    layer = flow.conditioners[0].output_layer.dense
    layer.bias.regularizer = Linear(0.0, 2.0)
    flow.compile(keras.optimizers.SGD(0.0))  # `evaluate` is traced again
    assert flow.evaluate(IMAGES, verbose=0, return_dict=True)["loss"] == pytest.approx(before + 2)


@pytest.mark.slow
@of_couplings
def test_regularizers_have_gradients(flow):
    flow.compile(keras.optimizers.SGD(1.0))
    bias = flow.conditioners[0].output_layer.dense.bias
    bias.regularizer = Linear(1e3)
    before = bias.numpy()
    flow.fit(IMAGES, batch_size=12, verbose=0)
    np.testing.assert_allclose(bias.numpy() - before, -1e3, rtol=0.01)


def test_another_loss_is_refused(flow):
    with pytest.raises(ValueError, match="`loss` must be left out, received 'mse'"):
        flow.compile("adam", loss="mse")


@pytest.mark.slow
@of_dense
def test_metrics(flow):
    def nats(labels, log_prob):
        return log_prob

    flow.compile(
        "sgd", metrics=[nats], weighted_metrics=[keras.metrics.MeanMetricWrapper(nats, "weighted")]
    )
    weights = np.array([1.0] * 4 + [0.0] * 8)
    scores = flow.evaluate(
        IMAGES, sample_weight=weights, batch_size=12, verbose=0, return_dict=True
    )
    log_probs = flow.log_prob(IMAGES).numpy()
    assert scores["nats"] == pytest.approx(log_probs.mean(), rel=1e-4)
    assert scores["weighted"] == pytest.approx(log_probs[:4].mean(), rel=1e-4)
    assert {"nats", "weighted"} <= set(flow.fit(IMAGES, verbose=0).history)


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


@pytest.mark.slow
@of_couplings
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_policies_that_work(small, dtype):
    history = fitted(small(dtype=dtype), IMAGES)
    assert np.isfinite(history["loss"][0])


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
@pytest.mark.parametrize("optimizer", [Adam, keras.optimizers.Adam])
@of_dense
def test_gradient_accumulation(small, optimizer):
    flow = small()
    flow.compile(optimizer(0.01, gradient_accumulation_steps=2))
    before = [weight.numpy() for weight in flow.conditioners[-1].trainable_weights]
    flow.fit(IMAGES, batch_size=4, verbose=0)
    after = [weight.numpy() for weight in flow.conditioners[-1].trainable_weights]
    assert any(np.any(new != old) for new, old in zip(after, before, strict=True))


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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
@of_dense
def test_custom_loop(flow, mode):
    optimizer = keras.optimizers.SGD(1e-5)
    optimizer.build(flow.trainable_variables)

    def step(images):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow(images, training=True))
        gradients = tape.gradient(loss, flow.trainable_variables)
        assert all(gradient is not None for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, flow.trainable_variables, strict=True))
        return loss

    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "XLA")
    before = flow.get_weights()
    losses = [step(tf.constant(IMAGES)).numpy() for _ in range(2)]
    assert np.all(np.isfinite(losses)) and losses[0] != losses[1]  # each step has noise of its own
    assert all(
        np.any(old != new) for old, new in zip(before, flow.get_weights(), strict=True) if old.ndim
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda flow: pickle.loads(pickle.dumps(flow))])
def test_copies(flow, copied):
    flow.log_prob(IMAGES)
    np.testing.assert_allclose(copied(flow).log_prob(IMAGES), flow.log_prob(IMAGES), rtol=1e-5)


@pytest.mark.slow
def test_averaged_weights(small):
    """Keras's own: they take the weights' place when training ends."""
    flow = small()
    flow.compile(keras.optimizers.Adam(0.01, use_ema=True))
    flow.fit(IMAGES, epochs=2, batch_size=4, verbose=0)
    average = flow.optimizer._model_variables_moving_average[0]
    np.testing.assert_allclose(flow.trainable_variables[0], average)


@pytest.mark.slow
@of_dense
def test_model_checkpoint_is_compiled(small, tmp_path):
    flow = small()
    flow.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0))
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", mode="max")
    flow.fit(IMAGES, verbose=0, callbacks=[best])
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(loaded.log_prob(IMAGES), flow.log_prob(IMAGES), rtol=1e-5)
    assert loaded.optimizer.global_clipnorm == 1.0 and loaded.optimizer.iterations.numpy() == 1


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


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", Adam(0.01)])
@of_dense
def test_checkpoints_of_tensorflow_store_all(small, optimizer, tmp_path):
    def trained():
        flow = small()
        flow.compile(
            keras.optimizers.deserialize(
                keras.optimizers.serialize(keras.optimizers.get(optimizer))
            )
        )
        flow.fit(IMAGES, verbose=0)
        return flow

    flow = perturb(trained())
    path = tf.train.Checkpoint(flow, optimizer=flow.optimizer).save(tmp_path / "checkpoint")
    other = trained()
    tf.train.Checkpoint(other, optimizer=other.optimizer).restore(
        path
    ).assert_existing_objects_matched()
    for weight, restored in zip(flow.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, restored, err_msg=weight.path)
    for weight, restored in zip(flow.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(weight, restored, err_msg=weight.path)
