"""Any number of images, drawn to files: the same images as at once, and interrupted work goes on."""

import json
import zipfile

import numpy as np
import pytest
from conftest import FLOWS, of_dense_runs, perturb, random_images
from PIL import Image

from tfp_realnvp.queries import draw, draw_to_folder, draw_to_npz

BLOCK = 8  # images


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(draw, "rows_of_block", lambda shape: BLOCK)


@pytest.fixture(scope="module", params=[(), (3, 5)], ids=["plain", "conditional"])
def flow(request):
    flow = FLOWS["realnvp"](labels=request.param)
    flow.adapt(random_images(1000, (4, 4, 1)))
    return perturb(flow, 0.1)


class StoppedError(Exception):
    """Stands for a kill between two blocks."""


def interrupt_after(count):
    def on_images(done):
        if done >= count:
            raise StoppedError

    return on_images


def test_rows_of_a_sample(flow):
    labels = None if not flow.labels else np.resize(flow.labels, 11)
    all_images = flow.sample(11, labels, seed=5).numpy()
    some = flow.sample_rows(4, 11, None if labels is None else labels[4:], seed=5)
    np.testing.assert_array_equal(some, all_images[4:])
    for rows in ((2, 8), (4, 4), (-4, 4)):
        with pytest.raises(ValueError, match="`start` must be a multiple of 4 and below `end`"):
            flow.sample_rows(*rows)


def test_npz_holds_what_sample_draws(flow, tmp_path):
    counts = []
    path = draw_to_npz(flow, 19, tmp_path / "drawn.npz", seed=2, on_images=counts.append)
    assert counts == [8, 16, 19]
    with np.load(path) as columns:
        assert set(columns) == ({"images", "labels"} if flow.labels else {"images"})
        labels = columns["labels"] if flow.labels else None
        np.testing.assert_array_equal(columns["images"], flow.sample(19, labels, seed=2))
    assert [file.name for file in tmp_path.iterdir()] == ["drawn.npz"]
    with pytest.raises(FileExistsError, match="is there already"):
        draw_to_npz(flow, 19, path, seed=2)


def test_interrupted_npz_goes_on(flow, tmp_path):
    whole = draw_to_npz(flow, 30, tmp_path / "whole.npz", seed=2)
    path = tmp_path / "drawn.npz"
    with pytest.raises(StoppedError):
        draw_to_npz(flow, 30, path, seed=2, on_images=interrupt_after(16))
    assert not path.exists()
    first = tmp_path / "drawn.npz.parts" / "000000000.npy"
    written = first.stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="a part of another drawing"):
        draw_to_npz(flow, 30, path, seed=3)
    with pytest.raises(StoppedError):
        draw_to_npz(flow, 30, path, seed=2, on_images=interrupt_after(24))
    assert first.stat().st_mtime_ns == written
    draw_to_npz(flow, 30, path, seed=2)
    assert path.read_bytes() == whole.read_bytes() and zipfile.is_zipfile(path)


def test_interrupted_folder_goes_on(flow, tmp_path):
    folder = tmp_path / "drawn"
    with pytest.raises(StoppedError):
        draw_to_folder(flow, 12, folder, labels=flow.labels, seed=2, on_images=interrupt_after(8))
    draw_to_folder(flow, 12, folder, labels=flow.labels, seed=2)
    labels = np.resize(flow.labels, 12) if flow.labels else None
    files = sorted(folder.glob("*.png"))
    ending = "_3" if flow.labels else ""
    assert len(files) == 12 and files[0].name == f"000000000{ending}.png"
    images = np.stack([np.asarray(Image.open(file)) for file in files])[..., None]
    np.testing.assert_array_equal(images, flow.sample(12, labels, seed=2))
    assert json.loads((folder / draw.PLAN).read_text())["images"] == 12
    (folder / draw.PLAN).unlink()
    with pytest.raises(FileExistsError, match="must be new or empty"):
        draw_to_folder(flow, 12, folder)


def test_bad_drawings(flow, tmp_path):
    with pytest.raises(ValueError, match="`n` must be at least 1"):
        draw_to_npz(flow, 0, tmp_path / "a.npz")
    with pytest.raises(ValueError, match="labels"):
        draw_to_folder(flow, 4, tmp_path / "a", labels=[4])
    with pytest.raises(ValueError, match="one without a context"):
        draw_to_folder(FLOWS["realnvp"](context_shape=(3,)), 4, tmp_path / "a")
    with pytest.raises(ValueError, match="`temperature` must be above 0"):
        draw_to_npz(flow, 4, tmp_path / "a.npz", temperature=0)
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.slow
@of_dense_runs
def test_the_command(call, run_dir, tmp_path):
    status, printed, errors = call("sample", run_dir, "--num", 1500, "--output", tmp_path / "a.npz")
    assert status == 0 and "1,500 images" in printed, errors
    with np.load(tmp_path / "a.npz") as columns:
        assert columns["images"].shape == (1500, 8, 8, 1)
    assert call("sample", run_dir, "--num", 5, "--output", tmp_path / "folder")[0] == 0
    assert len(list((tmp_path / "folder").glob("*.png"))) == 5
    status, _, errors = call("sample", run_dir, "--num", 6, "--output", tmp_path / "folder")
    assert status == 2 and "another drawing" in errors
