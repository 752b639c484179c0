import io

import numpy as np
import pytest
import tensorflow as tf
from conftest import DENSE_FIRST, FLOWS, perturb, random_images
from PIL import Image
from serving_double import Session
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfp_realnvp import fewshot
from tfp_realnvp.flows import pixels
from tfp_realnvp.serving import export, make_signatures
from tfp_realnvp.serving.limits import LOWEST

IMAGES = random_images(5, (4, 4, 1), levels=17)
MAX_IMAGES = 20


def make_flow(name, **options):
    flow = FLOWS[name](levels=17, **options)
    flow.adapt(random_images(1000, (4, 4, 1), levels=17))
    return perturb(flow)


@pytest.fixture(scope="module", params=DENSE_FIRST[:2])
def flow(request):
    return make_flow(request.param)


@pytest.fixture(scope="module")
def folder(flow, tmp_path_factory):
    return export(flow, tmp_path_factory.mktemp("saved_models") / "small", max_images=MAX_IMAGES)


@pytest.fixture(scope="module")
def session(folder):
    session = Session(folder)
    yield session
    session.close()


def describe(infos):
    return {
        name: (
            types_pb2.DataType.Name(info.dtype),
            [size.size for size in info.tensor_shape.dim],
        )
        for name, info in infos.items()
    }


IMAGES_SPEC = ("DT_UINT8", [-1, 4, 4, 1])
LATENTS_SPEC = ("DT_FLOAT", [-1, 4, 4, 1])
SAMPLE = {
    "num_samples": ("DT_INT32", []),
    "seed": ("DT_INT32", [2]),
    "temperature": ("DT_FLOAT", []),
}
ROWS = {"seed": ("DT_INT32", [-1, 2]), "temperature": ("DT_FLOAT", [-1])}
SCORES = {"log_prob": ("DT_FLOAT", [-1]), "bits_per_dim": ("DT_FLOAT", [-1])}
FILES = {"images_bytes": ("DT_STRING", [-1])}
EXPECTED = {
    "serving_default": ({"images": IMAGES_SPEC}, SCORES),
    "log_prob": ({"images": IMAGES_SPEC}, SCORES),
    "sample": (SAMPLE, {"images": IMAGES_SPEC}),
    "sample_rows": (ROWS, {"images": IMAGES_SPEC}),
    "encode": ({"images": IMAGES_SPEC}, {"latents": LATENTS_SPEC}),
    "decode": ({"latents": LATENTS_SPEC}, {"images": IMAGES_SPEC}),
    "sample_png": (SAMPLE, FILES),
    "sample_rows_png": (ROWS, FILES),
    "decode_png": ({"latents": LATENTS_SPEC}, FILES),
}


def test_inputs_and_outputs_have_names_types_and_shapes(session):
    found = {
        name: (describe(signature.inputs), describe(signature.outputs))
        for name, signature in session.signatures.items()
        if name != "__saved_model_init_op"
    }
    assert found == EXPECTED


@pytest.mark.parametrize("count", [1, 3, 5])
def test_same_numbers_as_the_model(flow, session, count):
    images = IMAGES[:count]
    for name in ("serving_default", "log_prob"):
        received = session.run(name, {"images": images})
        np.testing.assert_allclose(received["log_prob"], flow.log_prob(images), rtol=1e-5)
        np.testing.assert_allclose(received["bits_per_dim"], flow.bits_per_dim(images), rtol=1e-5)
    latents = session.run("encode", {"images": images})["latents"]
    np.testing.assert_allclose(latents, flow.encode(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(session.run("decode", {"latents": latents})["images"], images)
    inputs = {
        "num_samples": np.int32(count),
        "seed": np.int32([7, 0]),
        "temperature": np.float32(0.7),
    }
    sampled = session.run("sample", inputs)["images"]
    assert sampled.dtype == np.uint8
    np.testing.assert_array_equal(sampled, flow.sample(count, seed=7, temperature=0.7))


def test_a_row_gives_the_image_of_its_seed_in_any_batch(session):
    seeds = np.int32([[1, 2], [3, 4], [1, 2], [5, 6]])
    temperatures = np.float32([1.0, 0.5, 0.5, 1.0])
    drawn = session.run("sample_rows", {"seed": seeds, "temperature": temperatures})["images"]
    assert np.any(drawn[0] != drawn[2])  # another temperature
    for row in range(4):
        inputs = {"seed": seeds[row], "temperature": temperatures[row]}
        alone = session.run("sample_rows", {key: value[None] for key, value in inputs.items()})
        np.testing.assert_array_equal(alone["images"][0], drawn[row])
        alone = session.run("sample", {"num_samples": np.int32(1), **inputs})
        np.testing.assert_array_equal(alone["images"][0], drawn[row])


def test_temperature_may_be_left_out_of_sample(session):
    inputs = {"num_samples": np.int32(3), "seed": np.int32([1, 2])}
    left_out = session.run("sample", inputs)["images"]
    given = session.run("sample", {**inputs, "temperature": np.float32(1)})["images"]
    np.testing.assert_array_equal(left_out, given)


@pytest.mark.parametrize("name", ["sample", "sample_rows", "decode"])
def test_png_files_show_the_images(session, name):
    inputs = {
        "sample": {"num_samples": np.int32(2), "seed": np.int32([1, 2])},
        "sample_rows": {"seed": np.int32([[1, 2], [3, 4]]), "temperature": np.float32([1, 1])},
        "decode": {"latents": np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")},
    }[name]
    images = session.run(name, inputs)["images"]
    files = session.run(f"{name}_png", inputs)["images_bytes"]
    for image, file in zip(images, files, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(file)))
        np.testing.assert_array_equal(picture, np.round(image[..., 0] * (255 / 16)))


def number(value):
    return {"num_samples": np.int32(value)}


def temperature(value):
    return {"temperature": np.float32(value)}


LATENTS = np.zeros((2, 4, 4, 1), np.float32)
GOOD = {
    "log_prob": {"images": IMAGES},
    "encode": {"images": IMAGES},
    "decode": {"latents": LATENTS},
    "sample": {**number(2), "seed": np.int32([1, 2]), **temperature(1)},
    "sample_rows": {"seed": np.int32([[1, 2], [3, 4]]), **temperature([1, 1])},
}
COUNT = "`num_samples` must ask for 1 to 20 images"
TEMPERATURE = "`temperature` must be above 0 and at most 10"
BAD = [
    ("log_prob", {"images": IMAGES[..., 0]}, r"expected shape \[\?,4,4,1\](.|\n)*images"),
    ("log_prob", {"images": IMAGES[0]}, r"expected shape \[\?,4,4,1\](.|\n)*images"),
    ("encode", {"images": IMAGES[:, :3]}, r"expected shape \[\?,4,4,1\](.|\n)*images"),
    ("log_prob", {"images": IMAGES + 17}, r"`images` must be in \[0, 16\]"),
    ("encode", {"images": IMAGES + 17}, r"`images` must be in \[0, 16\]"),
    ("decode", {"latents": LATENTS[:, :2]}, r"expected shape \[\?,4,4,1\](.|\n)*latents"),
    ("decode", {"latents": LATENTS + np.float32("nan")}, "`latents` must be finite"),
    ("decode", {"latents": LATENTS - np.float32("inf")}, "`latents` must be finite"),
    ("sample", number(0), COUNT),
    ("sample", number(-3), COUNT),
    ("sample", number(10**9), COUNT),
    ("sample", number([2, 3]), r"expected shape \[\](.|\n)*num_samples"),
    ("sample", {"seed": np.int32([1, 2, 3])}, r"expected shape \[2\](.|\n)*seed"),
    ("sample", temperature(0), TEMPERATURE),
    ("sample", temperature(-1), TEMPERATURE),
    ("sample", temperature("nan"), TEMPERATURE),
    ("sample", temperature("inf"), TEMPERATURE),
    ("sample_png", number(10**9), COUNT),
    ("sample_rows", temperature([1, 0]), TEMPERATURE),
    ("sample_rows", temperature([1, 1, 1]), "`temperature` must have as many rows"),
    ("sample_rows", {"seed": np.int32([1, 2])}, r"expected shape \[\?,2\](.|\n)*seed"),
    (
        "sample_rows",
        {"seed": np.zeros((21, 2), np.int32), "temperature": np.ones(21, np.float32)},
        "`seed` must ask for 1 to 20 images",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD)
def test_bad_input_is_refused_by_name(session, name, change, message):
    inputs = {**GOOD[name.removesuffix("_png")], **change}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        session.run(name, inputs)
    session.run(name, GOOD[name.removesuffix("_png")])  # it still answers


def test_other_types_are_refused(session):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"actual float vs. expect uint8(.|\n)*images"
    ):
        session.run("log_prob", {"images": IMAGES.astype(np.float32)})


def operations_of(folder):
    """The operations of all functions of a SavedModel, but for calls of each other."""
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    library = model.meta_graphs[0].graph_def.library.function
    functions = {function.signature.name for function in library}
    nodes = [
        *model.meta_graphs[0].graph_def.node,
        *(node for function in library for node in function.node_def),
    ]
    return [node.op for node in nodes if node.op not in functions]


def test_operations_are_tensorflow_s_own(folder):
    operations = set(operations_of(folder))
    assert "MatMul" in operations or "Conv2D" in operations
    assert [name for name in operations if op_def_registry.get(name) is None] == []
    assert [name for name in operations if "PyFunc" in name] == []


def test_networks_are_stored_once(flow, folder):
    """A graph of each conditioner, however many signatures call it."""
    ranks = [len(weight.shape) for weight in flow.weights]
    operation, kernels = ("Conv2D", ranks.count(4)) if 4 in ranks else ("MatMul", ranks.count(2))
    assert operations_of(folder).count(operation) == kernels > 0


def test_weights_are_stored_once(flow, folder):
    stored = sum(path.stat().st_size for path in (folder / "variables").iterdir())
    weights = sum(4 * weight.shape.num_elements() for weight in flow.weights)
    assert weights <= stored < 1.2 * weights + 20_000


def test_impossible_images_get_finite_scores():
    flow = make_flow("realnvp")
    flow.conditioners[0].output_layer.bound.assign_add(
        1e4 * tf.ones_like(flow.conditioners[0].output_layer.bound)
    )
    assert not np.all(np.isfinite(flow.log_prob(IMAGES)))
    signatures = make_signatures(flow)
    scores = signatures["log_prob"].function(tf.constant(IMAGES))
    assert np.all(np.isfinite(scores["log_prob"])) and np.all(np.isfinite(scores["bits_per_dim"]))
    assert np.min(scores["log_prob"]) == np.float32(LOWEST)
    latents = signatures["encode"].function(tf.constant(IMAGES))["latents"]
    assert np.all(np.isfinite(latents))


@pytest.mark.slow
def test_class_conditional_flow(tmp_path):
    flow = make_flow("multiscale", labels=(3, 5))
    session = Session(export(flow, tmp_path))
    labels = np.int32([3, 5, 5, 3, 3])
    scores = session.run("log_prob", {"images": IMAGES, "labels": labels})["log_prob"]
    np.testing.assert_allclose(scores, flow.log_prob(IMAGES, labels), rtol=1e-5)
    seed, heat = np.int32([1, 2]), np.float32(0.8)
    drawn = session.run("sample", {"labels": labels, "seed": seed, "temperature": heat})["images"]
    np.testing.assert_array_equal(drawn, flow.sample(5, labels, seed=seed, temperature=0.8))
    rows = {"seed": np.int32([[1, 2]]), "temperature": np.float32([0.8]), "labels": labels[:1]}
    alone = session.run("sample_rows", rows)["images"]
    np.testing.assert_array_equal(alone, flow.sample(1, [3], seed=seed, temperature=0.8))
    found = session.run("classify", {"images": IMAGES})["labels"]
    np.testing.assert_array_equal(found, flow.classify(IMAGES))
    for name, inputs in (
        ("log_prob", {"images": IMAGES, "labels": labels[:2]}),
        ("log_prob", {"images": IMAGES, "labels": labels + 1}),
        ("sample", {"labels": np.int32([]), "seed": seed, "temperature": heat}),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`labels` must"):
            session.run(name, inputs)
    session.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "bandwidth"), [("realnvp", 1.0), ("multiscale", 0.5)], indirect=["flow"]
)
def test_few_shot_distribution(flow, tmp_path, bandwidth):
    shots = random_images(4, (4, 4, 1), levels=17, seed=3)
    route = fewshot.Route(intrinsic_dimension=2, bandwidth=bandwidth)
    few = fewshot.few_shot_flow(flow, shots, route)
    session = Session(export(few, tmp_path))
    seed = np.int32([1, 2])
    drawn = session.run("sample", {"num_samples": np.int32(3), "seed": seed})["images"]
    np.testing.assert_array_equal(drawn, few.sample(3, seed=[1, 2]))
    expected = fewshot.fit_latent(flow, shots, **route.options).distribution
    scores = pixels.log_prob(expected, tf.constant(IMAGES), levels=17)
    received = session.run("log_prob", {"images": IMAGES})["log_prob"]
    np.testing.assert_allclose(received, scores, rtol=1e-4)
    assert session.run("log_prob", {"images": IMAGES[:0]})["log_prob"].shape == (0,)
    rows = {"seed": seed[None], "temperature": np.float32([1])}
    np.testing.assert_array_equal(session.run("sample_rows", rows)["images"][0], drawn[0])
    cool = {"num_samples": np.int32(15), "seed": seed, "temperature": np.float32(0.01)}
    mean = np.mean(few.mixture.centers, axis=0).reshape(1, 4, 4, 1)
    center = session.run("decode", {"latents": mean})["images"]
    assert np.max(np.abs(session.run("sample", cool)["images"].astype(int) - center)) <= 1
    session.close()


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["realnvp"], indirect=True)
def test_the_old_way_to_export_a_few_shot_distribution(flow, tmp_path):
    shots = random_images(4, (4, 4, 1), levels=17, seed=3)
    options = {"covariance": "full", "intrinsic_dimension": 2, "seed": 0}
    base = fewshot.latent_gaussian(flow, shots, **options).distribution
    with pytest.warns(
        FutureWarning, match="`base` goes with version 0.7: give `fewshot.few_shot_flow"
    ):
        session = Session(export(flow, tmp_path, base=base))
    expected = fewshot.fit_latent(flow, shots, **options).distribution
    drawn = session.run("sample", {"num_samples": np.int32(3), "seed": np.int32([1, 2])})["images"]
    np.testing.assert_array_equal(drawn, fewshot.sample_images(expected, 3, levels=17, seed=[1, 2]))
    scores = pixels.log_prob(expected, tf.constant(IMAGES), levels=17)
    received = session.run("log_prob", {"images": IMAGES})["log_prob"]
    np.testing.assert_allclose(received, scores, rtol=1e-4)
    rows = {"seed": np.int32([[1, 2]]), "temperature": np.float32([1])}
    assert session.run("sample_rows", rows)["images"].shape == (1, 4, 4, 1)
    session.close()


def test_arguments_are_checked(flow):
    with pytest.raises(ValueError, match="`max_images` must be at least 1"):
        make_signatures(flow, max_images=0)
    base = flow.distribution.distribution
    with (
        pytest.warns(FutureWarning, match="`base` goes"),
        pytest.raises(ValueError, match="`base` must be None for a flow with labels"),
    ):
        make_signatures(make_flow("realnvp", labels=(3, 5)), base=base)
