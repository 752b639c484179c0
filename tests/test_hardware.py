import pytest
import tensorflow as tf

from tfp_realnvp import hardware


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_without_a_gpu():
    hardware.use("auto")
    hardware.use("cpu")
    assert hardware.name() == "CPU"
    assert hardware.describe("float32").startswith("CPU (")
    with pytest.raises(ValueError, match="sees no GPU.*--device"):
        hardware.use("gpu")
