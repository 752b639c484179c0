"""A SavedModel under load: how fast each signature answers, and whether every answer is right.

    python benchmarks/serving.py [saved_models/mnist_0_8/1] [--seconds 60] [--threads 4]

Several threads send requests through TensorFlow's C++ loader, each as soon as the one before is answered.
Every answer is compared with the one that a single thread received before. The table is in Markdown.
"""

import os
import resource
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
from shared import make_parser, print_header, print_row

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

BATCHES = (1, 8, 32)
SIGNATURES = ("log_prob", "sample", "sample_rows", "sample_rows_png", "encode", "decode")
DIFFERENT = 8  # requests, which are sent by turns


def main():
    """Load, send, print."""
    parser = make_parser(__doc__, mnist=None)
    parser.add_argument("model", nargs="?", type=Path, default=Path("saved_models/mnist_0_8/1"))
    parser.add_argument("--seconds", type=float, default=60.0, help="for all rows together")
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    if not (options.model / "saved_model.pb").is_file():
        sys.exit(f"{options.model} holds no saved_model.pb: name a version's folder.")
    import tensorflow as tf  # noqa: PLC0415  (after its log level)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(options.model))
    size = sum(path.stat().st_size for path in options.model.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB on disk, loaded in {time.perf_counter() - start:.1f} s\n")
    print_header(
        "signature", "batch", "requests", "images/s", "p50, ms", "p99, ms", "wrong", "lost"
    )
    seconds = options.seconds / len(SIGNATURES) / len(BATCHES)
    failed = 0
    for name in SIGNATURES:
        for batch in BATCHES:
            call, requests = prepare(session, loaded.signature_def[name], batch)
            expected = [call(*request) for request in requests]
            answers = load(call, requests, expected, options.threads, seconds)
            failed += show(name, batch, answers, seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(f"\nMemory: {memory:,.0f} MB at most, besides TensorFlow's own.")
    sys.exit(1 if failed else 0)


def prepare(session, signature, batch):
    """(a function that answers a request, the requests)."""
    names = list(signature.inputs)
    call = session.make_callable(
        [info.name for info in signature.outputs.values()],
        [signature.inputs[name].name for name in names],
    )
    random = np.random.default_rng(0)

    def value(name):
        sizes = [size.size for size in signature.inputs[name].tensor_shape.dim]
        shape = [batch if size == -1 else size for size in sizes]
        if name == "images":
            return random.integers(256, size=shape, dtype=np.uint8)
        if name == "latents":
            return random.normal(size=shape).astype(np.float32)
        if name == "seed":
            return random.integers(2**31, size=shape).astype(np.int32)
        return np.full(shape, {"num_samples": batch, "temperature": 0.7}[name])

    return call, [[value(name) for name in names] for _ in range(DIFFERENT)]


def load(call, requests, expected, threads, seconds):
    """For each request (seconds, whether the answer was right), or None if it failed."""
    answers = []
    end = time.perf_counter() + seconds

    def work(number):
        turn = number
        while (start := time.perf_counter()) < end:
            turn = (turn + 1) % len(requests)
            try:
                received = call(*requests[turn])
            except Exception as error:
                print(error, file=sys.stderr)
                answers.append(None)
                continue
            taken = time.perf_counter() - start
            answers.append((taken, all(map(alike, received, expected[turn]))))

    workers = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return answers


def alike(received, expected):
    """Whether two answers agree: floats up to rounding, everything else exactly."""
    if received.dtype.kind == "f":
        return np.allclose(received, expected, rtol=1e-4, atol=1e-4)
    return np.array_equal(received, expected)


def show(name, batch, answers, seconds):
    """Print a row and return the number of wrong or lost answers."""
    given = [answer for answer in answers if answer is not None]
    times = sorted(1000 * taken for taken, _ in given)
    wrong = sum(not right for _, right in given)
    lost = len(answers) - len(given)
    print_row(
        name,
        batch,
        f"{len(answers):,}",
        f"{len(given) * batch / seconds:,.0f}",
        f"{statistics.median(times):.1f}",
        f"{times[int(0.99 * (len(times) - 1))]:.1f}",
        wrong,
        lost,
    )
    return wrong + lost


if __name__ == "__main__":
    main()
