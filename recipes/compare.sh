#!/usr/bin/env bash
# Train methods under one budget, score them alike, and test what differs: recipes/compare.sh CORPUS
#
#   METHOD    (default: all, those of the students' sizes at each of STUDENTS)
#   SEEDS     (default: 1 2 3)
#   LENPENS   length penalties, of which each model has the best one on validation text
# Finished stages are kept, also those of `make CORPUS`. Leaves compare.md, and in compare.csv each
# system's test against the model of its size that was trained from scratch, seed by seed.
chosen=${METHOD:-}
export SEEDS=${SEEDS:-1 2 3} LENPENS=${LENPENS:-0.6 1 1.4 1.8}
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# at_students METHOD: METHOD@3 METHOD@2
at_students() {
    local student
    for student in $students; do echo "$1@$student"; done
}
if [[ ! $chosen ]]; then
    methods="plain $(at_students plain) layerdrop $(at_students word-kd) $(at_students seq-kd)"
    methods+=" r-drop deep-supervision selfteach"
    methods=${methods//$'\n'/ }
fi
export METHOD=$methods
"$recipes/run.sh" "$corpus"

for_each_run add_records
tested=$(selfteach significance "${records[@]}" --references "$work/text/test.$target" \
    --csv "$work/compare.csv")
printf '\n%s\n' "$tested"
printf '%s\n\n%s\n' "$(<"$work/report.md")" "$tested" >"$work/compare.md"
