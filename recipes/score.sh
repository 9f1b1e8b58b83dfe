#!/usr/bin/env bash
# Translate and score with every model that was cut out, by each of ENGINES: recipes/score.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

list=$(runs --scores name depth system seed costs record engine)
if [[ ${lenpens:-} ]]; then generation+=(--lenpen "$(IFS=,; echo "${lenpens[*]}")"); fi
generation+=(${metric:+--metric "$metric"})
against=(--references "$work/text/$test_set.$target") options=("${longest[@]}")
if [[ $kind == classes ]]; then against=() options=(); fi
if [[ $of_test ]]; then generation+=(--subset "$test_set"); fi
if [[ $tuned ]]; then
    mkdir -p "$scores" "$work/logs"
    ln -sfn ../logs "$scores/logs"  # for the page of these records
fi

while IFS="|" read -r name depth system seed folders record engine <&3; do
    costs=()
    for folder in $folders; do costs+=("$work/$folder/cost.json"); done
    if [[ $engine == "--engine fairseq" ]]; then engine=; fi  # as before there were others
    stage "score-$record$tuned" "$scores/$record.json" "truncate-$name-$depth" -- \
        selfteach score "$work/$name-$depth.pt" "$work/data" "${generation[@]}" $engine \
        "${against[@]}" -o "$scores/$record.json" --force \
        --about "system=$system" "seed=$seed" "corpus=$corpus" --cost "${costs[@]}" \
        -- "${options[@]}"
done 3<<<"$list"
