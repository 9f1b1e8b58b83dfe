#!/usr/bin/env bash
# The importance of each layer, through every training: recipes/importance.sh CORPUS
# KEEP_EVERY=150 in training keeps a checkpoint of every so many updates for it.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

list=$(runs name schedule)
while IFS="|" read -r name schedule <&3; do
    if [[ $schedule ]]; then continue; fi  # its stages are of several depths
    if ! compgen -G "$work/$name/checkpoint_[0-9]*_[0-9]*.pt" >/dev/null; then
        fail "there is one checkpoint of $name only: train with KEEP_EVERY=150, or another number"
    fi
    stage "importance-$name" "$work/importance-$name" "train-$name" -- \
        selfteach importance "$work/data" --path "$work/$name/checkpoint_*_*.pt" \
        --subset valid --sub-layers --zeroing \
        -o "$work/importance-$name" --force  # an interrupted one left some
done 3<<<"$list"
