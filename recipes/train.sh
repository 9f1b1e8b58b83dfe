#!/usr/bin/env bash
# Train on a prepared corpus, once for each of METHOD and SEEDS: recipes/train.sh CORPUS
#
#   PRECISION=fp32|fp16|bf16   (default: fp32)     CPU=1   train a large model without a GPU
#   KEEP_EVERY=150   keep a checkpoint of every so many updates, for importance.sh
#   NPROC_PER_NODE=GPUs of this machine            (default: 1)
#   NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT    several machines with one file system
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

python "$recipes/check.py" "$corpus" train
started=$(python "$recipes/workers.py")
eval "$started"  # launch=(...) workers=(...) numbers=(...)

train=(stage)
if (( ${NNODES:-1} > 1 )); then
    # torchrun reads these; so they are no part of the command, which all machines share.
    export PET_NODE_RANK=$NODE_RANK PET_MASTER_ADDR=$MASTER_ADDR
    export PET_MASTER_PORT=${MASTER_PORT:-29500}
    if (( NODE_RANK > 0 )); then train=(follow "$NODE_RANK"); fi
fi
keep=(--no-epoch-checkpoints)
if [[ $average != 0 ]]; then keep=(--keep-last-epochs "${average#0 }"); fi
if [[ ${KEEP_EVERY:-} ]]; then keep+=(--save-interval-updates "$KEEP_EVERY"); fi

task=(--source-lang "$source" --target-lang "$target")
if [[ $kind == classes ]]; then source "$recipes/train-classes.sh"; fi

# from_pretrained FILE DEPTH SCHEDULE NEEDED: a training starts from so many layers of a pretrained
# model.
from_pretrained() {
    local cut=$work/pretrained-$2.pt
    stage "pretrained-$2" "$cut" "$4" -- selfteach truncate "$1" --layers "$2" -o "$cut" --force
    needs+=" pretrained-$2"
    if [[ $3 ]]; then start+=(--init "$cut"); else start+=(--finetune-from-model "$cut"); fi
}

list=$(runs name system seed teacher data needs schedule encoder decoder budget flags)
while IFS="|" read -r name system seed teacher data needs schedule encoder decoder budget words <&3
do
    if [[ $teacher ]] && (( ${NNODES:-1} == 1 )); then
        "$recipes/distil.sh" "$corpus" METHOD="$system" SEEDS="$seed" REFINE= \
            ${ship:+"SHIP=$layers"}  # another METHOD's depth is none of these
    fi
    depth=(--encoder-layers "$encoder" --decoder-layers "$decoder") start=()
    if [[ $kind == classes ]]; then of_classes "$encoder" "$schedule"; fi
    if [[ $bart ]]; then
        from_pretrained "$bart/model.pt" "${encoder}x$decoder" "$schedule" "$bart/model.pt"
    fi
    if [[ $schedule ]]; then
        trainer=(selfteach gradual "$work/data" --save-dir "$work/$name" --schedule "$schedule"
            $budget "${start[@]}" ${later:+--later "$later"} -- --distributed-world-size "${workers[1]}")
    else
        trainer=("${launch[@]}" fairseq-train "$work/$data" --save-dir "$work/$name"
            --user-dir "$root/selfteach_fairseq" "${workers[@]}"
            "${depth[@]}" "${start[@]}" $budget)
    fi
    read -ra flags <<<"$words"
    "${train[@]}" "train-$name" "$work/$name" $needs -- \
        python "$recipes/measure.py" "$work/$name/cost.json" -- "${trainer[@]}" \
        "${task[@]}" "${model[@]}" "${training[@]}" \
        "${flags[@]//"{teacher}"/"$work/$teacher.pt"}" --seed "$seed" "${numbers[@]}" \
        --required-batch-size-multiple 1 "${keep[@]}" \
        --no-progress-bar --log-format simple --log-interval 100
done 3<<<"$list"
