#!/usr/bin/env bash
# A TPU pod: the same command on every worker, which find each other.
#   launch/tpu_pod.sh NAME ZONE --config=configs/vit.py:cifar100 --workdir=gs-fuse-or-nfs/runs/vit
set -eu
name=$1 zone=$2
shift 2
gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
    --command="cd s4jax && pip install -q -e '.[tpu]' && launch/gpus.sh --distributed $(printf '%q ' "$@")"
