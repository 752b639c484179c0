#!/bin/sh
# Trains as one of several workers: goes on with the run if there is one, and starts it otherwise.
#   WORKERS  their addresses, "host0:2222,host1:2222", the chief's first
#   INDEX    the number of this worker, from 0
#   RUN_DIR  a folder that all workers share
# The arguments are the options of `tfp-realnvp train`.
set -eu
quoted=$(printf '%s' "$WORKERS" | sed 's/[^,]*/"&"/g')
export TF_CONFIG="{\"cluster\": {\"worker\": [$quoted]}, \"task\": {\"type\": \"worker\", \"index\": $INDEX}}"
if [ -e "$RUN_DIR/config.json" ]; then
    set -- "$@" --resume
fi
exec tfp-realnvp train --run-dir "$RUN_DIR" "$@"
