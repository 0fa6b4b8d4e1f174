#!/usr/bin/env bash
# Several hosts that share --workdir: run this on each of them, with its own PROCESS.
#
#   export COORDINATOR=host0:1234 PROCESSES=4
#   PROCESS=2 launch/hosts.sh --config=configs/vit.py:cifar100 --workdir=/shared/runs/vit
#
# | variable    | default | what it is                                        |
# | ----------- | ------- | ------------------------------------------------- |
# | COORDINATOR | needed  | host:port of process 0, a port that is free there |
# | PROCESSES   | needed  | number of hosts                                   |
# | PROCESS     | needed  | which of them this is, from 0                     |
#
# The other variables and the exit codes are those of launch/local.sh. When one host dies, JAX ends
# the processes of the others after its heartbeat timeout (100 s), and the launcher of each host
# starts its own process again.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
for name in COORDINATOR PROCESSES PROCESS; do
    [ -n "${!name:-}" ] || mistake "$name is not set: see the table in launch/hosts.sh"
done
exec "$(dirname "$0")/local.sh" 1 "--coordinator=$COORDINATOR" "--processes=$PROCESSES" \
    "--process=$PROCESS" "$@"
