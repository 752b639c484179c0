import dataclasses
import json

import pytest

from tfp_realnvp.config import TrainingConfig, default_precision


def test_through_json_and_back():
    config = TrainingConfig(dataset="mnist", hold_out=(9, 8), alpha=0.1, time_limit=None)
    content = json.loads(json.dumps({"training": dataclasses.asdict(config)}))
    assert TrainingConfig.from_json(content) == config


def test_defaults_that_depend_on_machine_and_data():
    config = TrainingConfig().resolved(1000)
    assert config.precision == default_precision() != "auto"
    assert config.batch_size == 50
    assert TrainingConfig().resolved(10**6).batch_size == 512
    assert TrainingConfig(batch_size=7).resolved(1000).batch_size == 7
    assert TrainingConfig().resolved(3).batch_size == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("couplings", 0), ("depth", -1), ("width", 1.5), ("epochs", 0), ("batch_size", 0), ("patience", "a"),
        ("learning_rate", 0), ("learning_rate", float("nan")), ("time_limit", -1), ("alpha", 0),
        ("gradient_clip", -1), ("validation", 0), ("validation", 1), ("precision", "float8"),
    ],
)  # fmt: skip
def test_values_that_cannot_be(field, value):
    with pytest.raises(ValueError, match=f"{field} must be.*received"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("dataset", 3), ("activation", None), ("hold_out", ["9"])]
)
def test_types_that_cannot_be(field, value):
    with pytest.raises(TypeError, match=f"{field} must be"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    "content", [{}, {"training": 3}, {"training": {"colour": 1}}, {"training": {"depth": 0}}]
)
def test_damaged_json(content):
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        TrainingConfig.from_json(content)
