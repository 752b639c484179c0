"""How good drawn pictures are at several temperatures: a table in Markdown.

    python benchmarks/temperatures.py saved_models/mnist_0_8

As `train --score-pictures`: 5,000 pictures beside as many test images, in the features of a classifier of the
labels that the run learned, which is trained first.
"""

from internals import RunFolder, TrainingConfig, load_images
from shared import make_parser, print_header, print_row

from tfp_realnvp import evaluation, hardware

COUNT = 5000


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("run", metavar="RUN", help="a run folder, or one in saved_models")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.9, 0.8, 0.7])
    options = parser.parse_args()
    hardware.use()
    run = RunFolder(options.run)
    images = load_images(TrainingConfig.from_json(run.read_config()))
    train, real = images.train, images.test.images[:COUNT]
    classifier = evaluation.Classifier(train.images, train.labels, levels=images.levels)
    flow = run.load_model()
    if flow.half_precision:
        flow = flow.in_precision(hardware.default_precision())
    print_header("temperature", "clear digits", "density", "coverage", "Frechet distance")
    for temperature in options.temperatures:
        drawn = flow.sample(len(real), temperature=temperature, seed=0).numpy()
        scores = evaluation.score_pictures(classifier, drawn, real)
        shares = (f"{scores[name]:.2f}" for name in ("clear", "density", "coverage"))
        print_row(temperature, *shares, f"{scores['frechet']:.1f}")


if __name__ == "__main__":
    main()
