#!/usr/bin/env bash
# Train methods under one budget, score them alike, and test what differs: recipes/compare.sh CORPUS
#
#   METHOD    (default: all, those of the students' sizes at each of STUDENTS)
#   SEEDS     (default: 1 2 3)
#   LENPENS   length penalties, of which each model has the best one on validation text
# Finished stages are kept, also those of `make CORPUS`. Leaves compare.md, and in compare.csv each
# system's test against the model of its size that was trained from scratch, seed by seed.
set -- "${1:-}" METHOD="${METHOD:-all}" SEEDS="${SEEDS:-1 2 3}" \
    LENPENS="${LENPENS:-0.6 1 1.4 1.8}" "${@:2}"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ " $engines " != *" fairseq "* ]]; then fail "ENGINES=$engines: fairseq's translations are compared"; fi
if [[ ! " $methods " =~ " "(all|plain)[\ @] ]]; then
    fail "METHOD=$methods: name plain or plain@DEPTH, too, which others are tested against"
fi

"$recipes/run.sh" "$@"

list=$(runs --scores name depth | uniq)  # one of all its engines
records=()
while IFS="|" read -r name depth; do records+=("$scores/$name-$depth.json"); done <<<"$list"
tested=$(selfteach significance "${records[@]}" --references "$work/text/$test_set.$target" \
    ${metric:+--metric "$metric"} --csv "$work/compare$of_test.csv")
printf '\n%s\n' "$tested"
printf '%s\n\n%s\n' "$(<"$work/report$of_test.md")" "$tested" >"$work/compare$of_test.md"
