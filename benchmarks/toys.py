"""Residual blocks on two-dimensional densities: a table in Markdown, and a picture.

    python benchmarks/toys.py --picture docs/toys.png

Each density is learned by a chain of blocks from points that are drawn anew in every step. The score is that of
100,000 other points, in nats; beside it is the entropy, which is the best possible one, and that of a Gaussian
with the mean and covariance of the points. It takes five minutes.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from shared import make_parser, print_header, print_row
from tensorflow_probability import distributions as tfd

from tfp_realnvp.bijectors import ActNorm, EstimatedChain, Residual
from tfp_realnvp.layers import LipschitzConvNet, LipschitzDenseNet
from tfp_realnvp.optimizers import Adam

BATCH = 500
SCORED = 100_000
SPREAD = 0.1  # of the moons
SIDE = 200  # of a picture
LARGEST = 4.0


def moons(random, count):
    """Two half circles, with noise."""
    angles = np.pi * random.random(count)
    upper = random.random(count) < 0.5
    x = np.where(upper, np.cos(angles), 1 - np.cos(angles)) - 0.5
    y = np.where(upper, np.sin(angles), 0.5 - np.sin(angles)) - 0.25
    return 2 * (np.stack([x, y], axis=1) + SPREAD * random.standard_normal((count, 2)))


def checkerboard(random, count):
    """Eight squares of 1.5 x 1.5: every second one of sixteen."""
    column, row = random.integers(4, size=count), random.integers(2, size=count)
    corner = np.stack([column, 2 * row + column % 2], axis=1)
    return 1.5 * (corner + random.random((count, 2)) - 2)


DENSITIES = {"two moons": moons, "checkerboard": checkerboard}


class Chain(keras.Model):
    """Residual blocks with an ActNorm before each, over images of one position with two channels."""

    def __init__(self, blocks, channels, dense_layers):
        super().__init__()
        self.nets = [
            LipschitzDenseNet(layers=dense_layers, channels=channels, seed=seed)
            if dense_layers
            else LipschitzConvNet(channels=channels, seed=seed)
            for seed in range(blocks)
        ]
        self.actnorms = []
        for number, net in enumerate(self.nets):
            net.build((None, 1, 1, 2))
            for name in ("center", "log_spread"):
                weight = self.add_weight(shape=(2,), initializer="zeros", name=f"{name}_{number}")
                self.actnorms.append(weight)
        self.built = True

    def distribution(self, step=None):
        """Over [1, 1, 2]; in training with the number of the step."""
        bijectors = []
        for number, net in enumerate(self.nets):
            center, log_spread = self.actnorms[2 * number : 2 * number + 2]

            def network(net=net):
                kernels = net.read_kernels()
                return lambda y, keys=None: net(y, kernels=kernels, keys=keys, step=step)

            bijectors += [ActNorm(center.value, log_spread.value), Residual(network)]
        base = tfd.Independent(tfd.Normal(tf.zeros([1, 1, 2]), 1.0), 3)
        return tfd.TransformedDistribution(base, EstimatedChain(bijectors))


def main():
    """Print the table and draw the picture."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("--picture", type=Path, help="a PNG to write")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--dense-layers", type=int, default=2, help="0: three layers in a row")
    options = parser.parse_args()
    print_header("density", "residual blocks, nats", "entropy", "Gaussian", "parameters", "seconds")
    panels = []
    for name, draw in DENSITIES.items():
        keras.utils.set_random_seed(0)
        model = Chain(options.blocks, options.channels, options.dense_layers)
        started = time.perf_counter()
        learn(model, draw, options.steps)
        seconds = time.perf_counter() - started
        points = draw(np.random.default_rng(1), SCORED).astype(np.float32)
        score = tf.function(lambda rows, model=model: model.distribution().log_prob(rows))
        mean = -np.mean(score(tf.reshape(points, [-1, 1, 1, 2])))
        gaussian = 0.5 * np.log(np.linalg.det(2 * np.pi * np.e * np.cov(points.T)))
        print_row(
            name, f"{mean:.3f}", f"{entropy(draw, points):.3f}", f"{gaussian:.3f}",
            f"{model.count_params():,}", f"{seconds:.0f}",
        )  # fmt: skip
        panels.append((points, density(score), drawn(model)))
    if options.picture:
        show(panels).savefig(options.picture, dpi=100)


def learn(model, draw, steps):
    """Maximum likelihood by Adam, whose learning rate falls to 0 along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    optimizer, random = Adam(schedule, global_clipnorm=1.0), np.random.default_rng(0)
    optimizer.build(model.trainable_variables)

    @tf.function
    def train(points, step):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.distribution(step).log_prob(points))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for step in range(steps):
        points = tf.constant(draw(random, BATCH).reshape(-1, 1, 1, 2), tf.float32)
        train(points, tf.constant(step))


def entropy(draw, points):
    """Exact, or for the moons from a mixture of 2,000 Gaussians along the half circles."""
    if draw is checkerboard:
        return np.log(8 * 1.5**2)
    angles = np.pi * (np.arange(1000) + 0.5) / 1000
    upper = np.stack([np.cos(angles) - 0.5, np.sin(angles) - 0.25], axis=1)
    centers = 2 * np.concatenate([upper, -upper])
    rows = points[:5000]
    squares = np.sum((rows[:, None] - centers) ** 2, axis=2) / (2 * SPREAD) ** 2
    return -np.mean(
        np.log(np.mean(np.exp(-0.5 * squares), axis=1) / (2 * np.pi * (2 * SPREAD) ** 2))
    )


def density(score):
    """On a grid, float32 [SIDE, SIDE], the largest y first."""
    side = np.linspace(-LARGEST, LARGEST, SIDE, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side[::-1]), axis=-1)
    return np.exp(score(tf.reshape(grid, [-1, 1, 1, 2]))).reshape(SIDE, SIDE)


def drawn(model):
    """5,000 samples."""
    sample = tf.function(lambda: model.distribution().sample(5000, seed=[1, 2]))
    return sample().numpy().reshape(-1, 2)


def show(panels):
    """A row for each density: points, what was learned, samples."""
    figure = Figure(figsize=(9, 3 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 3, squeeze=False)
    extent = (-LARGEST, LARGEST, -LARGEST, LARGEST)
    for axes, (points, learned, samples) in zip(rows, panels, strict=True):
        axes[0].scatter(*points[:5000].T, s=1, c="black", linewidths=0)
        axes[1].imshow(learned, extent=extent, cmap="magma")
        axes[2].scatter(*samples.T, s=1, c="black", linewidths=0)
        for axis in axes:
            axis.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    for axis, title in zip(rows[0], ("points", "learned density", "samples"), strict=True):
        axis.set_title(title)
    return figure


if __name__ == "__main__":
    main()
