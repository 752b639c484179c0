#!/bin/bash
#SBATCH --job-name=flow
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
# sbatch deploy/workers/slurm.sh --dataset mnist --hold-out 9 --time-limit 3h
# From the top folder of the project, which all nodes must see. SIGTERM comes two minutes before the time is up: the
# run is saved then, and the same command goes on with it.
set -eu
port=$((20000 + SLURM_JOB_ID % 20000))
WORKERS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/\$/:$port/" | paste -sd, -)
export WORKERS RUN_DIR="${RUN_DIR:-$PWD/runs/slurm}"
srun --kill-on-bad-exit=0 sh -c 'INDEX=$SLURM_PROCID exec deploy/workers/worker.sh "$@"' worker "$@"
