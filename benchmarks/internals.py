"""What the benchmarks use of `tfp_realnvp` that is not public. If a name moves, only this file changes."""

from tfp_realnvp.compute import blocks
from tfp_realnvp.compute.sharding import in_shards
from tfp_realnvp.flows.options import OPTIONS
from tfp_realnvp.training.average_weights import AverageWeights
from tfp_realnvp.training.budget import Budget, CountSteps, StopInTime
from tfp_realnvp.training.config import TrainingConfig
from tfp_realnvp.training.divergence import StopWhenDiverged
from tfp_realnvp.training.goals import GOALS
from tfp_realnvp.training.images import RunImages, load_images, training_batches
from tfp_realnvp.training.learning_rate import LearningRate
from tfp_realnvp.training.loop import TrainingLoop
from tfp_realnvp.training.progress import ShowProgress
from tfp_realnvp.training.run_folder import RunFolder
from tfp_realnvp.training.runs import build_flow

__all__ = [
    "GOALS",
    "OPTIONS",
    "AverageWeights",
    "Budget",
    "CountSteps",
    "LearningRate",
    "RunFolder",
    "RunImages",
    "ShowProgress",
    "StopInTime",
    "StopWhenDiverged",
    "TrainingConfig",
    "TrainingLoop",
    "blocks",
    "build_flow",
    "in_shards",
    "load_images",
    "training_batches",
]
