#!/usr/bin/env bash
# What METHODs that learn from a teacher need: the plain run's model, and where the file of flags
# asks for it, its translation of the training text: recipes/distil.sh CORPUS
# train.sh runs it by itself, unless there are several machines.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

distil() {
    local method=$2 seed=$4 teacher=plain-seed$4
    if ! learns_from_teacher "$method"; then return; fi
    if [[ ! -f $work/.stages/train-$teacher.done ]]; then
        fail "METHOD=$method learns from the plain model of the same seed: train that before," \
            "METHOD=\"plain $method\""
    fi
    METHOD=plain SEEDS=$seed "$recipes/truncate.sh" "$corpus"
    if method_says "$method" "$translated"; then
        stage "distil-seed$seed" "$work/translated-seed$seed" "truncate-$teacher-$layers" binarise -- \
            selfteach distil "$work/$teacher-$layers.pt" "$work/data" \
            -o "$work/translated-seed$seed" -- "${longest[@]}"
    fi
}

for_each_run distil
