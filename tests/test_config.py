import dataclasses
import inspect
import json

import pytest

from tfp_realnvp.hardware import default_precision
from tfp_realnvp.training.config import FLOWS, TrainingConfig


def test_through_json_and_back():
    config = TrainingConfig(dataset="mnist", hold_out=(9, 8), gradient_clip=0.5, time_limit=None)
    content = json.loads(json.dumps({"training": dataclasses.asdict(config)}))
    assert TrainingConfig.from_json(content) == config


def test_defaults_that_depend_on_machine_and_data():
    config = TrainingConfig().resolved(1000)
    assert config.precision == default_precision() != "auto"
    assert config.batch_size == 32
    assert TrainingConfig().resolved(100).batch_size == 5
    assert TrainingConfig().resolved(10**6).batch_size == FLOWS["multiscale"]["batch_size"]
    assert TrainingConfig(flow="realnvp").resolved(10**6).batch_size == 512
    assert TrainingConfig(batch_size=7).resolved(1000).batch_size == 7
    assert TrainingConfig().resolved(3).batch_size == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scales", 0), ("couplings", 0), ("channels", 1.5), ("blocks", -1), ("flow", "glow"), ("final_rate", 0),
        ("epochs", 0), ("batch_size", 0), ("patience", "a"), ("warm_up", -1), ("final_rate", 1.1),
        ("learning_rate", 0), ("learning_rate", float("nan")), ("time_limit", -1),
        ("gradient_clip", -1), ("validation", 0), ("validation", 1), ("precision", "float8"),
    ],
)  # fmt: skip
def test_values_that_cannot_be(field, value):
    with pytest.raises(ValueError, match=f"{field} must be.*received"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("dataset", 3), ("activation", 3), ("hold_out", ["9"])]
)
def test_types_that_cannot_be(field, value):
    with pytest.raises(TypeError, match=f"{field} must be"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("field", ["depth", "width"])
def test_options_of_another_flow(field):
    with pytest.raises(
        ValueError, match=f"{field} is no option of the flow multiscale, which has scales"
    ):
        TrainingConfig(**{field: 3})
    with pytest.raises(ValueError, match=f"{field} must be an integer of at least 1, received -1"):
        TrainingConfig(flow="realnvp", **{field: -1})


@pytest.mark.parametrize("name", FLOWS)
def test_defaults_are_those_of_the_class(name):
    """They stand twice, because the command line does not wait for TensorFlow."""
    from tfp_realnvp.flows import BY_NAME

    options = TrainingConfig(flow=name).resolved(1000).flow_options()
    parameters = inspect.signature(BY_NAME[name]).parameters
    assert options == {option: parameters[option].default for option in options}
    others = {"image_shape", "kwargs"}
    assert set(parameters) - others == set(options)


@pytest.mark.parametrize(
    "content", [{}, {"training": 3}, {"training": {"colour": 1}}, {"training": {"depth": 0}}]
)
def test_damaged_json(content):
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        TrainingConfig.from_json(content)
