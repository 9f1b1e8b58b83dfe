#!/usr/bin/env bash
# Translate and score with every model that was cut out: recipes/score.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

list=$(runs --cuts name depth system seed costs)
if [[ ${lenpens:-} ]]; then
    generation+=(--lenpen "$(IFS=,; echo "${lenpens[*]}")")
    mkdir -p "$scores" "$work/logs"
    ln -sfn ../logs "$scores/logs"  # for the page of these records
fi

while IFS="|" read -r name depth system seed folders <&3; do
    costs=()
    for folder in $folders; do costs+=("$work/$folder/cost.json"); done
    stage "score-$name-$depth$tuned" "$scores/$name-$depth.json" "truncate-$name-$depth" -- \
        selfteach score "$work/$name-$depth.pt" "$work/data" "${generation[@]}" \
        --references "$work/text/test.$target" -o "$scores/$name-$depth.json" --force \
        --about "system=$system" "seed=$seed" "corpus=$corpus" --cost "${costs[@]}" \
        -- "${longest[@]}"
done 3<<<"$list"
