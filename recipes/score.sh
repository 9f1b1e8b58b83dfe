#!/usr/bin/env bash
# Translate and score with every model that was cut out: recipes/score.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ $lenpens ]]; then
    generation+=(--lenpen "${lenpens// /,}")
    mkdir -p "$scores" "$work/logs"
    ln -sfn ../logs "$scores/logs"  # for the page of these records
fi

score() {
    local name=$1 method=$2 depth=$3 seed=$4 cut system=${1%-seed*} costs record
    costs=("$work/$name/cost.json")
    if learns_from_teacher "$method"; then costs+=("$work/plain-seed$seed/cost.json"); fi
    if method_says "$method" "$translated"; then costs+=("$work/translated-seed$seed/cost.json"); fi
    for cut in $(cuts "$depth"); do
        record=$scores/$name-$cut.json
        stage "score-$name-$cut$tuned" "$record" "truncate-$name-$cut" -- \
            selfteach score "$work/$name-$cut.pt" "$work/data" "${generation[@]}" \
            --references "$work/text/test.$target" -o "$record" --force \
            --about "system=$system" "seed=$seed" "corpus=$corpus" --cost "${costs[@]}" \
            -- "${longest[@]}"
    done
}

for_each_run score
