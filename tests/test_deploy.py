"""deploy/README.md, line by line, and the requests that TF Serving would make."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_images
from serving_double import Session, from_json, grpc_server, rest_server
from tensorflow_serving.apis import prediction_log_pb2

TOP = Path(__file__).parent.parent
MODEL = TOP / "saved_models" / "mnist_0_8" / "1"
BLOCK = re.compile(r"```(sh|python)\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)
CURL = """#!{python}
import sys, requests
arguments = [argument for argument in sys.argv[1:] if argument != "-s"]
url, body = arguments[0], arguments[2]
content = open(body[1:]).read() if body.startswith("@") else body
print(requests.post("http://" + url, data=content).text, end="")
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session():
    session = Session(MODEL)
    yield session
    session.close()


def same_but_for_rounding(received, expected):
    """The same text, with numbers that differ by less than a hundredth."""
    number = r"-?\d+\.\d+(?:e[-+]\d+)?"
    # NumPy pads the numbers in brackets to the same width
    words = [
        re.sub(r"([\[\]])", r" \1 ", re.sub(number, "#", text)) for text in (received, expected)
    ]
    if words[0].split() != words[1].split():
        return False
    numbers = [list(map(float, re.findall(number, text))) for text in (received, expected)]
    return np.allclose(*numbers, rtol=1e-2)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that looks like the top of the project to a user, with a `curl`."""
    for name in ("saved_models", "deploy"):
        shutil.copytree(TOP / name, tmp_path / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "curl").write_text(CURL.format(python=sys.executable))
    (programs / "curl").chmod(0o755)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    for name in ("PYTHON", "MAKEFLAGS"):  # of the `make` that runs the tests
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme(session, place):
    blocks = BLOCK.findall((TOP / "deploy" / "README.md").read_text())
    assert len(blocks) > 12
    variables: dict = {}
    with rest_server(session, "mnist_0_8", port=8501), grpc_server(session, "mnist_0_8", port=8500):
        for language, code, expected in blocks:
            if "docker" in code:
                continue
            if language == "python":
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(code, variables)
                received = printed.getvalue()
            else:
                process = subprocess.run(
                    ["sh", "-e", "-c", re.sub("^pip install .*", "", code)],
                    check=False,
                    capture_output=True,
                    text=True,
                )
                assert process.returncode == 0, f"{code}\n{process.stderr}"
                received = process.stdout
            if expected:
                assert same_but_for_rounding(received, expected), f"{code}\n{received}"
    assert (place / "served" / "mnist_0_8" / "1" / "saved_model.pb").is_file()


def test_warm_up_requests_are_answered(session):
    file = str(MODEL / "assets.extra" / "tf_serving_warmup_requests")
    asked = set()
    for record in tf.data.TFRecordDataset(file):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        outputs = session.run(request.model_spec.signature_name, inputs)
        sizes = {len(value) for value in outputs.values()}
        asked.add((request.model_spec.signature_name, *sizes))
        for name, value in outputs.items():
            assert name == "images_bytes" or np.all(np.isfinite(value)), name
    names = ("log_prob", "encode", "decode", "decode_png", "sample_rows", "sample_rows_png")
    assert asked == {(name, size) for name in names for size in (1, 8, 32)}


def test_concatenated_requests_give_the_single_answers(session):
    """What a server with batching does."""
    random = np.random.default_rng(0)
    rows = {
        "log_prob": {"images": random_images(9, (28, 28, 1))},
        "encode": {"images": random_images(9, (28, 28, 1))},
        "decode": {"latents": random.normal(size=(9, 28, 28, 1)).astype(np.float32)},
        "sample_rows": {
            "seed": random.integers(2**31, size=(9, 2)).astype(np.int32),
            "temperature": random.uniform(0.5, 1.0, size=9).astype(np.float32),
        },
    }
    for name, inputs in rows.items():
        together = session.run(name, inputs)
        for row in range(9):
            alone = session.run(name, {key: value[[row]] for key, value in inputs.items()})
            for key, value in together.items():
                if value.dtype == np.uint8:
                    # rounding may move a value over the edge of a grey level
                    assert np.mean(alone[key][0] != value[row]) < 0.003
                else:
                    np.testing.assert_allclose(alone[key][0], value[row], rtol=1e-4, atol=1e-4)


def test_rows_and_columns_of_json_are_the_same_tensors(session):
    seeds, temperatures = [[1, 2], [3, 4]], [0.5, 1.0]
    columns = {
        "signature_name": "sample_rows",
        "inputs": {"seed": seeds, "temperature": temperatures},
    }
    rows = {
        "signature_name": "sample_rows",
        "instances": [
            {"seed": seed, "temperature": temperature}
            for seed, temperature in zip(seeds, temperatures, strict=True)
        ],
    }
    (name, by_column, in_rows), (same, by_row, also) = (
        from_json(columns, session),
        from_json(rows, session),
    )
    assert (name, same, in_rows, also) == ("sample_rows", "sample_rows", False, True)
    for key in ("seed", "temperature"):
        np.testing.assert_array_equal(by_column[key], by_row[key])
        assert by_column[key].dtype == by_row[key].dtype
