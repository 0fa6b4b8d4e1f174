#!/usr/bin/env bash
# One machine with any number of GPUs: data-parallel over all of them. Starts again after a crash or a preemption, goes on
# from the last checkpoint, and stops trying when the run is done or the config is at fault.
#   launch/gpus.sh --config=configs/vit.py:cifar100 --workdir=runs/vit_cifar100
set -u
for attempt in 1 2 3 4 5; do
    python -m s4jax.main "$@"
    code=$?
    case $code in
        0 | 2 | 130) exit $code ;;      # done; a mistake to mend; Ctrl-C
    esac
    echo "launch: s4jax ended with $code (start $attempt of 5); going on in 10 s" >&2
    sleep 10
done
exit $code
