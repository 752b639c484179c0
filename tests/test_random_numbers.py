import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp.compute import random_numbers
from tfp_realnvp.compute.random_numbers import to_seed


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_rows_are_those_of_tensorflow_wherever_they_begin(kind):
    seed = tf.constant([3, -4])
    expected = getattr(tf.random, f"stateless_{kind}")([13, 3, 3, 1], seed, alg="philox")
    rows = getattr(random_numbers, f"{kind}_rows")([3, 3, 1], seed)
    np.testing.assert_array_equal(rows(0, 13), expected)
    np.testing.assert_array_equal(rows(4, 11), expected[4:11])


def pair(seed):
    result = to_seed(seed)
    assert result.dtype == tf.int32 and result.shape == (2,)
    return result.numpy().tolist()


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [0, 0]),
        (7, [7, 0]),
        (2**31 - 1, [2**31 - 1, 0]),
        (2**31, [0, 1]),
        (5 * 2**31 + 3, [3, 5]),
        (2**62 - 1, [2**31 - 1, 2**31 - 1]),
        (-1, [2**31 - 1, -1]),
        (-(2**62), [0, -(2**31)]),
    ],
)
def test_an_int_is_cut_in_two(seed, expected):
    """The first rows are those of version 0.4: the same seed goes on to give the same images."""
    assert pair(seed) == expected
    assert pair(tf.constant(seed, tf.int64)) == expected
    assert pair(np.int64(seed)) == expected


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_ints_of_any_kind(kind):
    assert pair(np.dtype(kind).type(100)) == [100, 0]
    assert pair(np.array(100, kind)) == [100, 0]
    assert pair(tf.constant(100, kind)) == [100, 0]


@pytest.mark.parametrize(
    "two",
    [
        [3, -4],
        (3, -4),
        np.array([3, -4]),
        np.array([3, 2**32 - 4], np.uint32),
        tf.constant([3, -4]),
        tf.constant([3, -4], tf.int64),
        tf.Variable([3, -4]),
        [tf.constant(3), tf.constant(-4)],
    ],
    ids=["list", "tuple", "array", "uint32", "int32", "int64", "variable", "list of tensors"],
)
def test_two_integers(two):
    assert pair(two) == [3, -4]


@pytest.mark.parametrize(
    ("seed", "error", "words"),
    [
        (2**62, ValueError, "`seed` must be an int in .*received 4611686018427387904"),
        (-(2**62) - 1, ValueError, "`seed` must be an int in"),
        (np.uint64(2**64 - 1), ValueError, "`seed` must be an int in"),
        ([1, 2, 3], ValueError, r"`seed` must be an int or two integers.*shape \(3,\)"),
        ([[1, 2]], ValueError, r"shape \(1, 2\)"),
        (tf.constant([1]), ValueError, r"shape \(1,\)"),
        (1.5, TypeError, "`seed` must be an int or two integers, received float32"),
        (tf.constant([1.0, 2.0]), TypeError, "received float32"),
        ("7", TypeError, "received string"),
        ({}, TypeError, "`seed` must be an int or two integers, received {}"),
    ],
)
def test_bad_seeds(seed, error, words):
    with pytest.raises(error, match=words):
        to_seed(seed)


def test_tensors_in_a_graph():
    wanted = tf.function(lambda first, second: to_seed([first, second]))
    assert wanted(3, tf.constant(-4)).numpy().tolist() == [3, -4]


def test_tensors_of_unknown_shape():
    wanted = tf.function(to_seed, input_signature=[tf.TensorSpec(None, tf.int32)])
    assert wanted([3, 4]).shape == (2,)
    with pytest.raises(tf.errors.InvalidArgumentError):
        wanted([3, 4, 5])


@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "XLA"])
def test_without_a_seed_each_call_has_a_new_one(jit_compile):
    def new():
        return to_seed(None), to_seed(None)

    call = new if jit_compile is None else tf.function(new, jit_compile=jit_compile)
    seeds = {tuple(seed.numpy()) for _ in range(3) for seed in call()}
    assert len(seeds) == 6


def test_without_a_seed_those_of_keras_decide():
    def three(seed, function):
        keras.utils.set_random_seed(seed)
        call = tf.function(to_seed) if function is None else function
        return [call(None).numpy().tolist() for _ in range(3)]

    for function in (None, to_seed):
        first = three(1, function)
        assert three(1, function) == first
        assert three(2, function) != first
