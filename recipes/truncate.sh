#!/usr/bin/env bash
# Cut the full model and the students out of the trained runs: recipes/truncate.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# evenly LAYERS KEPT: the numbers of so many layers, evenly spread: of 6 and 3, 0,2,4.
evenly() {
    local i numbers=""
    for ((i = 0; i < $2; i++)); do numbers+=,$((i * $1 / $2)); done
    echo "${numbers#,}"
}

truncate() {
    local name=$1 method=$2 depth=$3 trained=$work/$1/$checkpoint from=train-$1 cut epochs keep
    if [[ $depth == *-* ]]; then  # a schedule: it has left a model of each depth
        for cut in $(cuts "$depth"); do
            trained=$work/$name/model-${cut%x*}x${cut#*x}.pt
            stage "truncate-$name-$cut" "$work/$name-$cut.pt" "$from" -- \
                selfteach truncate "$trained" --layers "$cut" -o "$work/$name-$cut.pt" --force
        done
        return
    fi
    if (( average )); then
        trained=$work/$name.average.pt
        stage "average-$name" "$trained" "$from" -- \
            selfteach average "$work/$name"/checkpoint[0-9]*.pt -o "$trained" --force
        epochs=("$work/$name"/checkpoint[0-9]*.pt)
        if (( ${#epochs[@]} < average )); then
            echo "   warning: AVERAGE=$average, but $name has ${#epochs[@]} epochs' checkpoints only"
        fi
        from=average-$name
    fi
    for cut in $(cuts "$depth"); do
        keep=(--layers "$cut")
        if method_says "$method" "$every_other"; then
            keep=(--keep-encoder "$(evenly "${depth%x*}" "${cut%x*}")"
                --keep-decoder "$(evenly "${depth#*x}" "${cut#*x}")")
        fi
        stage "truncate-$name-$cut" "$work/$name-$cut.pt" "$from" -- \
            selfteach truncate "$trained" "${keep[@]}" -o "$work/$name-$cut.pt" --force
    done
}

for_each_run truncate
