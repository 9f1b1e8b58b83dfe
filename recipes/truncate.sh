#!/usr/bin/env bash
# Cut the full model and the students out of the trained runs: recipes/truncate.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

list=$(runs --cuts name depth stage checkpoint keep)
if [[ $average != 0 ]]; then
    names=$(runs name)
    for name in $names; do
        epochs=("$work/$name"/checkpoint[0-9]*.pt)
        if [[ ! -e ${epochs[0]} ]]; then
            fail "AVERAGE=$average: $name ended within its first epoch: say AVERAGE=0, or more updates"
        fi
        stage "average-$name" "$work/$name.average.pt" "train-$name" -- \
            selfteach average "${epochs[@]}" -o "$work/$name.average.pt" --force
        if (( ${#epochs[@]} < ${average#0 } )); then
            echo "   warning: AVERAGE=${average#0 }, but $name has ${#epochs[@]} epochs' checkpoints only"
        fi
    done
fi

while IFS="|" read -r name depth stage checkpoint keep <&3; do
    stage "truncate-$name-$depth" "$work/$name-$depth.pt" "$stage" -- \
        selfteach truncate "$work/$checkpoint" $keep -o "$work/$name-$depth.pt" --force
done 3<<<"$list"
