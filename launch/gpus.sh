#!/usr/bin/env bash
# All GPUs of this machine in one process:
#
#   launch/gpus.sh --config=configs/vit.py:cifar100 --workdir=runs/vit
#
# The variables and exit codes are those of launch/local.sh.
exec "$(dirname "$0")/local.sh" 1 "$@"
