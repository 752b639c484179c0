"""The C program of deploy/c: the loader that TF Serving has, without Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import EVERY_FLOW, FLOWS, perturb, random_images

from tfp_realnvp import fewshot
from tfp_realnvp.flows import pixels
from tfp_realnvp.serving import export

SOURCE = Path(__file__).parent.parent / "deploy" / "c"
IMAGES = random_images(5, (4, 4, 1), levels=17)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    subprocess.run(
        ["make", "-C", SOURCE, f"PYTHON={sys.executable}", f"BUILD={folder}"], check=True
    )
    return folder / "flow"


@pytest.fixture(scope="module", params=EVERY_FLOW)
def flow(request):
    flow = FLOWS[request.param](levels=17)
    flow.adapt(random_images(1000, (4, 4, 1), levels=17))
    return perturb(flow)


@pytest.fixture(scope="module")
def ask(program, flow, tmp_path_factory):
    model = export(flow, tmp_path_factory.mktemp("saved_models") / "small")

    def ask(*arguments, images=b""):
        return subprocess.run(
            [program, model, *map(str, arguments)], input=images, capture_output=True, check=False
        )

    return ask


def as_images(process):
    assert process.returncode == 0, process.stderr.decode()
    return np.frombuffer(process.stdout, np.uint8).reshape(-1, 4, 4, 1)


def test_numbers_are_python_s(ask, flow):
    process = ask("log_prob", 4, 4, 1, images=IMAGES.tobytes())
    assert process.returncode == 0, process.stderr.decode()
    nats, bits = np.loadtxt(process.stdout.decode().splitlines()).T
    np.testing.assert_allclose(nats, flow.log_prob(IMAGES), rtol=1e-5)
    np.testing.assert_allclose(bits, flow.bits_per_dim(IMAGES), rtol=1e-5)
    drawn = as_images(ask("sample", 3, 1, 2, 0.5))
    np.testing.assert_array_equal(drawn, flow.sample(3, seed=[1, 2], temperature=0.5))
    rows = as_images(ask("sample_rows", 0.5, 1, 2, 3, 4))
    for row, seed in zip(rows, ([1, 2], [3, 4]), strict=True):
        np.testing.assert_array_equal(row, flow.sample(1, seed=seed, temperature=0.5)[0])


@pytest.mark.parametrize("flow", ["realnvp"], indirect=True)
def test_few_shot_mixture(program, flow, tmp_path):
    """Its density is computed in a loop, and it draws one of its points."""
    options = {"covariance": "full", "intrinsic_dimension": 3, "bandwidth": 0.5}
    route = fewshot.Route(variance_floor=0.1, **options)
    few = fewshot.few_shot_flow(flow, IMAGES, route)
    model = export(few, tmp_path / "few_shot")

    def ask(*arguments, images=b""):
        command = [program, model, *map(str, arguments)]
        return subprocess.run(command, input=images, capture_output=True, check=False)

    process = ask("log_prob", 4, 4, 1, images=IMAGES.tobytes())
    assert process.returncode == 0, process.stderr.decode()
    nats, _ = np.loadtxt(process.stdout.decode().splitlines()).T
    decoded = fewshot.fit_latent(flow, IMAGES, variance_floor=0.1, **options).distribution
    np.testing.assert_allclose(nats, pixels.log_prob(decoded, IMAGES, levels=17), rtol=1e-4)
    drawn = as_images(ask("sample", 6, 1, 2, 1))
    np.testing.assert_array_equal(drawn, few.sample(6, seed=[1, 2]))
    assert len(np.unique(drawn, axis=0)) == 6
    rows = as_images(ask("sample_rows", 1, 1, 2, 3, 4))
    np.testing.assert_array_equal(rows[1], few.sample(1, seed=[3, 4])[0])


@pytest.mark.parametrize("flow", ["realnvp"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "images", "message"),
    [
        (("log_prob", 2, 8, 1), IMAGES.tobytes(), "images"),
        (("log_prob", 4, 4, 1), (IMAGES + 17).tobytes(), "`images` must be in [0, 16]"),
        (("sample", 0, 1, 2, 1), b"", "`num_samples` must ask for 1 to 1024 images"),
        (("sample", -1, 1, 2, 1), b"", "`num_samples` must ask for 1 to 1024 images"),
        (("sample", 10**9, 1, 2, 1), b"", "`num_samples` must ask for 1 to 1024 images"),
        (("sample", 1, 1, 2, 0), b"", "`temperature` must be above 0"),
        (("sample", 1, 1, 2, -1), b"", "`temperature` must be above 0"),
        (("sample", 1, 1, 2, "nan"), b"", "`temperature` must be above 0"),
        (("sample_rows", 0, 1, 2), b"", "`temperature` must be above 0"),
    ],
)
def test_bad_input_is_refused(ask, arguments, images, message):
    process = ask(*arguments, images=images)
    assert process.returncode == 1
    assert message in process.stderr.decode()


def test_wrong_arguments_show_the_right_ones(program):
    process = subprocess.run([program, "model", "draw"], capture_output=True, check=False)
    assert process.returncode == 2
    assert b"flow MODEL sample COUNT SEED SEED TEMPERATURE > IMAGES" in process.stderr
