import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, perturb, random_images

from tfp_realnvp.export import export

IMAGES = random_images(5, (4, 4, 1), levels=17)


@pytest.fixture(scope="module", params=FLOWS)
def flow(request):
    flow = FLOWS[request.param](levels=17)
    flow.adapt(random_images(1000, (4, 4, 1), levels=17))
    return perturb(flow)


@pytest.fixture(scope="module")
def exported(flow, tmp_path_factory):
    return export(flow, tmp_path_factory.mktemp("saved_models") / "small")


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


def test_inputs_and_outputs_have_names(signatures):
    inputs = {name: set(s.structured_input_signature[1]) for name, s in signatures.items()}
    outputs = {name: set(s.structured_outputs) for name, s in signatures.items()}
    assert inputs == {
        "serving_default": {"images"},
        "log_prob": {"images"},
        "sample": {"num_samples", "seed", "temperature"},
        "encode": {"images"},
        "decode": {"latents"},
    }
    assert outputs == {
        "serving_default": {"log_prob", "bits_per_dim"},
        "log_prob": {"log_prob", "bits_per_dim"},
        "sample": {"images"},
        "encode": {"latents"},
        "decode": {"images"},
    }


@pytest.mark.parametrize("count", [1, 3, 5])
def test_same_numbers_as_the_model(flow, signatures, count):
    images = tf.constant(IMAGES[:count])
    for name in ("serving_default", "log_prob"):
        received = signatures[name](images=images)
        np.testing.assert_allclose(received["log_prob"], flow.log_prob(images), rtol=1e-5)
        np.testing.assert_allclose(received["bits_per_dim"], flow.bits_per_dim(images), rtol=1e-5)
    latents = signatures["encode"](images=images)["latents"]
    np.testing.assert_allclose(latents, flow.encode(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(signatures["decode"](latents=latents)["images"], images)
    sampled = signatures["sample"](
        num_samples=tf.constant(count), seed=tf.constant([7, 0]), temperature=tf.constant(0.7)
    )
    assert sampled["images"].dtype == tf.uint8
    np.testing.assert_array_equal(sampled["images"], flow.sample(count, seed=7, temperature=0.7))


WITHOUT_THIS_PACKAGE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tfp_realnvp", "tensorflow_probability", "tf_keras"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import json, numpy, tensorflow
model = tensorflow.saved_model.load(sys.argv[1])
images = tensorflow.constant(numpy.array(json.loads(sys.argv[2]), numpy.uint8))
print(json.dumps(model.signatures["log_prob"](images=images)["log_prob"].numpy().tolist()))
"""


@pytest.mark.slow
def test_in_a_process_without_this_package(flow, exported):
    arguments = [str(exported), json.dumps(IMAGES.tolist())]
    output = subprocess.run(
        [sys.executable, "-c", WITHOUT_THIS_PACKAGE, *arguments],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    np.testing.assert_allclose(json.loads(output), flow.log_prob(IMAGES), rtol=1e-5)


def _saved_model_cli(exported, signature, *arguments):
    """The command that comes with TensorFlow; it runs signatures as a server would."""
    program = Path(sys.executable).parent / "saved_model_cli"
    return subprocess.run(
        [str(program), "run", "--dir", str(exported), "--tag_set", "serve",
         "--signature_def", signature, *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_saved_model_cli(flow, exported, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "latents.npy", flow.encode(IMAGES))
    images = f"images={tmp_path}/images.npy"
    runs = {
        "serving_default": ["--inputs", images],
        "encode": ["--inputs", images],
        "decode": ["--inputs", f"latents={tmp_path}/latents.npy"],
        "sample": ["--input_exprs", "num_samples=2;seed=[1,2];temperature=0.5"],
    }
    outputs = {}
    for signature, arguments in runs.items():
        folder = tmp_path / signature
        _saved_model_cli(exported, signature, *arguments, "--outdir", str(folder))
        outputs[signature] = {path.stem: np.load(path) for path in folder.iterdir()}
    np.testing.assert_allclose(
        outputs["serving_default"]["log_prob"], flow.log_prob(IMAGES), rtol=1e-5
    )
    np.testing.assert_allclose(
        outputs["encode"]["latents"], flow.encode(IMAGES), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(outputs["decode"]["images"], IMAGES)
    expected = flow.sample(2, seed=[1, 2], temperature=0.5)
    np.testing.assert_array_equal(outputs["sample"]["images"], expected)


def test_images_out_of_range_are_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`images` must be in \[0, 16\]"):
        signatures["log_prob"](images=tf.constant(IMAGES + 17))


def test_versions_count_up_and_nothing_else_is_left(flow, tmp_path, monkeypatch):
    assert export(flow, tmp_path).name == "1"
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert export(flow, tmp_path).name == "8"

    def fails(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no space"):
        export(flow, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "7", "8", "notes"}
