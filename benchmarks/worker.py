"""One flow of one library in a process of its own, which is told what to do and takes the time.

    python benchmarks/worker.py LIBRARY FLOW PRECISION [MNIST FOLDER]

It reads a line of JSON for each job from standard input and answers with one line on standard output. `Worker`
is the other end of these two pipes.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import libraries
import numpy as np
from shared import load_images


class Worker:
    """A process that does jobs, one at a time: see `serve`.

    Args:
      name: of its row in the table.
      *command: a Python script and its arguments; None is left out.
    """

    def __init__(self, name: str, *command: str | Path | None):
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (see `close`)
        self._process = subprocess.Popen(
            [sys.executable, *filter(None, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, job: dict) -> dict:
        """Have a job done, and return its answer."""
        with contextlib.suppress(BrokenPipeError):  # `answer` says why
            print(json.dumps(job), file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict:
        """The next answer. If the process has ended instead, the program ends with what it printed."""
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            sys.exit(f"{self._errors.read()}\n{self.name} ended early; its output is above.")
        content = json.loads(line)
        if "error" in content:
            sys.exit(content["error"])
        return content

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._errors.close()


def main():
    """Make the flow, then do the jobs."""
    answer = open_answers()
    library, flow, precision, *mnist = sys.argv[1:]
    images = load_images(*mnist)
    try:
        module = libraries.load(library)
    except ImportError as error:
        answer(error=str(error))
        return
    serve(lambda: module.make(flow, precision, images[:1000]), images, answer)


def open_answers():
    """A function that writes a line of JSON. Whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content):
        print(json.dumps(content), file=answers, flush=True)

    return answer


def serve(make, images, answer):
    """Make a model (see `libraries`) and answer with its parameters, then do the jobs of standard input."""
    before = megabytes()
    model = make()
    answer(parameters=model.parameters)
    for line in sys.stdin:
        seconds = work(model, images, **json.loads(line))
        answer(seconds=seconds, megabytes=megabytes() - before)


def work(model, images, *, job, size, times):
    """Do a job some times, and return how many seconds one took.

    Args:
      model: see `libraries`.
      images: uint8 [n, 28, 28, 1].
      job: "train" for a training step, "log_prob" for scoring images, "sample" for drawing them.
      size: images in a step, or to score or draw.
      times: how often.
    """
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


def megabytes():
    """The highest memory use of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
