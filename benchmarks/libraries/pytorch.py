"""What the PyTorch libraries share: the preprocessing, the training step, the convolutional network."""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from libraries import ALPHA, BLOCKS, CHANNELS, LEARNING_RATE, LEVELS, SIDE

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_num_threads(len(os.sched_getaffinity(0)))  # the number that TensorFlow uses


def checkerboard() -> np.ndarray:
    """0 for one colour of a checkerboard and 1 for the other, for each pixel of a flattened image."""
    return (np.indices((SIDE, SIDE)).sum(0) % 2).ravel()


class TorchFlow:
    """A flow of one of the libraries, on the logits of images, with Adam.

    Args:
      module: the flow, a `torch.nn.Module`.
      log_prob: a function from logits to log-likelihoods in nats.
      sample: a function from a number to so many logits.
      shape: the shape of the logits, without the batch.
      precision: "float32", or "bfloat16" for PyTorch's autocast.
    """

    def __init__(self, module: nn.Module, log_prob, sample, *, shape, precision: str):
        self._log_prob, self._sample, self._shape = log_prob, sample, shape
        module.to(DEVICE)
        self._optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
        self._autocast = torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16")
        self._module, self._clip = module, False
        self.parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)

    def train(self, batches):
        """A step for each batch."""
        for images in batches:
            self._optimizer.zero_grad()
            loss = -self._nats(images).mean() / images[0].size
            loss.backward()
            if self._clip:
                nn.utils.clip_grad_norm_(self._module.parameters(), 1.0)
            self._optimizer.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def log_prob(self, images):
        """Nats of each image."""
        with torch.inference_mode():
            return self._nats(images).float().cpu().numpy()

    def sample(self, n):
        """New images."""
        with torch.inference_mode():
            with self._autocast:
                logits = self._sample(n)
            points = (torch.sigmoid(logits.float()) - ALPHA) / (1 - 2 * ALPHA)
            images = (points * LEVELS).floor().clamp(0, LEVELS - 1).to(torch.uint8)
            return images.reshape(n, SIDE, SIDE, 1).cpu().numpy()

    def learn(self, images, *, batch_size, every, report):
        """Train without end on images in random order, and call `report` after every `every` steps."""
        rng = np.random.default_rng(0)
        self._clip = True
        step = 0
        while True:
            order = rng.permutation(len(images))[: len(images) // batch_size * batch_size]
            for index in order.reshape(-1, batch_size):
                self.train([images[index]])
                step += 1
                if step % every == 0:
                    report(step, self.log_prob)

    def _nats(self, images):
        images = torch.from_numpy(images).to(DEVICE)
        points = (images.float() + torch.rand(images.shape, device=DEVICE)) / LEVELS
        shares = (ALPHA + (1 - 2 * ALPHA) * points).reshape(len(images), *self._shape)
        log_det = math.log(1 - 2 * ALPHA) - torch.log(shares) - torch.log1p(-shares)
        with self._autocast:
            nats = self._log_prob(torch.logit(shares))
        return nats + log_det.flatten(1).sum(1) - images[0].numel() * math.log(LEVELS)


class ConvResNet(nn.Module):
    """The layers of `tfp_realnvp.layers.conv_resnet`, from kept channels to the parameters of a coupling."""

    hidden_channels = CHANNELS  # spline couplings divide by its root

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, CHANNELS, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            )
            for _ in range(BLOCKS)
        )
        self.last = nn.Conv2d(CHANNELS, outputs, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, kept, context=None):
        """The parameters, in one tensor."""
        features = self.first(kept)
        for block in self.blocks:
            features = features + block(features)
        return self.last(functional.relu(features))
