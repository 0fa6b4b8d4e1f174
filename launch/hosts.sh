#!/usr/bin/env bash
# Several hosts that share --workdir: run this on each with its own PROCESS.
#   COORDINATOR=host0:1234 PROCESSES=4 PROCESS=2 launch/hosts.sh --config=configs/vit.py:cifar100 --workdir=/shared/runs/vit
# When one host dies the others abort after the heartbeat timeout; this script starts each of them again.
set -u
exec "$(dirname "$0")/gpus.sh" --coordinator="$COORDINATOR" --processes="$PROCESSES" --process="$PROCESS" "$@"
