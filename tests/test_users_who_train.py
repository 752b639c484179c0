"""What users of Keras do to train any model: data, losses, loops, callbacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import of_couplings, of_dense, perturb, plain, random_images

from tfp_realnvp.optimizers import Adam

IMAGES = random_images(12, (4, 4, 1))
LABELS = np.resize([3, 5, 8], 12)
KNOWN = (3, 5, 8)


@pytest.fixture
def small(small):
    return plain(small)


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


@pytest.mark.slow
@of_couplings
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_policies_that_work(small, dtype):
    history = fitted(small(dtype=dtype), IMAGES)
    assert np.isfinite(history["loss"][0])
