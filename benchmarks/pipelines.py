"""How fast a Beam pipeline scores, beside the command `score`: a table in Markdown.

    python benchmarks/pipelines.py [--images 20000] [--rounds 3]

The images are noise of which 80 % is black, 28x28 pixels, in eight npz files; the model is the one in the box.
Each row is a command, as a whole process: its start, which loads TensorFlow and the model, counts. Rows take
turns; times are medians.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from shared import FOLDER, make_parser, print_header, print_row, run_command

FILES = 8
MODEL = FOLDER.parent / "saved_models" / "mnist_0_8"
WORKERS = "--direct_running_mode=multi_processing"


def main():
    """Print the table."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of pipelines")
    parser.add_argument("--model", type=Path, default=MODEL)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        shape = (options.images // FILES, 28, 28, 1)
        parts = []
        for number in range(FILES):
            images = random.integers(256, size=shape, dtype=np.uint8)
            images[random.random(shape) < 0.8] = 0
            np.savez(folder / f"part-{number}.npz", images=images)
            parts.append(images)
        together = np.concatenate(parts)
        labels = np.zeros(len(together), int)
        # as a test split: of images without one, a part would become it
        columns = {"images": together[:8], "labels": labels[:8]}
        tests = {"test_images": together, "test_labels": labels}
        np.savez(folder / "all.npz", **columns, **tests)
        plain = ["score", options.model, "--dataset", f"npz:{folder}/all.npz"]
        pipeline = ["pipeline", "score", options.model, f"{folder}/part-*.npz"]
        ways = {"`score`": (plain, [])}
        for count in options.workers:
            several = [f"--direct_num_workers={count}", WORKERS] if count > 1 else []
            ways[f"a pipeline, workers: {count}"] = pipeline, ["--", *several]
        seconds = {way: [] for way in ways}
        bits = {}
        for turn in range(options.rounds):
            for number, (way, (words, beam)) in enumerate(ways.items()):
                output = ["--output-dir", folder / f"{turn}_{number}"] if beam else []
                started = time.perf_counter()
                printed, _ = run_command(*words, *output, "--json", *beam)
                seconds[way].append(time.perf_counter() - started)
                bits[way] = json.loads(printed)["bits_per_dim"]
    print_header("", "seconds", "images/s", "bits per dimension")
    for way, times in seconds.items():
        median = statistics.median(times)
        print_row(way, f"{median:.0f}", f"{len(together) / median:,.0f}", f"{bits[way]:.4f}")


if __name__ == "__main__":
    main()
