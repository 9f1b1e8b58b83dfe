#!/usr/bin/env bash
# Train on a prepared corpus, once for each of METHOD and SEEDS: recipes/train.sh CORPUS
#
#   PRECISION=fp32|fp16|bf16   (default: fp32)     CPU=1   train a large model without a GPU
#   KEEP_EVERY=150   keep a checkpoint of every so many updates, for importance.sh
#   NPROC_PER_NODE=GPUs of this machine            (default: 1)
#   NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT    several machines with one file system
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
if [[ $needs_gpu && ${CPU:-0} != 1 && $gpus == 0 ]]; then
    fail "there is no GPU, and on a CPU $corpus trains for days. Say CPU=1 to do it all the same," \
        "or SETTINGS=recipes/small.sh for a small model"
fi
precision=${PRECISION:-fp32}
case $precision in
    fp32) number_flags=() ;;
    fp16 | bf16) number_flags=("--$precision")
        if [[ $gpus == 0 ]]; then fail "PRECISION=$precision needs a GPU"; fi ;;
    *) fail "PRECISION=$precision: choose fp32, fp16 or bf16" ;;
esac
if [[ $gpus == 0 ]]; then number_flags+=(--cpu); fi

per_node=${NPROC_PER_NODE:-1} nodes=${NNODES:-1}
if (( gpus > 0 && per_node > gpus )); then
    fail "NPROC_PER_NODE=$per_node: this machine has $gpus GPUs"
fi
# fairseq would take the number of GPUs it sees.
world=$((per_node * nodes)) launch=() workers=(--distributed-world-size "$world")
if (( world > 1 )); then
    if (( nodes > 1 )); then
        # torchrun reads these; so they are no part of the command, which all machines share.
        if [[ ! ${NODE_RANK:-} || ! ${MASTER_ADDR:-} ]]; then
            fail "NNODES=$nodes: say NODE_RANK, the number of this machine from 0, and MASTER_ADDR"
        fi
        export PET_NODE_RANK=$NODE_RANK PET_MASTER_ADDR=$MASTER_ADDR
        export PET_MASTER_PORT=${MASTER_PORT:-29500}
        if (( NODE_RANK > 0 )); then export follows=1; fi
        where=(--nnodes "$nodes")
    else
        where=(--standalone)
    fi
    workers+=(--distributed-init-method env:// --distributed-no-spawn)
    rank='--distributed-rank "$RANK"'
    if [[ $gpus == 0 ]]; then
        workers+=(--distributed-backend gloo --ddp-backend legacy_ddp)
    else
        workers+=(--distributed-backend nccl --ddp-backend pytorch_ddp)
        rank+=' --device-id "$LOCAL_RANK"'
    fi
    launch=(torchrun "${where[@]}" --nproc-per-node "$per_node" --no-python
        bash -c "exec \"\$@\" $rank" bash)
fi

# flags_of METHOD DEPTH: its file's, with the students that are smaller.
flags_of() {
    local file smaller
    file=$(file_of "$1")
    smaller=$(cuts "$2" | tail -n +2 | paste -sd ,)
    if [[ ! $smaller ]] && method_says "$1" "{students}"; then
        fail "METHOD=$1: of STUDENTS=\"$students\" none is smaller than the model of $2 layers"
    fi
    sed "/^#/d; s/{students}/$smaller/" "$file"
}

# What can't be trained is said before anything is.
check() {
    local student
    for student in $cut_at; do
        if [[ $1 != *@* && $3 != *-* ]] && ! fits "$student" "$3"; then
            fail "STUDENTS=\"$students\": a model of LAYERS=$3 has no student of $student layers"
        fi
    done
    flags_of "$2" "$3" >/dev/null
    if [[ $2 == gradual ]] && (( average )); then
        fail "AVERAGE=$average: METHOD=gradual goes on from the best checkpoint"
    fi
    if [[ $2 == gradual ]] && (( world > 1 && (gpus == 0 || nodes > 1) )); then
        fail "METHOD=gradual trains on one machine, and with several workers on its GPUs only"
    fi
}

train() {
    local name=$1 method=$2 depth=$3 seed=$4 flags keep=(--no-epoch-checkpoints)
    local data=$work/data needs=(binarise)
    flags=$(flags_of "$method" "$depth")
    read -d "" -ra flags <<<"$flags" || true  # the end of the text ends it
    if learns_from_teacher "$method"; then learn_from_teacher "$method" "$seed"; fi
    if (( average )); then keep=(--keep-last-epochs "$average"); fi
    if [[ ${KEEP_EVERY:-} ]]; then keep+=(--save-interval-updates "$KEEP_EVERY"); fi
    if [[ $method == gradual ]]; then
        gradual "$name" "$depth"
    else
        trainer=("${launch[@]}" fairseq-train "$data" --save-dir "$work/$name"
            --user-dir "$root/selfteach_fairseq" "${workers[@]}"
            --encoder-layers "${depth%x*}" --decoder-layers "${depth#*x}")
        if [[ $updates ]]; then trainer+=(--max-update "$updates"); fi
    fi
    stage "train-$name" "$work/$name" "${needs[@]}" -- \
        python "$recipes/measure.py" "$work/$name/cost.json" -- "${trainer[@]}" \
        --source-lang "$source" --target-lang "$target" \
        "${model[@]}" "${training[@]}" "${flags[@]}" --seed "$seed" "${number_flags[@]}" \
        --required-batch-size-multiple 1 "${keep[@]}" \
        --no-progress-bar --log-format simple --log-interval 100
}

# learn_from_teacher METHOD SEED: makes what the teacher has to give, and sets flags, data and needs.
learn_from_teacher() {
    local teacher=$work/plain-seed$2-$layers.pt
    if (( nodes == 1 )); then METHOD=$1 SEEDS=$2 "$recipes/distil.sh" "$corpus"; fi
    flags=("${flags[@]//"{teacher}"/"$teacher"}")
    needs+=("truncate-plain-seed$2-$layers")
    if method_says "$1" "$translated"; then
        data=$work/translated-seed$2 needs=("distil-seed$2")
    fi
}

# gradual NAME DEPTHS: sets trainer, for a schedule that has no more updates in all than one training.
gradual() {
    local steps=${2//[^-]/}
    trainer=(selfteach gradual "$work/data" --save-dir "$work/$1" --schedule "${2//-/,}")
    if [[ $updates ]]; then trainer+=(--stage-updates "$((updates / ${#steps}))"); fi
    if [[ $later ]]; then trainer+=(--later "$later"); fi
    trainer+=(-- --distributed-world-size "$world")
}

for_each_run check
for_each_run train
