#!/usr/bin/env bash
# All stages of a corpus, or those that are named: recipes/run.sh CORPUS [STAGE...] [NAME=VALUE...]
set -euo pipefail

corpus=${1:?name a corpus, such as demo: see recipes/README.md}; shift
stages=() settings=()
for word in "$@"; do
    case $word in
        prepare | train | truncate | refine | score | importance | report | export)
            stages+=("$word")
            ;;
        [A-Z]*=*) settings+=("$word") ;;
        *)
            echo "run.sh: '$word' is no stage: name prepare, train, truncate, refine, score, importance," \
                "report or export (and a corpus with spaces in its name with quotes)" >&2
            exit 1
            ;;
    esac
done
set -- "$corpus" "${settings[@]}"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
if [[ " ${stages[*]} " == *" refine "* ]]; then export REFINE=${refine:-all}; fi
if (( ${#stages[@]} == 0 )); then stages=(prepare train truncate score report); fi
if [[ $refine ]]; then  # what is scored then, said by a file or on the command line
    words=" ${stages[*]} "
    read -ra stages <<<"${words/ truncate score / truncate refine score }"
fi

python "$recipes/check.py" "$corpus" "${stages[@]}"
for stage in "${stages[@]}"; do "$recipes/$stage.sh" "$@"; done
