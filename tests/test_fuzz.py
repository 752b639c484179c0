"""Whatever a command is given, it ends with a whole result, or with one line that says what is wrong.

    FUZZ_EXAMPLES=2000 python -m pytest -n 0 tests/test_fuzz.py

looks further than the default, at random, and for an hour or more.
"""

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import TINY
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from tfp_realnvp import cli, training
from tfp_realnvp.cli.main import app
from tfp_realnvp.training.config import TrainingConfig

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
CONFIG = TrainingConfig(**TINY["realnvp"], hold_out=(9,), epochs=2, precision="float32")
# words that a library's error has, and ours has not
LEAKED = r"Traceback|NoneType|has no attribute|unexpected keyword|\{\{function_node|Error\(|errno|0x[0-9a-f]{6}"
LONGEST = 700

pytestmark = pytest.mark.slow


def fuzz(examples):
    """Settings of so many examples, the same in each run; `FUZZ_EXAMPLES` of them, and random, if it is set."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a finished run, an interrupted run and an export."""
    folder = tmp_path_factory.mktemp("made")
    training.train(CONFIG, folder / "finished")
    training.train(CONFIG, folder / "interrupted", on_epoch=lambda row: True)
    assert call("export", folder / "finished", folder / "exported")[0] == 0
    return folder


@contextlib.contextmanager
def copy_of(made):
    """A copy, in which the program runs."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "made"
        shutil.copytree(made, folder)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def call(*arguments):
    """(exit status, standard output, standard error) of a command."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as end,
    ):
        cli.main([str(argument) for argument in arguments])
    return end.value.code, output.getvalue(), errors.getvalue()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_end(folder, arguments, *names):
    """Run a command in a folder, and look at how it ends; an error has one of the names."""
    before = contents(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        status, output, errors = call(*arguments, "--json")
    after = contents(folder)
    event(f"{arguments[0]}: status {status}")
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"], arguments
    if status == 0:
        result = json.loads(output)
        for key in ("output", "strip", "output_dir", "saved_model"):
            assert key not in result or Path(result[key]).exists(), (arguments, result)
        return
    assert status == 2 and not output, (arguments, status, output, errors)
    lines = errors.strip().split("\n")
    error = lines[-1]
    assert error.startswith("Error: "), (arguments, errors)
    assert len(lines) == 1 or lines[0].startswith("Training a"), (arguments, errors)
    assert not re.search(LEAKED, error) and len(error) < LONGEST, (arguments, error)
    assert not names or any(name in error for name in names), (arguments, names, error)
    assert before.items() <= after.items(), arguments  # nothing is lost


# Options

INTEGERS = st.sampled_from(
    ["-1", "0", "1", "2", "3", "x", "", "1.5", "-0", str(2**31), str(10**20)]
)
FLOATS = st.sampled_from(["-1", "0", "1", "0.5", "nan", "inf", "-inf", "1e308", "1e-320", "x", ""])
TEXTS = st.sampled_from(
    ["", "9", "0-3", "3-0", "1,,2", "-1", "0-99999999999", "a", "٣", "0x3", "1h", "digits", "npz:", "none",
     "full", "multiscale", "variational", "float32"]
)  # fmt: skip
PLACES = st.sampled_from(
    ["", ".", "nowhere", "finished/config.json", "new/folder", "a\nb", "x" * 300, "ü 中.png",
     "/dev/null/x", "é.gif"]
)  # fmt: skip
FIXED = {  # so that what is done is small
    "train": {"run_dir": "new", "flow": "realnvp", "width": "8", "depth": "2", "couplings": "2", "epochs": "1"},
    "sample": {"num": "3", "output": "drawn.png"},
    "score": {},
    "transfer": {"num": "3", "output_dir": "drawn"},
    "morph": {"steps": "3", "output": "drawn.gif"},
    "fill": {"images": "2", "num": "2", "steps": "3", "output_dir": "drawn"},
    "anomalies": {"output_dir": "drawn"},
    "diagnose": {"images": "9", "output_dir": "drawn"},
    "information": {"samples": "9"},
    "export": {},
}  # fmt: skip
LARGE = (
    "width", "epochs", "couplings", "extra_couplings", "depth", "channels", "blocks", "heads", "bins",
    "dense_layers", "scales", "components", "num", "steps", "images", "samples", "rarer", "noise_samples",
)  # fmt: skip


def values_of(option):
    """None for a flag; most values are of another kind than the option's."""
    if option.is_flag:
        return st.none()
    small = st.sampled_from(["-1", "0", "1", "2", "3", "x", "", "1.5"])
    return small if option.name in LARGE else st.one_of(INTEGERS, FLOATS, TEXTS, PLACES)


@st.composite
def commands(draw):
    """A command with one or two options of arbitrary values."""
    command = draw(st.sampled_from(sorted(FIXED)))
    parameters = typer.main.get_command(app).commands[command].params
    options = [
        p
        for p in parameters
        if p.param_type_name == "option"
        and p.name not in ("as_json", "help", "device", "tensorboard")
    ]
    chosen = draw(st.lists(st.sampled_from(options), min_size=1, max_size=2, unique=True))
    values = dict(FIXED[command])
    for option in chosen:
        values[option.name] = draw(values_of(option))
    if "dataset" not in values and command == "train":
        values["dataset"] = "digits"
    by_name = {option.name: option for option in parameters}
    words = [] if command == "train" else ["finished"]
    words += ["new_export"] if command == "export" else []
    # what takes long, whatever comes of it
    words += {"transfer": ["--no-adapt"], "anomalies": ["--no-labels"]}.get(command, [])
    for name, value in values.items():
        words += [by_name[name].opts[0]] + ([] if value is None else [value])
    return [command, *words]


@fuzz(16)
@given(arguments=commands())
def test_options(made, arguments):
    with copy_of(made) as folder:
        check_end(folder, arguments)


# Files of runs

JSON = st.sampled_from([None, True, -1, 0, 10**30, 1.5, "", "x", [], [1], {}, {"x": 1}])
FILES = ("config.json", "metrics.json", "history.csv", "model.keras", "state")
NEXT = st.sampled_from(
    [
        ("train", "--resume", "--run-dir", "interrupted"),
        ("sample", "interrupted", "--num", "2"),
        ("score", "interrupted"),
        ("export", "interrupted", "new"),
    ]
)


@st.composite
def damages(draw):
    """A function that damages a file."""
    kind = draw(st.sampled_from(["cut", "flip", "empty", "gone", "folder", "json"]))
    share, value = draw(st.floats(0, 0.999)), draw(JSON)

    def damage(path):
        content = path.read_bytes()
        place = int(share * len(content))
        if kind in ("gone", "folder"):
            path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "cut":
            path.write_bytes(content[:place])
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "flip" and content:
            path.write_bytes(
                content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
            )
        elif kind == "json" and path.suffix == ".json":
            path.write_text(json.dumps(replace_one(json.loads(content), share, value)))

    return damage


def replace_one(tree, share, value):
    """The JSON with one part, at any depth, replaced by the value."""
    places = []

    def walk(node, path):
        places.append(path)
        items = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        )
        for key, child in items:
            walk(child, (*path, key))

    walk(tree, ())
    path = places[int(share * len(places))]
    if not path:
        return value
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return tree


@fuzz(20)
@given(name=st.sampled_from(FILES), which=st.integers(0, 3), damage=damages(), arguments=NEXT)
def test_damaged_runs(made, name, which, damage, arguments):
    with copy_of(made) as folder:
        path = folder / "interrupted" / name
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            path = files[which % len(files)]
        damage(path)
        check_end(folder, arguments, "interrupted", "--")


# Files of images

DTYPES = st.sampled_from([np.uint8, np.int64, np.float32, bool, object, "U3", np.uint64])
SHAPES = st.sampled_from(
    [(), (0,), (12,), (12, 4), (12, 4, 4), (12, 4, 4, 1), (12, 4, 5, 3), (0, 4, 4), (12, 0, 4)]
)


class Evil:
    """It leaves a file behind if it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


@st.composite
def arrays(draw):
    dtype, shape = draw(DTYPES), draw(SHAPES)
    if dtype is object:
        return np.array([Evil()], object)
    fill = draw(st.sampled_from(["random", "zeros", "large"]))
    array = np.random.default_rng(0).integers(256, size=shape) * (fill != "zeros")
    array = array.astype(dtype)
    return array << 50 if fill == "large" and dtype is np.int64 else array


GOOD = np.random.default_rng(0).integers(256, size=(200, 4, 4), dtype=np.uint8)
LABELS = np.arange(200) % 10
KEYS = ["images", "labels", "test_images", "test_labels"]


@fuzz(15)
@given(
    keys=st.dictionaries(st.sampled_from(KEYS), arrays(), max_size=2),
    cut=st.sampled_from([None, None, None, 0, 10, 500]),
)  # fmt: skip
def test_npz(made, keys, cut):
    with copy_of(made) as folder:
        np.savez(folder / "data.npz", **{"images": GOOD, "labels": LABELS, **keys})
        if cut is not None:
            (folder / "data.npz").write_bytes((folder / "data.npz").read_bytes()[:cut])
        check_end(folder, train_on("npz:data.npz"), "data.npz", "--")
        assert not (folder / "unpickled").exists()


def train_on(dataset):
    words = ["train", "--dataset", dataset, "--batch-size", "8"]
    for name, value in FIXED["train"].items():
        words += [f"--{name.replace('_', '-')}", value]
    return words


def idx(array, magic=None, shape=None):
    header = magic or bytes([0, 0, 8, array.ndim])
    return header + struct.pack(f">{array.ndim}I", *(shape or array.shape)) + array.tobytes()


@fuzz(12)
@given(
    number=st.integers(0, 3),
    share=st.floats(0, 0.999),
    kind=st.sampled_from(["cut", "flip", "zip", "cut zip", "shape", "none", "longer"]),
    size=st.sampled_from([0, 1, 7, 2**31, 2**32 - 1]),
)
def test_idx(made, number, share, kind, size):
    with copy_of(made) as folder:
        (folder / "idx").mkdir()
        files = []
        for part in ("train", "t10k"):
            files.append((f"{part}-images-idx3-ubyte", idx(GOOD)))
            files.append((f"{part}-labels-idx1-ubyte", idx(LABELS.astype(np.uint8))))
        name, content = files[number]
        place = int(share * (len(content) if share > 0.5 else 20))
        if kind == "cut":
            content = content[:place]
        elif kind == "flip":
            content = content[:place] + bytes([content[place] ^ 0x81]) + content[place + 1 :]
        elif kind == "zip":
            name, content = name + ".gz", gzip.compress(content)
        elif kind == "cut zip":
            packed = gzip.compress(content)
            name, content = name + ".gz", packed[: int(share * len(packed))]
        elif kind == "shape":
            content = content[:4] + struct.pack(">I", size) + content[8:]
        elif kind == "longer":
            content += b"x"
        files[number] = name, content
        for name, content in files[: None if kind != "none" else number]:
            (folder / "idx" / name).write_bytes(content)
        check_end(folder, train_on("idx:idx"), "idx", "--")


@fuzz(10)
@given(
    mode=st.sampled_from(["L", "RGB", "RGBA", "LA", "1", "P", "I;16"]),
    size=st.sampled_from([(8, 8), (1, 1), (5, 9), (200, 3)]),
    count=st.integers(0, 3),
    extra=st.sampled_from([None, "empty.png", "text.png", "folder.png", "link.png", "cut.png"]),
)
def test_png(made, mode, size, count, extra):
    with copy_of(made) as folder:
        shots = folder / "shots"
        shots.mkdir()
        rng = np.random.default_rng(0)
        for number in range(count):
            picture = Image.fromarray(rng.integers(256, size=size[::-1], dtype=np.uint8)).convert(
                "L" if mode == "I;16" else mode
            )
            if mode == "I;16":
                picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
            picture.save(shots / f"{number}.png")
        if extra == "folder.png":
            (shots / extra).mkdir()
        elif extra == "link.png":
            (shots / extra).symlink_to("nowhere")
        elif extra == "cut.png" and count:
            (shots / extra).write_bytes((shots / "0.png").read_bytes()[:40])
        elif extra:
            (shots / extra).write_text("" if extra == "empty.png" else "text")
        arguments = ["transfer", "finished", "--shots-dir", "shots", "--num", "2", "--no-adapt"]
        check_end(folder, [*arguments, "--output-dir", "out"], "shots", "--")
