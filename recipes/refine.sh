#!/usr/bin/env bash
# Train what was cut out a little further, and cut it out again: recipes/refine.sh CORPUS
#
#   REFINE="plain r3f intra-distillation"   files of flags in refine/ (default: all)
#   REFINE_DEPTHS="2 4x2"                   of these depths (default: the smallest student)
#   REFINE_UPDATES=200                      so many updates (default: a tenth of the training's)
# At a tenth of the training's learning rate, which rises through the first tenth of the updates and
# falls to 0 at the last one, with an optimizer that begins anew.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export REFINE=${refine:-all}

if [[ ${NNODES:-1} != 1 ]]; then fail "trains on one machine: leave NNODES out"; fi
python "$recipes/check.py" "$corpus" refine
started=$(python "$recipes/workers.py")
eval "$started"  # launch=(...) workers=(...) numbers=(...)

list=$(runs --refinements name depth seed start encoder decoder updates rate flags \
    stage checkpoint keep)
while IFS="|" read -r name depth seed start encoder decoder updates rate words \
    refined checkpoint keep <&3
do
    read -ra flags <<<"$words"
    folder=$work/$name-$depth
    stage "$refined" "$folder" "truncate-$start" binarise -- \
        python "$recipes/measure.py" "$folder/cost.json" -- \
        "${launch[@]}" fairseq-train "$work/data" --save-dir "$folder" \
        --finetune-from-model "$work/$start.pt" \
        --user-dir "$root/selfteach_fairseq" "${workers[@]}" \
        --source-lang "$source" --target-lang "$target" "${model[@]}" "${training[@]}" \
        --encoder-layers "$encoder" --decoder-layers "$decoder" \
        --lr "$rate" --lr-scheduler polynomial_decay --warmup-updates $((updates / 10)) \
        --total-num-update "$updates" --max-update "$updates" "${flags[@]}" \
        --seed "$seed" "${numbers[@]}" \
        --required-batch-size-multiple 1 --no-epoch-checkpoints \
        --no-progress-bar --log-format simple --log-interval 100
    stage "truncate-$name-$depth" "$work/$name-$depth.pt" "$refined" -- \
        selfteach truncate "$work/$checkpoint" $keep -o "$work/$name-$depth.pt" --force
done 3<<<"$list"
