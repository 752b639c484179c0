import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, dense_first, of_couplings, perturb, random_images

from tfp_realnvp import RealNVP
from tfp_realnvp.compute import sharding
from tfp_realnvp.compute.sharding import in_shards

LABELS = (3, 5)


@pytest.fixture(params=[1, 2, 3])
def shards(request, monkeypatch):
    monkeypatch.setattr(sharding, "_count", request.param)
    return request.param


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 8, 9, 12, 31])
def test_rows_stay_in_their_order(shards, rows):
    values = tf.range(rows)
    result = in_shards(
        lambda first, nothing, drawn: first * 100 + drawn if nothing is None else None,
        rows,
        values,
        None,
        tf.range,
    )
    np.testing.assert_array_equal(result, 101 * np.arange(rows))


def test_no_shard_is_empty(shards):
    sizes = []
    in_shards(lambda rows: sizes.append(len(rows)) or rows, 2, tf.range(2))
    assert sizes == [2] * shards


def test_gradients_go_through(shards):
    weight = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(in_shards(lambda rows: weight * rows, 9, tf.range(9.0)))
    assert tape.gradient(total, weight) == 36


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_kernels_are_read_and_cast_once(shards, dtype):
    flow = RealNVP((4, 4, 1), couplings=2, depth=2, width=8, dtype=dtype)
    images = tf.constant(random_images(13, (4, 4, 1)))
    graph = tf.function(flow).get_concrete_function(images).graph
    kernels = [weight.value for weight in flow.trainable_weights if weight.shape.rank == 2]
    assert len(kernels) == 4
    for kernel in kernels:
        source = next(inner for outer, inner in graph.captures if outer is kernel.handle)
        assert [use.type for use in source.consumers()] == ["ReadVariableOp"]
        casts = [use.type for use in source.consumers()[0].outputs[0].consumers()]
        assert dtype == "float32" or casts == ["Cast"]


def test_kernels_are_variables_elsewhere(shards):
    """So that users can assign to them; and one shard's tensor is not found when the shards are done."""
    flow = RealNVP((4, 4, 1), couplings=2, depth=2, width=8)
    images = random_images(13, (4, 4, 1))
    before = flow(images)
    layer = flow.conditioners[0].output_layer.dense
    layer.kernel.assign_add(tf.ones(layer.kernel.shape))
    assert not np.allclose(before, flow(images))


@pytest.mark.slow
def test_flows_answer_as_without_shards(small, monkeypatch):
    images, labels = random_images(13, (4, 4, 1)), np.resize(LABELS, 13)
    learned_noise = {"dequantization": "variational"} if small is FLOWS["realnvp"] else {}

    def answers(count):
        monkeypatch.setattr(sharding, "_count", count)
        flow = perturb(small(labels=LABELS, **learned_noise))
        found = {
            "log_prob": flow.log_prob(images, labels, seed=2),
            "each": flow.log_prob_given_each(images),
            "latents": flow.encode(images, labels, seed=2),
            "images": flow.decode(flow.encode(images, labels), labels),
            "sample": flow.sample(13, labels, seed=1),
            "sample of one": flow.sample(1, 5, seed=1),
        }
        flow.compile(keras.optimizers.SGD(1.0))
        flow.fit({"images": images, "labels": labels}, batch_size=13, shuffle=False, verbose=0)
        return found | {weight.path.split("/", 1)[1]: weight for weight in flow.trainable_weights}

    expected, received = answers(1), answers(2)
    for (name, value), other in zip(expected.items(), received.values(), strict=True):
        np.testing.assert_allclose(other, value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_one_image(monkeypatch):
    """Without an axis for others: its rows are not those of a batch."""
    monkeypatch.setattr(sharding, "_count", 2)
    image = random_images(1, (4, 4, 1))
    expected = FLOWS["realnvp"]().log_prob(image)[0]
    np.testing.assert_allclose(FLOWS["realnvp"]().log_prob(image[0]), expected, rtol=1e-5)


@dense_first
def test_a_callers_graph_is_not_divided(flow, monkeypatch):
    """So that a SavedModel does not depend on the machine that wrote it."""
    sizes = []
    for count in (1, 3):
        monkeypatch.setattr(sharding, "_count", count)
        flow.log_prob(random_images(9, (4, 4, 1)))  # in its own graph, before
        images = tf.TensorSpec([None, 4, 4, 1], tf.uint8)
        graph = tf.function(flow.log_prob).get_concrete_function(images).graph
        sizes.append(len(graph.get_operations()))
    assert sizes[0] == sizes[1]


@pytest.mark.slow
@of_couplings
def test_many_flows_are_no_reason_for_warnings(small, caplog):
    """TensorFlow warns of a function that is traced again and again, not of several functions."""
    for seed in range(7):
        flow = small(seed=seed)
        flow.decode(flow.encode(random_images(2, (4, 4, 1))))
    assert "triggered tf.function retracing" not in caplog.text
