"""How much of a flow's density lies outside the unit cube, where no images are: a table in Markdown.

    python benchmarks/unit_cube.py saved_models/mnist_0_8

Drawn points outside are clipped. The probabilities of all images add up to the share of points inside, so that
a density confined to the cube would score better by `-log2(share) / dimensions` bits per dimension.
"""

import numpy as np
from internals import RunFolder
from shared import make_parser, print_header, print_row

BATCH = 500


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("run", metavar="RUN", help="a run folder, or one in saved_models")
    parser.add_argument("--num", type=int, default=1000, help="number of points; default: 1000")
    options = parser.parse_args()
    flow = RunFolder(options.run).load_model()
    inside, values, pieces = [], [], range(0, options.num, BATCH)
    for seed, start in enumerate(pieces):
        count = min(BATCH, options.num - start)
        labels = np.resize(flow.labels, count) if flow.labels else None
        shape = [] if flow.labels else [count]
        points = flow.distribution_given(labels).sample(shape, seed=[seed, 0]).numpy()
        is_inside = ((points >= 0) & (points < 1)).reshape(count, -1)
        inside.extend(is_inside.all(axis=1))
        values.append(is_inside.mean())
    share = np.mean(inside)
    gain = f"{-np.log2(share) / flow.dimensions:.4f}" if share else "unknown"
    print_header("points", "wholly inside", "values outside", "bits per dimension to gain")
    print_row(f"{options.num:,}", f"{share:.1%}", f"{1 - np.mean(values):.3%}", gain)


if __name__ == "__main__":
    main()
