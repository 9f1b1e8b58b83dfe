# What the scripts share, sourced by each with its own arguments, CORPUS [NAME=VALUE...]: the corpus'
# settings, stages and runs. NAME=VALUE is a setting for this call alone.
set -euo pipefail
recipes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -x ${recipes%/*}/.venv/bin/python ]]; then  # what make has set up
    PATH=${recipes%/*}/.venv/bin:$PATH
fi

for setting in "${@:2}"; do
    if [[ ! $setting =~ ^[A-Z][A-Z0-9_]*= ]]; then
        echo "${0##*/}: $*: name one corpus, with quotes if its name has spaces" >&2
        exit 1
    fi
    export "$setting" SAID="${SAID:-} ${setting%%=*}"
done
for name in ${SAID:-}; do  # here or to make: what is misspelt would change nothing
    if ! grep -rqsw --include={*.sh,*.py,Makefile} -- "$name" "$recipes" "${recipes%/*}/Makefile"; then
        echo "${0##*/}: $name=: no recipe reads such a setting: recipes/README.md lists them;" \
            "what is for another program goes before the command" >&2
        exit 1
    fi
done
source "$recipes/settings.sh" "${1:-}"
source "$recipes/stages.sh"

# runs [--cuts|--refinements|--scores] COLUMN...: a line a training, or as runs.py has it, with these
# columns, to be read with IFS="|"; or all that is wrong with the settings.
runs() { python "$recipes/runs.py" "$corpus" "$@"; }

# By default glibc hands freed memory back, and takes it anew for almost every tensor: a fifth of
# the training time on a CPU.
export MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_MAX_=0
# By default a thread waits for others 300,000 turns before it sleeps. Where something else runs, too,
# a training of two threads then has half the speed or less; on an idle machine it has the same.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}
export PYTHONWARNINGS=ignore  # fairseq's dependencies warn of each other
