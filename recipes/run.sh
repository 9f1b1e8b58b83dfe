#!/usr/bin/env bash
# All stages of a corpus, or those that are named: recipes/run.sh CORPUS [STAGE...]
set -euo pipefail

corpus=${1:?name a corpus: demo, iwslt14-de, multi30k-de or bitext-NAME}; shift
if (( $# == 0 )); then set -- prepare train truncate score report; fi
for stage in "$@"; do
    if [[ " prepare train truncate score importance report " != *" $stage "* ]]; then
        echo "run.sh: '$stage' is no stage: name prepare, train, truncate, score, importance or report" \
            "(and a corpus with spaces in its name with quotes)" >&2
        exit 1
    fi
done
for stage in "$@"; do
    "$(dirname "${BASH_SOURCE[0]}")/$stage.sh" "$corpus"
done
