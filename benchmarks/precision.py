"""What scoring and drawing in bfloat16 costs in exactness: a table in Markdown.

    python benchmarks/precision.py RUN --mnist FOLDER

RUN is a run folder, or saved_models/mnist_0_8. Both rows have the same weights; 1,000 test images.
"""

import argparse
import os

import numpy as np

from tfp_realnvp import datasets, evaluation
from tfp_realnvp.training.run_folder import RunFolder


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--mnist", default=os.environ.get("MNIST_DIR"), required=False)
    options = parser.parse_args()
    if not options.mnist:
        parser.error("--mnist FOLDER, or MNIST_DIR, must name the folder with the four idx files.")
    images = datasets.load(f"idx:{options.mnist}").test.without([9]).images[:1000]
    saved = RunFolder(options.run).load_model()
    print(
        "| precision | bits per dimension | images that come back | pixels that do not | worst latent |"
    )
    print("|---|---|---|---|---|")
    for precision in ("float32", "mixed_bfloat16"):
        flow = saved.in_precision(precision)
        bits = evaluation.score(flow.log_prob, images)["bits_per_dim"]
        latents = flow.encode(images)
        wrong = flow.decode(latents).numpy() != images
        points = flow.bijector.forward(latents)
        again = flow.bijector.inverse(
            np.array(points)
        )  # a copy: TFP's cache would return `latents`
        exact = np.mean(~wrong.any(axis=(1, 2, 3)))
        error = np.abs(again - latents).max()
        print(f"| {precision} | {bits:.4f} | {exact:.1%} | {wrong.mean():.3%} | {error:.2g} |")


if __name__ == "__main__":
    main()
