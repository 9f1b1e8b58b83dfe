#!/usr/bin/env bash
# What only a GPU can say, each part within eight minutes: DATA=FOLDER benchmarks/gpu.sh PART
#
#   updates    the tests that need a GPU, and the loss'; what an update costs, in bf16
#   training   at the size of transformer_iwslt_de_en, six runs at once, each until its 40 epochs or
#              the time are over: plain, and with more dropout; plain 6x2 and 3x3; with students
#              6x3, 6x2 and 6x1; with the student 3x3
#
#   DATA=work/multi30k-de/data   a folder of fairseq-preprocess, with spm's pieces
#   OUT=work/gpu                 gets a few files, of what there was time for
#   TINY=1                       tries it all out, also without a GPU
# Takes python3, with fairseq, torch (2.10 or later), sacrebleu and pytest-xdist, and no network.
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

rounds=3 workers=8 width=512 tokens=4096 types=(10000 32000) longest=10 size=()
budget=(--bf16 --max-epoch 40 --max-tokens 6144)
if [[ ${TINY:-} ]]; then
    rounds=1 workers=0 width=16 tokens=100 types=(100) longest=0
    budget=(--cpu --max-update 4 --max-tokens 400)
    size=(--encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 16)
    size+=(--decoder-ffn-embed-dim 16)
fi
training=(
    --user-dir "$root/selfteach_fairseq" --arch transformer_selfteach_iwslt_de_en
    --share-all-embeddings --label-smoothing 0.1 --dropout 0.3 --weight-decay 1e-4 --clip-norm 1
    --optimizer adam_fused --adam-betas "(0.9, 0.98)"
    --lr 6e-4 --lr-scheduler inverse_sqrt --warmup-updates 700 --seed 1
    --required-batch-size-multiple 1 --num-workers 1 --distributed-world-size 1
    --no-epoch-checkpoints --no-last-checkpoints --no-save-optimizer-state
    --no-progress-bar --log-format simple --log-interval 100
)

# run NAME "DEPTH..." FLAG...: trains for five and a half minutes at most, cuts out models, scores them
run() {
    local depth log=$out/${1//[^a-z0-9.]/-}.log
    timeout "$(seconds 330)" python3 -m fairseq_cli.train "$data" "${training[@]}" "${size[@]}" \
        "${budget[@]}" --save-dir "$work/$1" "${@:3}" >"$log" 2>&1 || true
    if [[ ! -f $work/$1/checkpoint_best.pt ]]; then
        echo "$1 has no checkpoint: $(tail -n 1 "$log")" >&2
        return
    fi
    for depth in $2; do score "$1" "$depth" & done
    wait
}

score() {
    local model=$work/$1-$2
    selfteach truncate "$work/$1/checkpoint_best.pt" --layers "$2" -o "$model.pt" >/dev/null
    timeout "$(seconds 460)" python3 -m selfteach_fairseq.cli score "$model.pt" "$data" \
        --lenpen 0.6,1,1.4 --batch-size 256 --about "system=$1" seed=1 -o "$model.json" \
        -- --max-len-a 1.5 --max-len-b "$longest"
}

plain=(--criterion label_smoothed_cross_entropy)
taught=(--criterion label_smoothed_ce_selfteach --student-layers)
case $part in
    updates)
        cd "$root"
        PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 timeout 150 python3 -m pytest -q -p xdist.plugin \
            -n "$workers" --dist load -p no:cacheprovider tests/end_to_end/test_gpu.py \
            tests/criterions/test_losses.py ${TINY:+-k objective} 2>&1 | tee "$out/tests.log" || true
        timeout 60 python3 benchmarks/chunks.py "${types[@]}" --tokens "$tokens" \
            --width "$width" | tee "$out/chunks.md" || echo "chunks.py did not come to its end" >&2
        stock=(python3 benchmarks/stock.py "$data" --width "$width" --tokens "$tokens"
            --out "$out/stock.csv")
        timeout "$(seconds 440)" "${stock[@]}" --rounds "$rounds" \
            || echo "stock.py did not come to its end: its table is of what there is" >&2
        "${stock[@]}" --rounds 0 | tee "$out/stock.md"
        ;;
    training)
        run plain 6 "${plain[@]}" &
        run plain-dropout-0.4 6 "${plain[@]}" --dropout 0.4 &
        run plain@6x2 6x2 "${plain[@]}" --decoder-layers 2 &
        run plain@3 3 "${plain[@]}" --encoder-layers 3 --decoder-layers 3 &
        run selfteach=6x3,6x2,6x1 "6 6x3 6x2 6x1" "${taught[@]}" 6x3,6x2,6x1 &
        run selfteach=3 "6 3" "${taught[@]}" 3 &
        wait
        if ! compgen -G "$work/*.json" >/dev/null; then echo "nothing was scored" >&2; exit 1; fi
        (cd "$work" && tar -czf "$out/training-records.tgz" -- *.json *.hyp.txt)
        selfteach report "$work"/*.json | tee "$out/training.md"
        ;;
    *)
        echo "gpu.sh: '$part' is no part: name updates or training" >&2
        exit 1
        ;;
esac
