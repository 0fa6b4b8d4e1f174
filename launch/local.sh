#!/usr/bin/env bash
# Runs s4jax on this machine as N processes, and starts all of them again when one dies.
#
#   launch/local.sh N --config=configs/vit.py:cifar100 --workdir=runs/vit
#
# N is usually 1: one process uses all GPUs or the whole TPU of its machine. All other arguments are
# those of `python -m s4jax.main`. The environment is passed on.
#
# | variable            | default      | what it is                                                |
# | ------------------- | ------------ | --------------------------------------------------------- |
# | DEVICES_PER_PROCESS | an equal     | GPUs of each process; without a GPU: simulated devices of |
# |                     | share        | each process (XLA_FLAGS), by default one                  |
# | CUDA_VISIBLE_DEVICES| all GPUs     | the GPUs to share; empty: none                            |
# | JAX_PLATFORMS       | JAX chooses  | cpu: no GPU is used, whatever the machine has             |
# | ATTEMPTS            | 5            | starts in all, the first one included                     |
# | PAUSE               | 10           | seconds between two starts                                |
# | GRACE               | 5            | when one process has died: seconds that the others get to |
# |                     |              | end, before kill -9                                       |
# | PORT                | a free one   | where process 0 waits for the others                      |
# | DRY_RUN             | 0            | 1: print the commands, run nothing                        |
#
# SIGTERM and SIGINT go on to every process; the launcher then waits for all of them.
#
# | exit code | meaning                                                  | started again? |
# | --------- | -------------------------------------------------------- | -------------- |
# | 0         | the run is complete                                      | no             |
# | 2         | a mistake in the command, config or data                 | no             |
# | 130, 143  | stopped by SIGINT, SIGTERM; the same command goes on     | no             |
# | other     | a crash; after the last start, its exit code             | yes            |
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

count=${1:-}
[[ $count =~ ^[1-9][0-9]*$ ]] ||
    mistake 'how many processes? launch/local.sh N --config=FILE --workdir=FOLDER'
shift
for name in DEVICES_PER_PROCESS ATTEMPTS PORT; do
    [[ ${!name:-1} =~ ^[1-9][0-9]*$ ]] || mistake "$name=${!name} is not a number above 0"
done
for name in PAUSE GRACE; do
    [[ ${!name:-0} =~ ^[0-9]+$ ]] || mistake "$name=${!name} is not a number of seconds"
done
attempts=${ATTEMPTS:-5} pause=${PAUSE:-10} grace=${GRACE:-5} each=${DEVICES_PER_PROCESS:-}
refuse_bucket "$@"
if [ "$count" -gt 1 ]; then
    for argument in "$@"; do
        case $argument in
            --coordinator* | --process* | --distributed*)
                mistake "$argument is set by this launcher when it starts $count processes" ;;
        esac
    done
fi

# ---- devices: `gpus` is the list to share, empty on a CPU or a TPU
gpus=()
if [ "${JAX_PLATFORMS:-}" != cpu ] && { [ "$count" -gt 1 ] || [ -n "$each" ]; }; then
    if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
        IFS=, read -ra gpus <<<"$CUDA_VISIBLE_DEVICES"
    elif command -v nvidia-smi >/dev/null; then
        mapfile -t gpus < <(nvidia-smi --query-gpu=index --format=csv,noheader | grep '^[0-9]')
    fi
fi
if [ ${#gpus[@]} -gt 0 ]; then
    if [ -z "$each" ]; then
        each=$((${#gpus[@]} / count))
        [ $((each * count)) -eq ${#gpus[@]} ] ||
            mistake "$count processes cannot share ${#gpus[@]} GPUs equally;" \
                'set DEVICES_PER_PROCESS'
    fi
    [ $((each * count)) -le ${#gpus[@]} ] ||
        mistake "$count processes of $each GPUs need $((each * count)) GPUs, and there are" \
            "${#gpus[@]}; JAX_PLATFORMS=cpu simulates devices without a GPU"
fi

# A port that nobody listens on; below 32768, where systems pick ports for outgoing connections.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); (: <"/dev/tcp/localhost/$port") 2>/dev/null; do :; done
    echo "$port"
}

# Sets `command` to the command line of process $1; the other processes meet at port $2.
command_of() {
    local process=$1 port=$2 mine
    shift 2
    command=(python -m s4jax.main "$@")
    [ "$count" -eq 1 ] ||
        command+=("--coordinator=localhost:$port" "--processes=$count" "--process=$process")
    if [ ${#gpus[@]} -gt 0 ]; then
        mine=("${gpus[@]:process * each:each}")
        command=(env "CUDA_VISIBLE_DEVICES=$(IFS=, && echo "${mine[*]}")" "${command[@]}")
    elif [ -n "$each" ]; then
        local flags="${XLA_FLAGS:-} --xla_force_host_platform_device_count=$each"
        command=(env "XLA_FLAGS=${flags# }" "${command[@]}")
    fi
}

# ---- signals: a trap only notes the signal and the loops below pass it on. So none is lost while
# processes start, and none comes twice (the second one ends s4jax without saving)
received=       # noted, not yet passed on
stopped=        # passed on
trap 'received=TERM' TERM HUP     # HUP: the terminal was closed
trap 'received=INT' INT
stop_code() { echo $((128 + $(kill -l "$1"))); }

exec 3>&2     # see the end of `attempt`
# Starts all processes and waits until all have ended. Sets `code`: 2 if any ended with 2, or else
# the first code that is not 0. What ends after that is a consequence and says nothing.
attempt() {
    local process pid ended deadline=
    local -a running=()
    code=0
    for ((process = 0; process < count; process++)); do
        command_of "$process" "$@"
        # job control gives each process a group of its own: Ctrl-C in a terminal then reaches the
        # launcher alone, which passes it on. Without it, bash starts processes that ignore SIGINT
        set -m
        "${command[@]}" </dev/null 3>&- &
        running[process]=$!
        set +m
    done
    while [ ${#running[@]} -gt 0 ]; do
        sleep 0.2
        if [ -n "$received" ]; then
            stopped=$received received=
            kill "-$stopped" "${running[@]}"
        fi
        # not `wait -n`: it misses processes that ended before it was called
        for process in "${!running[@]}"; do
            pid=${running[process]}
            kill -0 "$pid" && continue
            wait "$pid"
            ended=$?
            unset "running[process]"
            [ $ended -ne 0 ] || continue
            if [ $code -eq 0 ]; then
                [ "$count" -eq 1 ] || [ -n "$stopped" ] ||
                    say "process $process of 0..$((count - 1)) ended with $ended" 2>&3
                # no process can go on without the others
                [ -n "$stopped" ] || [ ${#running[@]} -eq 0 ] || kill -TERM "${running[@]}"
            fi
            if [ $code -eq 0 ] || [ $ended -eq 2 ]; then code=$ended; fi
            # who stops on request may take the time to save; after a crash nobody waits for long
            case $ended in
                130 | 143) ;;
                *) deadline=${deadline:-$((SECONDS + grace))} ;;
            esac
        done
        if [ -n "$deadline" ] && [ $SECONDS -ge "$deadline" ] && [ ${#running[@]} -gt 0 ]; then
            kill -KILL "${running[@]}"
        fi
    done 2>/dev/null     # bash remarks on every process that was killed; our own words go to 3
}

if dry; then
    port=${PORT:-$(free_port)}
    for ((process = 0; process < count; process++)); do
        command_of "$process" "$port" "$@"
        show "${command[@]}"
    done
    exit 0
fi
for ((start = 1; ; start++)); do
    attempt "${PORT:-$(free_port)}" "$@"
    case $code in 0 | 2) exit "$code" ;; esac
    [ -z "$stopped" ] || exit "$(stop_code "$stopped")"
    case $code in 130 | 143) exit "$code" ;; esac
    if [ "$start" -ge "$attempts" ]; then
        say "s4jax ended with $code (start $start of $attempts); giving up"
        exit "$code"
    fi
    say "s4jax ended with $code (start $start of $attempts); all start again in $pause s"
    for ((tick = 0; tick < 5 * pause; tick++)); do
        [ -z "$received" ] || break
        sleep 0.2
    done
    [ -z "$received" ] || exit "$(stop_code "$received")"
done
