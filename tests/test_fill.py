"""What is missing of an image: masks, flows that are told the rest, completions, the command."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import EVERY_FLOW, FLOWS, perturb, random_images
from serving_double import Session, rest_server

from tfp_realnvp import views
from tfp_realnvp.client import RestClient
from tfp_realnvp.flows import missing
from tfp_realnvp.queries import NAMES, check_mask, fill_missing, named_mask
from tfp_realnvp.serving import export
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.images import training_batches

IMAGES = random_images(5, (4, 4, 1))
LOWER = named_mask("lower", (4, 4, 1))


@pytest.fixture(scope="module", params=EVERY_FLOW)
def told(request):
    """A flow that is told the rest of an image."""
    flow = FLOWS[request.param](context_shape=(4, 4, 2))
    masks = missing.random_masks(1000, (4, 4, 1), seed=[0, 0])
    flow.adapt(missing.hide(random_images(1000, (4, 4, 1)), masks))
    return perturb(flow, 0.1)


def test_what_is_observed_stays(told):
    filled = fill_missing(told, IMAGES, LOWER, n=3, seed=1)
    assert filled.shape == (5, 3, 4, 4, 1) and filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[:, :, :2], np.repeat(IMAGES[:, None, :2], 3, axis=1))
    assert np.all(np.any(filled[:, 0] != filled[:, 1], axis=(1, 2, 3)))
    np.testing.assert_array_equal(filled, fill_missing(told, IMAGES, LOWER, n=3, seed=1))


def test_what_is_missing_is_not_looked_at(told):
    other = np.where(LOWER, IMAGES, 255 - IMAGES)
    for images in (IMAGES, other):
        filled = fill_missing(told, images, LOWER, n=2, seed=1)
        np.testing.assert_array_equal(filled, fill_missing(told, IMAGES, LOWER, n=2, seed=1))


def test_what_is_observed_matters(told):
    other = np.where(LOWER, 255 - IMAGES, IMAGES)
    one, another = (
        missing.log_prob_of_missing(told, images, LOWER[None].repeat(5, 0)).numpy()
        for images in (IMAGES, other)
    )
    assert np.all(np.abs(one - another) > 1e-3)


def test_a_flow_of_whole_images_cannot(small):
    with pytest.raises(ValueError, match="must be one that is told what is observed"):
        fill_missing(small(), IMAGES, LOWER)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mask": np.ones((4, 4))}, TypeError, "`mask` must be bool"),
        ({"mask": np.ones((4, 4), bool)}, ValueError, "nothing is missing of image 0"),
        ({"mask": np.zeros((4, 4, 1), bool)}, ValueError, "everything is missing of image 0"),
        ({"mask": np.ones((4, 5), bool)}, ValueError, r"shape \[4, 4\], .* received \[4, 5\]"),
        ({"mask": LOWER[None].repeat(3, 0)}, ValueError, r"received \[3, 4, 4, 1\]"),
        ({"n": 0}, ValueError, "`n` must be at least 1, received 0"),
        ({"images": IMAGES[0]}, ValueError, "one batch axis"),
        ({"images": IMAGES[:, :3]}, ValueError, "`images` must have the shape"),
    ],
)  # fmt: skip
def test_bad_input(told, change, error, words):
    with pytest.raises(error, match=words):
        fill_missing(told, **{"images": IMAGES, "mask": LOWER, **change})


def test_an_image_with_nothing_missing_is_named():
    masks = np.stack([LOWER, np.ones_like(LOWER)])
    with pytest.raises(ValueError, match="nothing is missing of image 1"):
        check_mask(masks, IMAGES[:2])


@pytest.mark.parametrize("name", NAMES)
def test_named_masks(name):
    mask = named_mask(name, (8, 12, 3))
    assert mask.shape == (8, 12, 1) and mask.dtype == bool
    assert np.mean(~mask) == (0.25 if name == "square" else 0.5)
    with pytest.raises(ValueError, match="`mask` must be one of lower, upper"):
        named_mask("middle", (8, 8, 1))


def test_random_masks():
    """All three kinds, and nothing or everything is never missing."""
    masks = missing.random_masks(900, (12, 10, 1), seed=[1, 2]).numpy()[..., 0]
    shares = (~masks).mean(axis=(1, 2))
    assert shares.min() > 0.02 and shares.max() < 0.9
    rows = (~masks).any(axis=2).mean(axis=1), (~masks).any(axis=1).mean(axis=1)
    sides = (rows[0] == 1) ^ (rows[1] == 1)
    rectangles = (rows[0] < 1) & (rows[1] < 1)
    for kind in (sides, rectangles):
        assert 0.25 < kind.mean() < 0.42
    np.testing.assert_array_equal(
        masks[..., None], missing.random_masks(900, (12, 10, 1), seed=[1, 2])
    )


def test_context_and_hidden_images():
    images, mask = np.array([[[[16], [4]]]], np.uint8), np.array([[[[True], [False]]]])
    context = missing.tell(images, mask, levels=17)
    np.testing.assert_array_equal(context[0, 0], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(missing.hide(images, mask).numpy().ravel(), [0, 4])


def test_batches_have_holes():
    images = random_images(40, (4, 4, 1))
    make = {"batch_size": 8, "seed": 1, "fill_levels": 256}
    batches = list(training_batches(images, **make).take(4))
    for batch in batches:
        observed = batch["context"][..., 1:].numpy().astype(bool)
        assert np.all(batch["images"].numpy()[observed] == 0)
        assert 0 < observed.mean() < 1
    later = next(iter(training_batches(images, first_step=2, **make)))
    tf.nest.map_structure(np.testing.assert_array_equal, later, batches[2])
    labelled = {"images": images, "labels": np.arange(40)}
    assert set(next(iter(training_batches(labelled, **make)))) == {"images", "labels", "context"}


def test_no_scores_of_pictures_where_whole_ones_cannot_be_drawn():
    with pytest.raises(ValueError, match="`score_pictures` is for flows that draw whole images"):
        TrainingConfig(fill=True, score_pictures=True)


@pytest.mark.slow
def test_the_command(call, tmp_path):
    """Trained for seconds, a flow knows more of the rest of a digit than the digits' mean tells."""
    run = tmp_path / "run"
    size = ["--scales", 1, "--couplings", 4, "--channels", 16, "--blocks", 1, "--batch-size", 64]
    status, _, errors = call("train", "--fill", *size, "--epochs", 6, "--run-dir", run)
    assert status == 0, errors
    status, printed, errors = call("fill", run, "--mask", "upper", "--images", 100, "--num", 8)
    assert status == 0 and "8 completions of 100 images" in printed, errors
    with np.load(run / "filled_upper" / "completions.npz") as columns:
        observed, mask, completions = (
            columns[name] for name in ("observed", "mask", "completions")
        )
    assert completions.shape == (100, 8, 8, 8, 1)
    np.testing.assert_array_equal(
        np.broadcast_to(observed[:, None], completions.shape)[:, :, mask[..., 0]],
        completions[:, :, mask[..., 0]],
    )
    assert (run / "filled_upper" / "completions.png").stat().st_size > 1000

    holes = tmp_path / "holes.png"
    views.write_png(named_mask("left", (8, 8, 1)) * np.uint8(255), holes)
    status, printed, errors = call("fill", run, "--mask", holes, "--num", 2, "--json")
    assert status == 0 and '"missing": 0.5' in printed, errors
    status, _, errors = call("fill", run, "--mask", "middle")
    assert status == 2 and "--mask must be one of lower" in errors
    status, _, errors = call("fill", run, "--mask", tmp_path / "none.png")
    assert status == 2 and "there is no file" in errors
    status, _, errors = call("sample", run)
    assert status == 2 and "needs a context" in errors


@pytest.mark.slow
@pytest.mark.parametrize("labels", [(), (3, 5)])
def test_served(labels, tmp_path):
    flow = FLOWS["realnvp"](levels=17, labels=labels, context_shape=(4, 4, 2))
    images = random_images(1000, (4, 4, 1), levels=17)
    flow.adapt(missing.hide(images, missing.random_masks(1000, (4, 4, 1), seed=[0, 0])))
    perturb(flow)
    session = Session(export(flow, tmp_path))
    images, mask = images[:5].copy(), np.repeat(LOWER[None], 5, axis=0).reshape(5, 4, 4, 1)
    images[~mask] = 255  # anything
    seeds, ones = np.int32([[number, 1] for number in range(5)]), np.ones(5, np.float32)
    told = {"labels": np.int32([3, 5, 3, 5, 5])} if labels else {}
    with rest_server(session, "fill") as url:
        filled = RestClient("fill", url=url).fill(images, mask, seeds, ones, **told)
    for row in range(5):
        label = told["labels"][row : row + 1] if told else None
        one = missing.complete(
            flow, images[row : row + 1], mask[row : row + 1], label, seed=seeds[row]
        )
        np.testing.assert_array_equal(filled[row], one[0])
    inputs = {"images": images, "mask": mask, "seed": seeds, "temperature": ones, **told}
    pngs = session.run("fill_png", inputs)["images_bytes"]
    assert pngs.shape == (5,)
    for change, words in (
        ({"mask": mask[:4]}, "`mask` must have as many rows"),
        ({"seed": seeds[:4]}, "`seed` must have as many rows"),
        ({"mask": ~np.zeros_like(mask)}, r"`images` must be in \[0, 16\] where `mask` is true"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            session.run("fill", inputs | change)
    session.close()
