import numpy as np
import pytest
from conftest import random_images
from matplotlib.figure import Figure
from PIL import Image

from tfp_realnvp import views

IMAGES = random_images(12, (14, 14, 1))


def test_grid_holds_every_image_at_its_place():
    canvas = views.grid(IMAGES, columns=5)
    assert canvas.shape == (3 * 15 - 1, 5 * 15 - 1, 1)
    np.testing.assert_array_equal(canvas[15:29, 30:44], IMAGES[7])
    assert np.all(canvas[30:, 30:] == 128)  # where there is no image


def test_grid_of_few_grey_levels():
    images = np.array([0, 8, 16], np.uint8).reshape(3, 1, 1, 1)
    assert views.grid(images, levels=17)[0, ::2, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_png(tmp_path, channels):
    path = tmp_path / "grid.png"
    views.write_png(views.grid(random_images(4, (8, 8, channels)), columns=2), path, scale=3)
    with Image.open(path) as picture:
        assert picture.size == (51, 51)
        assert picture.mode == ("RGB" if channels == 3 else "L")


def test_a_picture_holds_so_many_and_no_more():
    views.check_count(10_000, (28, 28, 1))
    with pytest.raises(ValueError, match="`num` must be at most 18,640"):
        views.check_count(18_641, (28, 28, 1))


def test_png_is_whole_or_not_there(tmp_path, monkeypatch):
    def fails(*args, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(OSError, match="no space"):
        views.write_png(views.grid(IMAGES), tmp_path / "grid.png")
    assert not list(tmp_path.iterdir())


def test_learning_curves_of_several_runs():
    rows = [{"seconds": 60.0 * n, "val_bits_per_dim": score} for n, score in enumerate([9, 2, 1])]
    diverged = [{"seconds": 60.0, "val_bits_per_dim": float("nan")}]
    axes = views.learning_curves({"one": rows, "other": diverged}).axes[0]
    first, _ = axes.get_lines()
    assert first.get_label() == "one" and first.get_xdata().tolist() == [0, 1, 2]
    low, high = axes.get_ylim()
    assert low < 1 and 2 < high < 9  # the worst would make the rest look flat


def test_learning_curve_marks_the_best():
    history = {"epoch": [1, 2, 3], "bits_per_dim": [3, 2, 1.5], "val_bits_per_dim": [3.1, 2.2, 2.3]}
    figure = views.learning_curve(history)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["training", "validation", "best: 2.200 after epoch 2"]
    assert figure.axes[0].get_ylabel() == "bits per dimension"


def test_comparison_has_titles():
    figure = views.comparison({"one": IMAGES[:3], "two": IMAGES[3:6]})
    assert isinstance(figure, Figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one", "two"]


def test_gif_loops(tmp_path):
    latents = np.random.default_rng(0).standard_normal((6, 4, 4, 1))
    images = random_images(6, (4, 4, 1))
    views.write_gif(images, latents, tmp_path / "morph.gif")
    with Image.open(tmp_path / "morph.gif") as picture:
        assert picture.n_frames == 6 and picture.info["loop"] == 0
    assert len(views.morph_strip(images, latents).axes) == 2
