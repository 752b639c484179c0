import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, perturb, random_images

from tfp_realnvp.serving import export, export_versions, make_signatures
from tfp_realnvp.serving.saved_model import _write

IMAGES = random_images(5, (4, 4, 1), levels=17)


@pytest.fixture(scope="module")
def flow():
    flow = FLOWS["realnvp"](levels=17)
    flow.adapt(random_images(1000, (4, 4, 1), levels=17))
    return perturb(flow)


@pytest.fixture(scope="module")
def exported(flow, tmp_path_factory):
    return export(
        flow,
        tmp_path_factory.mktemp("saved_models") / "small",
        warm_up_requests=[1, 4],
        about="Trained on digits without label 9.",
        scores={"test images": 2.0763},
        documents={"config": {"any": 1}, "metrics": {"thing": [2, 3]}},
    )


@pytest.mark.slow
def test_what_is_known_of_it_travels_along(exported):
    assets = exported / "assets.extra"
    assert {path.name for path in assets.iterdir()} == {
        "model_card.md", "config.json", "metrics.json", "tf_serving_warmup_requests",
    }  # fmt: skip
    card = (assets / "model_card.md").read_text()
    for part in (
        "A RealNVP: a distribution of images of 4x4x1 numbers, integers from 0 to 16",
        "\n\nTrained on digits without label 9.\n\n",
        "| test images | 2.0763 |",
        "| sample_rows | new images, each from a seed of its own; requests may be batched "
        "| seed int32 [n, 2], temperature float32 [n] | images uint8 [n, 4, 4, 1] |",
        "At most 1,024 images",
    ):
        assert part in card, part
    assert json.loads((assets / "config.json").read_text()) == {"any": 1}
    assert json.loads((assets / "metrics.json").read_text()) == {"thing": [2, 3]}


def test_card_without_scores_has_no_table_of_them(flow, tmp_path, empty_versions):
    card = (export(flow, tmp_path) / "assets.extra" / "model_card.md").read_text()
    assert "bits per dimension |" not in card and "| sample_rows |" in card


WITH_TENSORFLOW_ALONE = """
import importlib.machinery, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in ("tfp_realnvp", "tensorflow_probability", "tf_keras"):
            raise ImportError(name)
        if top == "keras":  # TensorFlow looks where it is, and goes on if it cannot be imported
            found = importlib.machinery.PathFinder.find_spec(name, path, target)
            found.loader = self
            return found
    def create_module(self, spec):
        raise ImportError(spec.name)
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Blocked())
import json, numpy, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answers = {}
for name, inputs in json.loads(sys.argv[2]).items():
    specs = model.signatures[name].structured_input_signature[1]
    inputs = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    answers[name] = {
        key: value.numpy().tolist() for key, value in model.signatures[name](**inputs).items()
    }
assert "keras" not in sys.modules
print(json.dumps(answers))
"""


@pytest.mark.slow
def test_in_a_process_with_tensorflow_alone(flow, exported):
    latents = flow.encode(IMAGES).numpy()
    rows = {"seed": [[1, 2], [3, 4]], "temperature": [0.5, 1.0]}
    inputs = {
        "log_prob": {"images": IMAGES.tolist()},
        "serving_default": {"images": IMAGES.tolist()},
        "encode": {"images": IMAGES.tolist()},
        "decode": {"latents": latents.tolist()},
        "sample": {"num_samples": 3, "seed": [1, 2], "temperature": 0.5},
        "sample_rows": rows,
    }
    process = subprocess.run(
        [sys.executable, "-c", WITH_TENSORFLOW_ALONE, str(exported), json.dumps(inputs)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    answers = json.loads(process.stdout)
    for name in ("log_prob", "serving_default"):
        np.testing.assert_allclose(answers[name]["log_prob"], flow.log_prob(IMAGES), rtol=1e-5)
    np.testing.assert_allclose(answers["encode"]["latents"], latents, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(answers["decode"]["images"], IMAGES)
    expected = flow.sample(3, seed=[1, 2], temperature=0.5)
    np.testing.assert_array_equal(answers["sample"]["images"], expected)
    for row in range(2):
        seed, temperature = rows["seed"][row], rows["temperature"][row]
        expected = flow.sample(1, seed=seed, temperature=temperature)
        np.testing.assert_array_equal(answers["sample_rows"]["images"][row], expected[0])


def _saved_model_cli(*arguments):
    """The command that comes with TensorFlow; it runs signatures as a server would."""
    program = Path(sys.executable).parent / "saved_model_cli"
    process = subprocess.run(
        [str(program), *map(str, arguments)], check=False, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_saved_model_cli(flow, exported, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    images = ["--inputs", f"images={tmp_path}/images.npy"]
    seed = ["--input_exprs", "num_samples=2;seed=[1,2];temperature=0.5"]
    seeds = ["--input_exprs", "seed=[[1,2],[3,4]];temperature=[0.5,1.0]"]
    runs = {"serving_default": images, "sample": seed, "sample_rows_png": seeds}
    model = ["--dir", exported, "--tag_set", "serve"]
    shown = _saved_model_cli("show", "--dir", exported, "--all")
    assert set(re.findall(r"signature_def\['(\w+)'\]", shown)) == {
        *runs, "log_prob", "encode", "decode", "decode_png", "sample_png", "sample_rows",
        "__saved_model_init_op",
    }  # fmt: skip
    found = {}
    for name, arguments in runs.items():
        folder = tmp_path / name
        _saved_model_cli("run", *model, "--signature_def", name, *arguments, "--outdir", folder)
        found[name] = {path.stem: path for path in folder.iterdir()}
    log_prob = np.load(found["serving_default"]["log_prob"])
    np.testing.assert_allclose(log_prob, flow.log_prob(IMAGES), rtol=1e-5)
    expected = flow.sample(2, seed=[1, 2], temperature=0.5)
    np.testing.assert_array_equal(np.load(found["sample"]["images"]), expected)
    assert "images_bytes" in found["sample_rows_png"]


def test_versions_count_up_and_nothing_else_is_left(flow, tmp_path, monkeypatch, empty_versions):
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


def test_two_exports_at_once_get_two_versions(flow, tmp_path, monkeypatch, empty_versions):
    assert export(flow, tmp_path).name == "1"
    # the other one was not there yet when this one looked
    monkeypatch.setattr("tfp_realnvp.serving.saved_model.export_versions", lambda folder: [])
    assert export(flow, tmp_path).name == "2"


@pytest.mark.slow
def test_a_version_that_answers_otherwise_is_not_published(flow, tmp_path, monkeypatch):
    write = _write

    def write_other(flow, signatures, folder):
        other = perturb(FLOWS["realnvp"](levels=17), seed=1)
        write(other, make_signatures(other), folder)

    monkeypatch.setattr("tfp_realnvp.serving.saved_model._write", write_other)
    with pytest.raises(RuntimeError, match="does not answer as the flow does: `log_prob`"):
        export(flow, tmp_path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, pathlib, signal, sys, threading
from tfp_realnvp import RealNVP
from tfp_realnvp.serving import export
flow = RealNVP((4, 4, 1), levels=17, couplings=2, depth=2, width=8)
folder, moment = pathlib.Path(sys.argv[1]), sys.argv[2]
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def watch(event, arguments):
    if str(folder) in str(arguments) and moment in f"{event} {arguments}":
        die()
def wait():  # for what TensorFlow writes
    while not any(moment in [*folders, *files] for _, folders, files in os.walk(folder)):
        pass
    die()
sys.addaudithook(watch)
threading.Thread(target=wait, daemon=True).start()
export(flow, folder, warm_up_requests=[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "versions"),
    [
        # test_kills.py kills at others
        ("variables", []),
        ("os.rename", []),
        ("os.rmdir", [1]),
    ],
)
def test_killed_at_any_moment_it_leaves_no_half_version(
    flow, tmp_path, moment, versions, empty_versions
):
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), moment], check=False, capture_output=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert export_versions(tmp_path) == versions
    for version in versions:
        tf.saved_model.load(str(tmp_path / str(version)))
    assert export(flow, tmp_path).name == str(len(versions) + 1)  # nothing is in its way
    assert not list(tmp_path.glob(".*"))  # and nothing is left


def test_warm_up_requests_are_checked(flow, tmp_path):
    with pytest.raises(ValueError, match="`warm_up_requests` .* of at least 1, received 0"):
        export(flow, tmp_path, warm_up_requests=[0, 8])
    with pytest.raises(ValueError, match="at most 166 batch sizes, received 1000"):
        export(flow, tmp_path, warm_up_requests=range(1, 1001))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["serving", "fewshot", "serving.limits", "fewshot.route"])
def test_the_command_line_s_imports_do_not_wait_for_tensorflow(package):
    code = f"import sys, tfp_realnvp.{package}; print('tensorflow' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "False\n"
