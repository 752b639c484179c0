"""What many tests need."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfp_realnvp import RealNVP, training
from tfp_realnvp.config import TrainingConfig


def perturb(model, scale=0.1, seed=0):
    """Away from the identity that every new flow is: a broken inverse would pass there."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign_add((scale * random.standard_normal(weight.shape)).astype(weight.dtype))
    return model


def random_images(count, image_shape, levels=256, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(levels, size=(count, *image_shape), dtype=np.uint8)


@pytest.fixture
def flow():
    """A small flow that is not the identity."""
    return perturb(RealNVP((4, 4, 1), width=16, depth=3))


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder with the four files of MNIST."""
    if "MNIST_DIR" not in os.environ:
        pytest.skip("set MNIST_DIR to a folder with the four files of MNIST")
    folder = Path(os.environ["MNIST_DIR"]).resolve()
    assert (folder / "train-images-idx3-ubyte.gz").is_file(), f"MNIST_DIR={folder} lacks the files"
    return folder


@pytest.fixture(scope="session")
def tiny_config():
    return TrainingConfig(
        hold_out=(9,), width=32, depth=2, batch_size=64, epochs=3, precision="float32"
    )


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory, tiny_config):
    """A finished run on the embedded digits, shared by all tests: read it, do not write to it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    training.train(tiny_config, folder)
    return folder


@pytest.fixture(autouse=True)
def no_gpu_surprises():
    """Small tests on a machine with GPUs share them with whatever runs there."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
