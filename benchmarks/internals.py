"""What the benchmarks use of `tfp_realnvp` that is not public. If a name moves, only this file changes."""

from tfp_realnvp.compute.sharding import in_shards
from tfp_realnvp.training import callbacks
from tfp_realnvp.training.images import training_batches
from tfp_realnvp.training.run_folder import RunFolder
from tfp_realnvp.training.session import STEPS_A_CALL

__all__ = ["STEPS_A_CALL", "RunFolder", "callbacks", "in_shards", "training_batches"]
