"""One flow of one library, in a process of its own: it does what `compare.py` asks for and takes the time.

    python benchmarks/worker.py LIBRARY FLOW PRECISION [MNIST FOLDER]

It reads a line of JSON for each job from standard input and answers with one line on standard output.
"""

import importlib
import json
import os
import resource
import sys
import time

import numpy as np

IMAGES = 10_240
HELD_OUT = 9
INSTALL = "pip install -e '.[bench]'"


def main():
    """Make the flow, then do the jobs."""
    answer = open_answers()
    library, flow, precision, *mnist = sys.argv[1:]
    images = load_images(*mnist)
    try:
        module = importlib.import_module(f"libraries.{library}")
    except ImportError as error:
        answer(error=f"{library} cannot be imported ({error}). It needs: {INSTALL}")
        return
    serve(lambda: module.make(flow, precision, images[:1000]), images, answer)


def open_answers():
    """A function that writes a line of JSON; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content):
        print(json.dumps(content), file=answers, flush=True)

    return answer


def serve(make, images, answer):
    """Make a model as in `libraries`, then do the jobs of standard input."""
    before = megabytes()
    model = make()
    answer(parameters=model.parameters)
    for line in sys.stdin:
        seconds = work(model, images, **json.loads(line))
        answer(seconds=seconds, megabytes=megabytes() - before)


def work(model, images, *, job, size, times):
    """Seconds that a job takes: a training step of `size` images, their scores, or as many new images."""
    if job == "train":
        index = np.arange(size * times) % len(images)
        batches = images[index].reshape(times, size, *images.shape[1:])
        start = time.perf_counter()
        model.train(batches)
    elif job == "log_prob":
        start = time.perf_counter()
        for _ in range(times):
            model.log_prob(images[:size])
    elif job == "sample":
        start = time.perf_counter()
        for _ in range(times):
            model.sample(size)
    else:
        raise ValueError(f"job must be train, log_prob or sample, received {job!r}.")
    return (time.perf_counter() - start) / times


def load_images(mnist=None):
    """uint8 [10,240, 28, 28, 1]: the digits 0 to 8 of MNIST, or noise that is black at 80 %."""
    if mnist:
        from tfp_realnvp import datasets  # noqa: PLC0415

        return datasets.load(f"idx:{mnist}").train.without([HELD_OUT]).images[:IMAGES]
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(IMAGES, 28, 28, 1), dtype=np.uint8)
    images[rng.random(images.shape) < 0.8] = 0
    return images


def megabytes():
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
