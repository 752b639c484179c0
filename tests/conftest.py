"""What many tests need."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock

from tfp_realnvp import MultiscaleRealNVP, RealNVP, ResidualFlow, cli, training
from tfp_realnvp.layers.normalization import PACE
from tfp_realnvp.training.config import TrainingConfig

tf.config.list_logical_devices()  # TensorFlow begins: what tests call leaves its threads alone


def perturb(model, scale=0.1, seed=0):
    """Away from the identity that every new flow is: a broken inverse would pass there."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        pace = (
            PACE if weight.name == "log_slopes" else 1
        )  # a step of these weights goes so much further
        weight.assign_add(
            (scale / pace * random.standard_normal(weight.shape)).astype(weight.dtype)
        )
    return model


def random_images(count, image_shape, levels=256, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(levels, size=(count, *image_shape), dtype=np.uint8)


# The table of flows: what holds for one must hold for all.
FLOWS = {
    "realnvp": lambda image_shape=(4, 4, 1), **options: RealNVP(
        image_shape, **{"width": 16, "depth": 3, "seed": 0, **options}
    ),
    "multiscale": lambda image_shape=(4, 4, 1), **options: MultiscaleRealNVP(
        image_shape,
        **{
            "scales": 1 if min(image_shape[:2]) < 4 else 2,
            "couplings": 2,
            "extra_couplings": 0,
            "channels": 8,
            "blocks": 1,
            "heads": 1,
            "seed": 0,
            **options,
        },
    ),
    "residual": lambda image_shape=(4, 4, 1), **options: ResidualFlow(
        image_shape,
        **{
            "scales": 1 if min(image_shape[:2]) < 4 else 2,
            "blocks": 1,
            "channels": 8,
            "dense_layers": 0,
            "seed": 0,
            **options,
        },
    ),
}


def plain(small):
    """With affine couplings: they are traced faster, and Keras does not notice the difference."""
    affine = {"transform": "affine", "heads": 0} if small is FLOWS["multiscale"] else {}
    return lambda *arguments, **options: small(*arguments, **{**affine, **options})


SLOW_MULTISCALE = pytest.param("multiscale", marks=pytest.mark.slow)
# Residual blocks have loops, which take long to compile.
SLOW_RESIDUAL = pytest.param("residual", marks=pytest.mark.slow)
COUPLINGS = ["realnvp", "multiscale"]
EVERY_FLOW = [*COUPLINGS, SLOW_RESIDUAL]
# where a flow does much in each test
DENSE_FIRST = ["realnvp", SLOW_MULTISCALE, SLOW_RESIDUAL]
dense_first = pytest.mark.parametrize("small", DENSE_FIRST, indirect=True)
of_couplings = pytest.mark.parametrize("small", DENSE_FIRST[:2], indirect=True)
of_coupling_runs = pytest.mark.parametrize("tiny_config", DENSE_FIRST[:2], indirect=True)
# of what is not about the flow
of_dense = pytest.mark.parametrize("small", ["realnvp"], indirect=True)
of_dense_runs = pytest.mark.parametrize("tiny_config", ["realnvp"], indirect=True)


@pytest.fixture
def eagerly():
    """Without graphs: to trace one takes longer than to compute a few small images. Other tests have graphs."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(params=EVERY_FLOW)
def small(request):
    """The constructor of a small flow, of each kind in turn."""
    return FLOWS[request.param]


@pytest.fixture
def flow(small):
    """A small flow that knows some images and is not the identity."""
    flow = small()
    flow.adapt(random_images(1000, flow.image_shape))
    return perturb(flow)


MNIST_FILES = [
    f"{split}-{content}-ubyte.gz"
    for split in ("train", "t10k")
    for content in ("images-idx3", "labels-idx1")
]


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder with the four files of MNIST."""
    if not os.environ.get("MNIST_DIR"):
        pytest.skip("set MNIST_DIR to a folder with the four files of MNIST")
    folder = Path(os.environ["MNIST_DIR"]).resolve()
    for name in MNIST_FILES:
        if not (folder / name).is_file():
            pytest.fail(
                f"there is no file {name} in MNIST_DIR={folder}: expected {', '.join(MNIST_FILES)}.",
                pytrace=False,
            )
    return folder


TINY = {
    "realnvp": {"flow": "realnvp", "width": 32, "depth": 2, "batch_size": 32},
    "multiscale": {
        "flow": "multiscale",
        "scales": 1,
        "couplings": 2,
        "extra_couplings": 0,
        "channels": 8,
        "blocks": 1,
        "heads": 1,
        "batch_size": 64,
    },
    "residual": {
        "flow": "residual",
        "scales": 1,
        "blocks": 2,
        "channels": 8,
        "batch_size": 64,
    },
}


@pytest.fixture(scope="session", params=DENSE_FIRST)
def tiny_config(request):
    """A run of seconds, with each kind of flow in turn; the dense one does ten steps a call."""
    shared = {"hold_out": (9,), "epochs": 3, "precision": "float32"}
    return TrainingConfig(**TINY[request.param], **shared)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory, tiny_config):
    """A finished run on the embedded digits, shared by tests in all processes: read it, do not write to it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "runs" / tiny_config.flow
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            training.train(tiny_config, folder)
    return folder


@pytest.fixture
def call(capsys):
    """Runs a command in this process: (exit status, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def empty_versions(monkeypatch):
    """Exports write no graph, which takes nearly all of their time: for tests of what is beside it."""
    place = "tfp_realnvp.serving.saved_model"
    monkeypatch.setattr(
        f"{place}._write", lambda flow, signatures, folder: (folder / "saved_model.pb").touch()
    )
    monkeypatch.setattr(f"{place}._compare", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def no_gpu_surprises():
    """Small tests on a machine with GPUs share them with whatever runs there."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
