"""Whatever a method of a flow is given, it answers, or says in an error of its own what it was given.

It takes the same variable as test_fuzz.py:

    FUZZ_EXAMPLES=2000 python -m pytest -n 0 tests/test_fuzz_methods.py
"""

import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import EVERY_FLOW, FLOWS, perturb, random_images
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz import LEAKED, LONGEST, fuzz

IMAGE = (4, 4, 1)
LEVELS = 17
LABELS = (0, 3, 7)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=EVERY_FLOW)
def flows(request):
    """A small flow without labels, and one with."""
    made = []
    for labels in ((), LABELS):
        flow = FLOWS[request.param](levels=LEVELS, labels=labels)
        flow.adapt(random_images(100, IMAGE, LEVELS))
        made.append(perturb(flow))
    return made


# What is given

DTYPES = ["uint8", "int8", "int32", "int64", "uint64", "float16", "float32", "float64", "bool", "complex64",
          "U3"]  # fmt: skip
SHAPES = [(), (0,), (3,), (4, 4), IMAGE, (0, *IMAGE), (3, *IMAGE), (2, 3, *IMAGE), (3, 4, 4, 3),
          (3, 4, 1, 4)]  # fmt: skip
FILLS = [0, 1, 3, 16, 17, -1, 200, 2**32 + 3, 1e-320, 1e38, 1e308, np.nan, np.inf]
ODD = [None, "text", b"x", [], [[1], [1, 2]], [None], {}, {"images": 1}, object, 1.5, 3, -1, True,
       2**32 + 3, 10**30]  # fmt: skip


@st.composite
def arrays(draw, shapes=SHAPES, dtypes=DTYPES):
    with np.errstate(all="ignore"):
        array = np.full(draw(st.sampled_from(shapes)), draw(st.sampled_from(FILLS)), object)
        try:
            array = array.astype(draw(st.sampled_from(dtypes)))
        except (OverflowError, ValueError):  # no such number in that type
            array = array.astype(float)
    return draw(st.sampled_from([array, array, array.tolist(), tf.constant(array)]))


ANYTHING = arrays() | st.sampled_from(ODD)
GOOD = st.sampled_from([random_images(count, IMAGE, LEVELS) for count in (0, 1, 3)])
ARGUMENTS = {
    "images": GOOD | ANYTHING,
    "latents": arrays(dtypes=["float32", "float64"]) | ANYTHING,
    "labels": st.sampled_from([None, 3, [0, 3, 7], np.array([3], np.int64)])
    | arrays([(), (0,), (1,), (3,), (2, 3)])
    | ANYTHING,
    # large numbers are those that somebody wants
    "n": st.sampled_from([1, 3, 0, -1, (2, 3), (), (0, 2), True, 1.5, np.int64(3), tf.constant(3),
                            "3", None, [[1]], [1, [2]]]),
    "temperature": arrays([(), (1,)]) | st.sampled_from(ODD) | st.floats(0.1, 2),
    "seed": arrays([(), (2,), (3,)]) | st.sampled_from(ODD) | st.integers(),
}  # fmt: skip
METHODS = {
    "log_prob": ("images", "labels", "seed"),
    "bits_per_dim": ("images", "labels", "seed"),
    "log_prob_given_each": ("images", "seed"),
    "classify": ("images", "seed"),
    "encode": ("images", "labels", "seed"),
    "decode": ("latents", "labels"),
    "sample": ("n", "labels", "temperature", "seed"),
}
OPTIONAL = ("labels", "temperature", "seed")


@st.composite
def calls(draw):
    """A method, and its arguments, of which the optional ones may be missing."""
    method = draw(st.sampled_from(sorted(METHODS)))
    return method, {
        name: draw(ARGUMENTS[name])
        for name in METHODS[method]
        if name not in OPTIONAL or draw(st.booleans())
    }


# How it ends


def check_answer(method, arguments, answer, labels):
    """It has the documented shape and type, and is finite."""
    if method == "sample":
        shape = (*np.reshape(arguments["n"], [-1]), *IMAGE)
    else:
        given = np.shape(arguments["latents" if method == "decode" else "images"])
        ends = {"encode": IMAGE, "decode": IMAGE, "log_prob_given_each": (len(labels),)}
        shape = given[:-3] + ends.get(method, ())
    types = {"sample": "uint8", "decode": "uint8", "classify": "int32"}
    assert (answer.shape, answer.dtype) == (shape, types.get(method, "float32"))
    assert np.all(np.isfinite(answer))
    if arguments.get("labels") is not None:
        assert np.all(np.isin(np.asarray(arguments["labels"]), labels))
    if "temperature" in arguments:
        assert 0 < np.float32(arguments["temperature"]) < np.inf
    if method in ("sample", "decode"):
        assert np.all(answer < LEVELS)


@fuzz(100)
@given(call=calls(), conditional=st.booleans())
def test_methods(flows, call, conditional):
    method, arguments = call
    flow = flows[conditional]
    try:
        answer = getattr(flow, method)(**arguments).numpy()
    except (ValueError, TypeError) as error:
        assert type(error) in (ValueError, TypeError)
        text = str(error)
        assert not re.search(LEAKED, text) and len(text) < LONGEST, text
        assert "labels" in text or any(f"`{name}`" in text for name in METHODS[method]), text
    else:
        check_answer(method, arguments, answer, flow.labels)
