"""How exact a flow is in bfloat16, beside float32: a table in Markdown.

    python benchmarks/precision.py RUN --mnist FOLDER [--images 1000]

RUN is a run folder, or saved_models/mnist_0_8. Both rows have the same weights. Test images are scored, encoded
and decoded.
"""

import numpy as np
from internals import RunFolder
from shared import learned_digits, make_parser, print_header, print_row

from tfp_realnvp import evaluation


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist="required")
    parser.add_argument("run", metavar="RUN", help="a run folder, or one in saved_models")
    parser.add_argument("--images", type=int, default=1000, help="how many; default: 1000")
    options = parser.parse_args()
    images = learned_digits(options.mnist, "test").images[: options.images]
    saved = RunFolder(options.run).load_model()
    print_header(
        "precision",
        "bits per dimension",
        "images that come back",
        "pixels that do not",
        "worst latent",
    )
    for precision in ("float32", "mixed_bfloat16"):
        flow = saved.in_precision(precision)
        bits = evaluation.score(flow.log_prob, images)["bits_per_dim"]
        latents = flow.encode(images)
        wrong = flow.decode(latents).numpy() != images
        points = flow.bijector.forward(latents)
        copy = np.array(points)  # for `points` itself, TFP's cache would return `latents`
        again = flow.bijector.inverse(copy)
        exact = np.mean(~wrong.any(axis=(1, 2, 3)))
        error = np.abs(again - latents).max()
        print_row(precision, f"{bits:.4f}", f"{exact:.1%}", f"{wrong.mean():.3%}", f"{error:.2g}")


if __name__ == "__main__":
    main()
