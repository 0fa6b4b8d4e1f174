#!/usr/bin/env bash
# Runs s4jax on every worker of a TPU pod: asks for the pod or takes the one that is there, waits
# until it is ready, copies this repository, installs it, starts the run and follows the log of
# worker 0. After a preemption it asks for a new pod, and the run goes on there.
#
#   launch/tpu_pod.sh NAME ZONE --config=configs/vit.py:cifar100 --workdir=/mnt/runs/vit
#   launch/tpu_pod.sh NAME ZONE --stop        # asks the run to save and to stop; the pod stays
#   launch/tpu_pod.sh NAME ZONE --delete      # deletes the pod, which costs money until then
#
# It needs `gcloud`, with a project and an account. Ctrl-C only ends the following: the run goes on,
# and the same command follows it again. The files copied are those that git knows or would add.
#
# | variable         | default             | what it is                                           |
# | ---------------- | ------------------- | ---------------------------------------------------- |
# | ACCELERATOR_TYPE | v5litepod-16        | the pod to ask for                                   |
# | RUNTIME_VERSION  | v2-alpha-tpuv5-lite | its software; each ACCELERATOR_TYPE has its own      |
# | SPOT             | 1                   | 1: cheap, and may be taken away; 0: on demand        |
# | SETUP            | nothing             | a command for each worker before the run. It mounts  |
# |                  |                     | the folder of --workdir, which all workers share:    |
# |                  |                     | 'sudo mount SERVER:/share /mnt/runs'                 |
# | PASS             | nothing             | names of variables to pass on, e.g. 'TFDS_DATA_DIR'  |
# | ATTEMPTS, PAUSE, | see local.sh        | passed on; ATTEMPTS is also how often in a row       |
# | GRACE            |                     | gcloud may fail                                      |
# | POLL             | 30                  | seconds between two looks at the pod                 |
# | DRY_RUN          | 0                   | 1: print the commands, run nothing                   |
#
# The exit code is the one of launch/local.sh on worker 0, or of the gcloud command that failed.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

[[ $# -ge 3 && $1 != -* && $2 != -* ]] ||
    mistake 'launch/tpu_pod.sh NAME ZONE --config=FILE --workdir=FOLDER (or --stop, or --delete)'
name=$1 zone=$2
shift 2
refuse_bucket "$@"
attempts=${ATTEMPTS:-5} poll=${POLL:-30}

requests=(gcloud compute tpus queued-resources)
workers=(gcloud compute tpus tpu-vm)
describe=("${requests[@]}" describe "$name" "--zone=$zone" '--format=value(state.state)')
create=("${requests[@]}" create "$name" "--node-id=$name" "--zone=$zone"
    "--accelerator-type=${ACCELERATOR_TYPE:-v5litepod-16}"
    "--runtime-version=${RUNTIME_VERSION:-v2-alpha-tpuv5-lite}")
[ "${SPOT:-1}" = 0 ] || create+=(--spot)
delete=("${requests[@]}" delete "$name" "--zone=$zone" --force --quiet)
on_all=("${workers[@]}" ssh "$name" "--zone=$zone" --worker=all --quiet)
on_first=("${workers[@]}" ssh "$name" "--zone=$zone" --worker=0 --quiet)

# ---- what the workers do. The run is a process group of its own there, which outlives the
# connection: run.pid holds its number, run.log what it prints, run.code at last its exit code.
environment=
for variable in ATTEMPTS PAUSE GRACE ${PASS:-}; do
    [ -z "${!variable+set}" ] ||
        printf -v environment '%s%s=%q ' "$environment" "$variable" "${!variable}"
done
printf -v arguments ' %q' "$@"
# the trap keeps this shell alive at SIGTERM, so that it still writes the exit code
job="trap : TERM; ${environment}launch/local.sh 1 --distributed$arguments; echo \$? >~/run.code"
printf -v job %q "$job"
# s4jax needs a newer Python than a TPU worker has: pip brings uv, and uv brings the Python
start="if kill -0 -- \"-\$(cat ~/run.pid 2>/dev/null)\" 2>/dev/null; then
    echo 'launch: a run is going on here and is left alone' >&2
    exit
fi
set -e
mkdir -p ~/s4jax
cd ~/s4jax
tar -xzf ~/s4jax.tar.gz
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --user --quiet uv
[ -d ~/venv ] || python3 -m uv venv --quiet --python 3.12 ~/venv
VIRTUAL_ENV=~/venv python3 -m uv pip install --quiet --editable '.[tpu]'
${SETUP:-:}
rm -f ~/run.code
PATH=~/venv/bin:\$PATH setsid bash -c $job >~/run.log 2>&1 </dev/null &
echo \$! >~/run.pid"
# shellcheck disable=SC2016  # the shell of the worker fills these in
follow='tail -n 100 -F --pid="$(cat ~/run.pid)" ~/run.log'
# shellcheck disable=SC2016
stop='kill -TERM -- "-$(cat ~/run.pid)"'
ended='cat ~/run.code'

dry && folder=. || folder=$(mktemp -d)
copy=("${workers[@]}" scp "$folder/s4jax.tar.gz" "$name:s4jax.tar.gz" "--zone=$zone" --worker=all
    --quiet)

case $1 in
    --delete) run "${delete[@]}"; exit ;;
    --stop) run "${on_all[@]}" "--command=$stop"; exit ;;
esac
if dry; then
    show "${describe[@]}"
    show "${create[@]}"
    echo "# when $name is ACTIVE, with the files of this repository in s4jax.tar.gz:"
    show "${copy[@]}"
    show "${on_all[@]}" "--command=$start"
    show "${on_first[@]}" "--command=$follow"
    show "${on_first[@]}" "--command=$ended"
    echo '# after a preemption, and then all of the above again:'
    show "${delete[@]}"
    exit 0
fi

trap 'rm -rf "$folder"' EXIT
child=
# shellcheck disable=SC2329  # the traps call it
leave() {
    [ -z "$child" ] || kill -TERM -- "-$child" 2>/dev/null
    say 'a run that has started goes on: the same command follows it, --stop stops it'
    exit "$1"
}
trap 'leave 130' INT
trap 'leave 143' TERM
# Runs a command that may take long, so that a signal ends it at once (bash would wait for it).
await() {
    local code
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    wait "$child"
    code=$?
    child=
    return $code
}

# Sets `state`: ACTIVE, WAITING_FOR_RESOURCES, …, or NONE where there is no such pod.
look() {
    state=$("${describe[@]}" 2>"$folder/errors") && return
    local code=$?
    state=NONE
    grep -q NOT_FOUND "$folder/errors" && return
    cat "$folder/errors" >&2
    return $code
}

ask=1      # whether to ask for the pod if there is none: not if somebody has deleted it meanwhile
ready() {
    look || return
    while [ "$state" != ACTIVE ]; do
        say "$name: $state"
        case $state in
            NONE)
                [ $ask = 1 ] || { say "$name was deleted" && exit 1; }
                await "${create[@]}" || exit ;;
            SUSPENDED)      # taken away: such a pod never comes back, a new one has to be asked for
                await "${delete[@]}" || return
                ask=1 ;;
            FAILED)
                say "there will be no such pod: see why with 'describe', then --delete it"
                exit 1 ;;
            *)
                ask=0
                await sleep "$poll" ;;
        esac
        look || return
    done
    ask=0
}

pack() (
    set -o pipefail
    cd "$(dirname "$0")/.." && git ls-files -z --cached --others --exclude-standard |
        tar -czf "$folder/s4jax.tar.gz" --ignore-failed-read --null --files-from=-
)

pack || mistake 'the repository cannot be packed: it has to be a clone that git knows'
look || exit
for ((failed = 0; failed < attempts; )); do
    result=
    if ready && await "${copy[@]}" && await "${on_all[@]}" "--command=$start"; then
        failed=0
        await "${on_first[@]}" "--command=$follow"
        # empty where the run has not ended: then the connection or the pod is lost
        result=$("${on_first[@]}" "--command=$ended" 2>/dev/null)
        case $result in 0 | 2) exit "$result" ;; esac
    else
        code=$?
        failed=$((failed + 1))
    fi
    await sleep "$poll"      # it takes a while until a preemption can be seen
    # a run also ends when its pod is taken away, and then it goes on; else this is its last word
    if [ -n "$result" ] && { ! look || [ "$state" = ACTIVE ]; }; then exit "$result"; fi
done
say "gcloud failed $failed times in a row; a run that has started goes on"
exit "$code"
