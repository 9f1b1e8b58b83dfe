#!/usr/bin/env bash
# What METHODs that learn from a teacher need: the plain run's model, and where the method asks for
# it, its translation of the training text: recipes/distil.sh CORPUS
# train.sh runs it by itself, unless there are several machines.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

list=$(runs method seed teacher data)
while IFS="|" read -r method seed teacher data <&3; do
    if [[ ! $teacher ]]; then continue; fi
    if [[ ! -f $work/.stages/train-plain-seed$seed.done ]]; then
        fail "METHOD=$method learns from the plain model of the same seed: train that before," \
            "METHOD=\"plain $method\""
    fi
    "$recipes/truncate.sh" "$corpus" METHOD=plain SEEDS="$seed" REFINE= ${ship:+"SHIP=$layers"}
    if [[ $data != data ]]; then
        stage "distil-seed$seed" "$work/$data" "truncate-$teacher" binarise -- \
            selfteach distil "$work/$teacher.pt" "$work/data" -o "$work/$data" -- "${longest[@]}"
    fi
done 3<<<"$list"
