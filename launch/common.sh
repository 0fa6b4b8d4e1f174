# shellcheck shell=bash
# What the launchers share; they read this file with `.`, it is not run by itself.

# DRY_RUN=1 prints every command and runs none.
dry() { [ "${DRY_RUN:-0}" = 1 ]; }

say() { echo "launch: $*" >&2; }

# Ends with 2, the exit code of a mistake that the user has to correct: nothing starts again then.
mistake() {
    say "$@"
    exit 2
}

# Prints a command so that it can be pasted into a shell. (printf %q does it too, less readably.)
show() {
    local word text='' quote="'\\''"
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="'${word//\'/$quote}'"
        text+=" $word"
    done
    echo "${text# }"
}

run() { if dry; then show "$@"; else "$@"; fi; }

# s4jax writes its workdir as a folder. A bucket has to be mounted as one first.
refuse_bucket() {
    local argument before='' value
    for argument in "$@"; do
        value=
        case $argument in
            --workdir=* | -workdir=*) value=${argument#*=} ;;
            *) case $before in --workdir | -workdir) value=$argument ;; esac ;;
        esac
        case $value in
            *://*)
                mistake "--workdir=$value is a bucket, but s4jax needs a folder that all" \
                    "processes see. Mount the bucket (a gs:// bucket with 'gcsfuse" \
                    "--implicit-dirs --rename-dir-limit=100000 BUCKET FOLDER') and use" \
                    '--workdir=FOLDER/...' ;;
        esac
        before=$argument
    done
}
