"""Beam pipelines around a SavedModel, on Beam's runner for this machine."""

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, perturb, random_images

from tfp_realnvp import cli, datasets, pipelines
from tfp_realnvp.pipelines.places import stored_files
from tfp_realnvp.pipelines.stored_images import read_images
from tfp_realnvp.serving import export

pytestmark = pytest.mark.slow

SHAPE = (4, 4, 1)
LABELS = (3, 5)


def exported(folder, **options):
    flow = FLOWS["realnvp"](**options)
    flow.adapt(random_images(1000, SHAPE))
    perturb(flow)
    return flow, str(export(flow, folder).parent)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("conditional"), labels=LABELS)


@pytest.fixture
def files(tmp_path):
    """(folder, images, labels): files of each kind, with 7, 11 and 10 images."""
    folder = tmp_path / "images"
    folder.mkdir()
    images, labels = random_images(28, SHAPE), np.resize(LABELS, 28)
    np.savez(folder / "a.npz", images=images[:7, ..., 0], labels=labels[:7])
    np.savez_compressed(folder / "b.npz", images=images[7:18], labels=labels[7:18])
    datasets.write_tfrecords(images[18:], labels[18:], folder, part="train")
    return folder, images, labels


def read(folder):
    """The rows of all CSV files in order."""
    rows = []
    for file in sorted(folder.glob("*.csv")):
        with file.open() as stream:
            rows.append(list(csv.DictReader(stream)))
    assert [row["image"] for row in rows[0]] == list(map(str, range(len(rows[0]))))
    return [float(row["log_prob"]) for part in rows for row in part]


@pytest.mark.parametrize("model", ["plain", "conditional"])
def test_scores_are_those_of_the_flow(model, request, files, tmp_path):
    flow, model = request.getfixturevalue(model)
    folder, images, labels = files
    done = []
    result = pipelines.score_files(
        model,
        str(folder),
        str(tmp_path / "scores"),
        batch_size=5,
        on_results=lambda *numbers: done.append(numbers),
    )
    expected = flow.log_prob(images, labels if flow.labels else None).numpy()
    np.testing.assert_allclose(read(tmp_path / "scores"), expected, rtol=1e-5)
    bits = flow.bits_per_dim(images, labels if flow.labels else None).numpy()
    assert result == {
        "bits_per_dim": pytest.approx(bits.mean(), rel=1e-5),
        "standard_error": pytest.approx(bits.std() / np.sqrt(28), rel=1e-4),
        "log_prob": pytest.approx(expected.mean(), rel=1e-5),
        "images": 28,
        "files": 3,
    }
    written = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert written == {**result, "failed": []}
    assert done[-1] == (3, 3)


def test_goes_on_and_names_files_that_fail(plain, files, tmp_path):
    _, model = plain
    folder, _, _ = files
    scores = tmp_path / "scores"
    whole = (folder / "b.npz").read_bytes()
    (folder / "b.npz").write_bytes(whole[:-30])  # truncated
    with pytest.raises(ValueError, match=r"1 of 3 files failed, the others are done: b\.npz"):
        pipelines.score_files(model, str(folder), str(scores))
    kept = scores / "a.npz.csv"
    before = kept.stat().st_mtime_ns
    assert json.loads((scores / "scores.json").read_text())["failed"]
    (scores / f"c.csv.new-{'0' * 32}").write_text("left by a worker that was killed")
    (folder / "b.npz").write_bytes(whole)
    assert pipelines.score_files(model, str(folder), str(scores))["files"] == 3
    assert kept.stat().st_mtime_ns == before
    assert sorted(file.name for file in scores.iterdir()) == [
        "a.npz.csv", "b.npz.csv", "scores.json", "scoring.json", "train.tfrecord-00000-of-00001.csv",
    ]  # fmt: skip
    now = time.time() + 10
    os.utime(folder / "a.npz", (now, now))  # as if it had changed
    pipelines.score_files(model, str(folder), str(scores))
    assert kept.stat().st_mtime_ns > before
    users = tmp_path / "notes"
    users.mkdir()
    (users / "report.new-version").touch()
    with pytest.raises(FileExistsError, match=r"has report\.new-version"):
        pipelines.score_files(model, str(folder), str(users))
    assert (users / "report.new-version").exists()
    with pytest.raises(FileExistsError, match="has results of other work"):
        pipelines.score_files(model, str(folder / "*.npz"), str(scores))
    with pytest.raises(FileExistsError, match=r"must be new or empty, and has a\.npz"):
        pipelines.score_files(model, str(folder), str(folder))


@pytest.mark.parametrize("model", ["plain", "conditional"])
def test_draws_the_same_images_in_any_files(model, request, tmp_path):
    flow, model = request.getfixturevalue(model)
    options = {"labels": LABELS if flow.labels else (), "seed": 4, "temperature": 0.7}
    result = pipelines.draw_files(model, 10, str(tmp_path / "drawn"), images_per_file=4, **options)
    assert result == {"images": 10, "files": 3}
    parts = [dict(np.load(file)) for file in sorted((tmp_path / "drawn").glob("*.npz"))]
    assert [len(part["images"]) for part in parts] == [4, 4, 2]
    together = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    labels = np.resize(LABELS, 10) if flow.labels else None
    for number in (0, 9):
        latents = flow.draw_latents(1, 0.7, np.int32([4, number]))
        of_one = None if labels is None else labels[[number]]
        np.testing.assert_array_equal(together["images"][[number]], flow.decode(latents, of_one))
    if flow.labels:
        np.testing.assert_array_equal(together["labels"], labels)
    pipelines.draw_files(model, 10, str(tmp_path / "again"), batch_size=3, **options)
    with np.load(tmp_path / "again" / "images-00000-of-00001.npz") as again:
        np.testing.assert_array_equal(again["images"], together["images"])


def test_two_worker_processes(plain, files, tmp_path):
    """As the command, with Beam's own options."""
    flow, model = plain
    folder, images, _ = files
    command = [
        sys.executable, "-m", "tfp_realnvp", "pipeline", "score", model, f"{folder}/*",
        "--output-dir", tmp_path / "scores", "--json",
        "--", "--direct_num_workers=2", "--direct_running_mode=multi_processing",
    ]  # fmt: skip
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    bits = flow.bits_per_dim(images).numpy().mean()
    assert json.loads(process.stdout)["bits_per_dim"] == pytest.approx(bits, rel=1e-5)


def test_sample_command(plain, tmp_path, capsys):
    _, model = plain
    with pytest.raises(SystemExit) as status:
        cli.main(
            ["pipeline", "sample", model, "--num", "3", "--output-dir", str(tmp_path / "drawn")]
        )
    assert status.value.code == 0
    assert "3 images are in 1 files" in capsys.readouterr().out
    assert np.load(tmp_path / "drawn" / "images-00000-of-00001.npz")["images"].shape == (3, *SHAPE)


def test_models_and_arguments_that_do_not_fit(plain, conditional, files, tmp_path):
    folder, _, _ = files
    out = str(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="there is no SavedModel"):
        pipelines.score_files(str(tmp_path), str(folder), out)
    with pytest.raises(FileNotFoundError, match="there are no files"):
        pipelines.score_files(plain[1], str(tmp_path / "*.npz"), out)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(ValueError, match="lacks log_prob and sample_rows"):
        pipelines.score_files(str(tmp_path / "other"), str(folder), out)
    with pytest.raises(ValueError, match="`labels` must be given, for a model with labels"):
        pipelines.draw_files(conditional[1], 5, out)
    with pytest.raises(ValueError, match=r"`labels` must be none, .* received \[3\]"):
        pipelines.draw_files(plain[1], 5, out, labels=[3])
    wrong = {"n": 0, "seed": 2**31, "images_per_file": 0, "batch_size": 0, "temperature": -1.0}
    for name, value in wrong.items():
        arguments = {"n": 5, name: value}
        with pytest.raises(ValueError, match=f"`{name}` must be .* received {value}"):
            pipelines.draw_files(plain[1], arguments.pop("n"), out, **arguments)
    assert not (tmp_path / "out").exists()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.npz").touch()
    with pytest.raises(ValueError, match=r"two files are called a\.npz"):
        stored_files(f"{tmp_path}/*/a.npz")


def test_files_that_do_not_fit(tmp_path):
    def check(message, file="images.npz", **arrays):
        if arrays:
            np.savez(tmp_path / file, **arrays)
        with pytest.raises(ValueError, match=message):
            list(read_images(str(tmp_path / file), SHAPE, at_once=4))

    images = random_images(6, SHAPE)
    check("has no key 'images'", others=images)
    check(
        r"must be uint8 \[n, 4, 4, 1\], .* received uint8 \[6, 2, 8, 1\]",
        images=images.reshape(6, 2, 8, 1),
    )
    check("received float32", images=images.astype(np.float32))
    check("in columns", images=np.asfortranarray(images[..., 0]))
    check("received object", images=np.array([{}]))
    check("`labels` must be 6 integers", images=images, labels=[1, 2])
    check("`labels` must be integers", images=images, labels=[0.5] * 6)
    check("Object arrays cannot be loaded", images=images, labels=np.array([None]))
    (tmp_path / "text.npz").write_text("text")
    check("cannot be read as an npz file: ", "text.npz")
    (tmp_path / "tfrecord").write_text("text that is no TFRecord")
    check("cannot be read as TFRecords: ", "tfrecord")
    with tf.io.TFRecordWriter(str(tmp_path / "tfrecord")) as writer:
        writer.write(b"text")
    check("expected `tf.train.Example`s", "tfrecord")
    datasets.write_tfrecords(random_images(2, (4, 6, 1)), [0, 1], tmp_path, part="test")
    check(r"must be \(4, 4, 1\), received \(4, 6, 1\)", "test.tfrecord-00000-of-00001")
