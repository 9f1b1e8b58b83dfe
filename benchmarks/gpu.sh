#!/usr/bin/env bash
# What only a GPU can say, each part within eight minutes: DATA=FOLDER benchmarks/gpu.sh PART
#
#   updates    the tests that need a GPU, and the loss'; what an update costs, in bf16
#   training   40 epochs at the size of transformer_iwslt_de_en, all at once: a plain model, one with
#              6x3, 6x2 and 6x1, and a plain 6x2
#   halves     the same with 3x3, and a plain 3x3
#
#   DATA=work/multi30k-de/data   a folder of fairseq-preprocess, with spm's pieces
#   OUT=work/gpu                 gets a few files, of what there was time for
#   TINY=1                       tries it all out, also without a GPU
# Takes python3, with fairseq, torch (2.10 or later), sacrebleu and pytest, and no network.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
part=${1:-}
if [[ ! ${DATA:-} ]]; then echo "gpu.sh: say DATA=, a folder of fairseq-preprocess" >&2; exit 1; fi
data=$(realpath "$DATA") out=${OUT:-$root/work/gpu} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHONWARNINGS=ignore OMP_NUM_THREADS=4
seconds() { echo $(($1 - SECONDS > 0 ? $1 - SECONDS : 1)); }  # from now to this second of the script
selfteach() { python3 -m selfteach_fairseq.cli "$@"; }

rounds=5 width=512 tokens=4096 longest=10 size=() budget=(--bf16 --max-epoch 40 --max-tokens 4096)
if [[ ${TINY:-} ]]; then
    rounds=1 width=16 tokens=100 longest=0 budget=(--cpu --max-update 4 --max-tokens 400)
    size=(--encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 16)
    size+=(--decoder-ffn-embed-dim 16)
fi
training=(
    --user-dir "$root/selfteach_fairseq" --arch transformer_selfteach_iwslt_de_en
    --share-all-embeddings --label-smoothing 0.1 --dropout 0.3 --weight-decay 1e-4 --clip-norm 1
    --optimizer adam_fused --adam-betas "(0.9, 0.98)"
    --lr 5e-4 --lr-scheduler inverse_sqrt --warmup-updates 1000 --seed 1
    --required-batch-size-multiple 1 --num-workers 1 --distributed-world-size 1
    --no-epoch-checkpoints --no-last-checkpoints --no-save-optimizer-state
    --no-progress-bar --log-format simple --log-interval 100
)

# train NAME FLAG...: in the background, for five and a half minutes
train() {
    timeout "$(seconds 330)" python3 -m fairseq_cli.train "$data" "${training[@]}" "${size[@]}" \
        "${budget[@]}" --save-dir "$work/$1" "${@:2}" >"$out/$part-$1.log" 2>&1 &
}

# score NAME DEPTH: cuts a model out of a run, and scores it
score() {
    local model=$work/$1-$2
    if [[ ! -f $work/$1/checkpoint_best.pt ]]; then echo "$1 has no checkpoint" >&2; return; fi
    selfteach truncate "$work/$1/checkpoint_best.pt" --layers "$2" -o "$model.pt"
    timeout "$(seconds 460)" python3 -m selfteach_fairseq.cli score "$model.pt" "$data" \
        --lenpen 0.6,1,1.4 --about "system=$1" seed=1 -o "$model.json" \
        -- --max-len-a 1.5 --max-len-b "$longest"
}

compare() {
    local pair
    wait
    for pair in "$@"; do score "${pair%:*}" "${pair#*:}" & done
    wait
    if ! compgen -G "$work/*.json" >/dev/null; then echo "nothing could be scored" >&2; exit 1; fi
    (cd "$work" && tar -czf "$out/$part-records.tgz" -- *.json *.hyp.txt)
    selfteach report "$work"/*.json --csv "$out/$part.csv" | tee "$out/$part.md"
}

plain=(--criterion label_smoothed_cross_entropy)
taught=(--criterion label_smoothed_ce_selfteach --student-layers)
case $part in
    updates)
        cd "$root"
        timeout 150 python3 -m pytest -q -n0 -p no:cacheprovider tests/end_to_end/test_gpu.py \
            tests/criterions/test_losses.py ${TINY:+-k objective} 2>&1 | tee "$out/tests.log" || true
        timeout "$(seconds 450)" python3 benchmarks/stock.py "$data" --rounds "$rounds" \
            --width "$width" --tokens "$tokens" --out "$out/stock.csv" | tee "$out/stock.md"
        ;;
    training)
        train plain "${plain[@]}"
        train selfteach "${taught[@]}" 6x3,6x2,6x1
        train plain-6x2 "${plain[@]}" --decoder-layers 2
        compare plain:6 selfteach:6 selfteach:6x3 selfteach:6x2 selfteach:6x1 plain-6x2:6x2
        ;;
    halves)
        train plain "${plain[@]}"
        train selfteach "${taught[@]}" 3x3
        train plain-3 "${plain[@]}" --encoder-layers 3 --decoder-layers 3
        compare plain:6 selfteach:6 selfteach:3 plain-3:3
        ;;
    *)
        echo "gpu.sh: '$part' is no part: name updates, training or halves" >&2
        exit 1
        ;;
esac
