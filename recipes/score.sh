#!/usr/bin/env bash
# Translate and score with every model that was cut out: recipes/score.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

score() {
    local name=$1 method=$2 depth=$3 seed=$4 cut system=${1%-seed*}
    for cut in $(cuts "$depth"); do
        stage "score-$name-$cut" "$work/$name-$cut.json" "truncate-$name-$cut" -- \
            selfteach score "$work/$name-$cut.pt" "$work/data" "${generation[@]}" \
            --references "$work/text/test.$target" -o "$work/$name-$cut.json" --force \
            --about "system=$system" "seed=$seed" "corpus=$corpus" --cost "$work/$name/cost.json" \
            -- "${longest[@]}"
    done
}

for_each_run score
