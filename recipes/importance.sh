#!/usr/bin/env bash
# The importance of each layer, through every training: recipes/importance.sh CORPUS
# KEEP_EVERY=150 in training keeps a checkpoint of every so many updates for it.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

importance() {
    local name=$1 checkpoints
    if [[ $3 == *-* ]]; then return; fi  # a schedule's stages are of several depths
    checkpoints=$(compgen -G "$work/$name/checkpoint_[0-9]*_[0-9]*.pt" || true)
    if [[ ! $checkpoints ]]; then
        fail "there is one checkpoint of $name only: train with KEEP_EVERY=150, or another number"
    fi
    stage "importance-$name" "$work/importance-$name" "train-$name" -- \
        selfteach importance "$work/data" --path "$work/$name/checkpoint_*_*.pt" \
        --subset valid --sub-layers --zeroing \
        -o "$work/importance-$name" --force  # an interrupted one left some
}

for_each_run importance
