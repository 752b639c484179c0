import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import COUPLINGS

from tfp_realnvp.flows import BY_NAME
from tfp_realnvp.flows.checked_fields import option
from tfp_realnvp.flows.options import OPTIONS, RealNVPOptions
from tfp_realnvp.hardware import default_precision
from tfp_realnvp.training.config import FORMAT, TrainingConfig
from tfp_realnvp.training.goals import GOALS, config_for


def test_through_json_and_back():
    config = TrainingConfig(
        dataset="mnist",
        hold_out=(9, 8),
        gradient_clip=0.5,
        time_limit=None,
        flow="realnvp",
        width=7,
    )
    content = json.loads(json.dumps({"training": dataclasses.asdict(config)}))
    assert TrainingConfig.from_json(content) == config


def test_of_numpy_and_path():
    """What a search draws is written as JSON."""
    config = TrainingConfig(
        manual_dir=Path("files"),
        hold_out=np.array([8, 9]),
        flow="realnvp",
        width=np.int64(7),
        learning_rate=np.float32(0.5),
    )
    content = json.loads(json.dumps(dataclasses.asdict(config.resolved(1000))))
    assert Path(content["manual_dir"]) == Path("files").absolute()
    assert content["hold_out"] == [8, 9]
    assert content["width"] == 7 and content["learning_rate"] == 0.5


def test_data_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrainingConfig(dataset="idx:files", manual_dir="others").resolved(1000)
    assert config.dataset == f"idx:{tmp_path / 'files'}"
    assert config.manual_dir == str(tmp_path / "others")
    assert TrainingConfig(dataset="mnist").resolved(1000).dataset == "mnist"


def test_json_of_an_earlier_version():
    """The options of the other flow are null there, couplings were affine, latents had one Gaussian."""
    options = {"couplings": 6, "depth": 2, "width": 32, "activation": "relu"}
    content = {"flow": "realnvp", **options}
    other = {"scales": None, "channels": None, "blocks": None, "gated": None}
    config = TrainingConfig.from_json({"training": {**content, **other, "hold_out": [9]}})
    assert config == TrainingConfig(**content, transform="affine", components=1, hold_out=(9,))
    assert config.flow_options() == {**options, "transform": "affine", "bins": 8}
    config = TrainingConfig.from_json({"training": {"flow": "multiscale", "couplings": 6}})
    assert config == TrainingConfig(
        couplings=6, transform="affine", components=1, parity=0, extra_couplings=0, heads=0
    )


def test_defaults_that_depend_on_machine_and_data():
    config = TrainingConfig().resolved(1000)
    assert config.precision == default_precision() != "auto"
    assert config.batch_size == 32 and config.learning_rate == 2e-3 and config.scales == 2
    assert TrainingConfig().resolved(100).batch_size == 5
    assert TrainingConfig().resolved(10**6).batch_size == OPTIONS["multiscale"].batch_size
    assert TrainingConfig(flow="realnvp").resolved(10**6).batch_size == 512
    assert TrainingConfig(batch_size=7).resolved(1000).batch_size == 7
    assert TrainingConfig().resolved(3).batch_size == 1
    assert config.resolved(10**6) == config
    with pytest.raises(ValueError, match="`batch_size` must be at most .* 1000, received 1001"):
        TrainingConfig(batch_size=1001).resolved(1000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scales", 0), ("couplings", 0), ("channels", 0), ("blocks", -1), ("flow", "glow"), ("final_rate", 0),
        ("epochs", 0), ("parity", 2), ("batch_size", 0), ("patience", 0), ("warm_up", -1), ("final_rate", 1.1),
        ("learning_rate", 0), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
        ("time_limit", -1), ("gradient_clip", -1), ("validation", 0), ("validation", 1),
        ("precision", "float8"), ("separation", -1), ("separation", 11), ("dequantization", "none"),
    ],
)  # fmt: skip
def test_values_that_cannot_be(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must be.*received"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", 3), ("activation", 3), ("hold_out", ["9"]), ("hold_out", 9), ("channels", 1.5),
        ("patience", "a"), ("epochs", True), ("epochs", None), ("conditional", 1), ("gated", "yes"),
        ("seed", 0.5), ("learning_rate", "high"), ("manual_dir", 3),
    ],
)  # fmt: skip
def test_types_that_cannot_be(field, value):
    with pytest.raises(TypeError, match=f"`{field}` must be.*received"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("field", ["depth", "width"])
def test_options_of_another_flow(field):
    with pytest.raises(
        ValueError, match=f"`{field}` is no option of the flow multiscale, which has scales"
    ):
        TrainingConfig(**{field: 3})
    with pytest.raises(ValueError, match=f"`{field}` must be at least 1, received -1"):
        TrainingConfig(flow="realnvp", **{field: -1})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "`training` must be an object, received None"),
        ({"training": 3}, "`training` must be an object, received 3"),
        ({"training": {"colour": 1}}, "unknown option 'colour'"),
        ({"training": {"epochs": 0}}, "`epochs` must be at least 1"),
        ({"training": {"epochs": []}}, "`epochs` must be"),
    ],
)
def test_damaged_json(content, words):
    with pytest.raises(ValueError, match=words):
        TrainingConfig.from_json(content)


def test_file_of_options_and_config_of_a_run(tmp_path):
    file = tmp_path / "best.json"
    config = TrainingConfig(flow="realnvp", width=7, hold_out=(9,), time_limit=None)
    fields = dataclasses.asdict(config)
    for content in (fields, {"format": FORMAT, "training": fields}):
        file.write_text(json.dumps(content))
        assert TrainingConfig.from_file(file) == config
    file.write_text('{"channels": 8}')
    assert TrainingConfig.from_file(file) == TrainingConfig(channels=8)
    file.write_text(json.dumps({"format": FORMAT, "training": {"flow": "multiscale"}}))  # 0.4
    assert TrainingConfig.from_file(file).transform == "affine"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no configuration \\(Expecting value"),
        ("[" * 100_000, "is no configuration"),
        ("\xff\xfe\x00", "is no configuration"),
        ("[1]", "expected an object, received list"),
        ('{"colour": 1}', "unknown option 'colour'"),
        ('{"epochs": "many"}', "`epochs` must be an integer, received 'many'"),
        ('{"epochs": 1e400}', "`epochs` must be an integer, received inf"),
        ('{"learning_rate": NaN}', "`learning_rate` must be above 0, received nan"),
        (f'{{"learning_rate": 1{"0" * 400}}}', "too large"),
        ('{"flow": ["realnvp"]}', "`flow` must be one of"),
        ('{"width": 3}', "`width` is no option of the flow multiscale"),
        ('{"training": 3, "format": 4}', "`training` must be an object, received 3"),
        ('{"training": {"flow": []}, "format": 4}', "`flow` must be one of"),
        ('{"training": {}, "format": 99}', "expected format 4, received 99"),
        (" " * 2**21, "more than 1,048,576 bytes"),
    ],
    ids=lambda value: value[:30],
)
def test_file_that_is_no_configuration(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content.encode("latin1"))
    with pytest.raises(ValueError, match=words) as caught:
        TrainingConfig.from_file(tmp_path / "file")
    assert str(tmp_path / "file") in str(caught.value) and len(str(caught.value)) < 1000


def test_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "missing", tmp_path, Path("/dev/zero")):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            TrainingConfig.from_file(path)


def test_help_has_every_field():
    for field in dataclasses.fields(TrainingConfig):
        assert f"      {field.name}: {field.metadata['help']}" in TrainingConfig.__doc__


def test_flows_are_registered():
    assert {name: flow.options_class for name, flow in BY_NAME.items()} == OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_constructor_takes_the_options(name):
    """Signature, help, attributes and configuration have each of them."""
    flow_class, options = BY_NAME[name], OPTIONS[name]
    parameters = inspect.signature(flow_class).parameters
    flow = flow_class((8, 8, 1))
    for field in dataclasses.fields(options):
        assert parameters[field.name].default == field.default
        assert f"      {field.name}: {field.metadata['help']}" in flow_class.__doc__
        assert flow.get_config()[field.name] == field.default
        if field.name not in ("activation", "transform"):
            assert getattr(flow, field.name) == field.default
    assert {"image_shape", "levels", "labels", "dequantization", "seed"} < set(parameters)
    if "activation" in parameters:
        assert flow.activation is keras.activations.relu


@pytest.mark.parametrize("name", COUPLINGS)
def test_constructor_refuses(name):
    with pytest.raises(ValueError, match="`couplings` must be at least 1, received 0"):
        BY_NAME[name]((8, 8, 1), couplings=0)
    with pytest.raises(TypeError, match="`couplings` must be an integer, received 1.5"):
        BY_NAME[name]((8, 8, 1), couplings=1.5)
    with pytest.raises(ValueError, match="colour"):
        BY_NAME[name]((8, 8, 1), colour="red")
    with pytest.raises(ValueError, match="`transform` must be one of affine, spline, received 'x'"):
        BY_NAME[name]((8, 8, 1), transform="x")
    with pytest.raises(ValueError, match="`bins` must be at least 2, received 1"):
        BY_NAME[name]((8, 8, 1), transform="spline", bins=1)
    with pytest.raises(
        ValueError, match="`bins` is an option of splines, and `transform` is affine"
    ):
        BY_NAME[name]((8, 8, 1), transform="affine", bins=4)


def test_activation_is_a_name_or_a_function():
    for given in ("gelu", keras.activations.gelu):
        flow = BY_NAME["realnvp"]((4, 4, 1), width=8, activation=given)
        assert flow.activation is keras.activations.gelu
        copy = type(flow).from_config(flow.get_config())
        assert copy.activation is keras.activations.gelu and copy.width == 8


def test_signature_of_a_users_subclass():
    class Mine(BY_NAME["realnvp"]):
        def __init__(self, size):
            super().__init__((size, size, 1), width=8)

    assert list(inspect.signature(Mine).parameters) == ["size"]
    assert Mine(4).width == 8


def test_a_new_option_is_one_line():
    """It is checked, has a default and is in the constructor's signature without another word."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class WithTemper(RealNVPOptions):
        temper: float = option(0.5, "How wild it is", above=0)

    class Wild(BY_NAME["realnvp"]):
        options_class = WithTemper

        def __init__(self, image_shape, **kwargs):
            super().__init__(image_shape, **kwargs)

    assert inspect.signature(Wild).parameters["temper"].default == 0.5
    assert Wild((4, 4, 1), width=8, temper=2).get_config()["temper"] == 2
    assert "temper: How wild it is; above 0; default: 0.5" in Wild.__doc__
    with pytest.raises(ValueError, match="`temper` must be above 0, received -1"):
        Wild((4, 4, 1), temper=-1)


def test_options_do_not_wait_for_tensorflow():
    code = "import sys; from tfp_realnvp.flows.options import OPTIONS; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("goal", GOALS)
def test_goals(goal):
    config = config_for(goal, dataset="mnist", hold_out=(9,))
    assert config.dataset == "mnist" and config.hold_out == (9,)
    for name, value in GOALS[goal].items():
        assert getattr(config, name) == value
    assert config_for(goal, batch_size=7).batch_size == 7
    assert config_for("quality", flow="realnvp") == TrainingConfig(flow="realnvp")


def test_bad_goals():
    with pytest.raises(
        ValueError, match="`goal` must be one of quality, speed, memory, sampling-speed"
    ):
        config_for("beauty")
    with pytest.raises(
        ValueError, match="`goal` speed takes the `flow` multiscale, received realnvp"
    ):
        config_for("speed", flow="realnvp")
