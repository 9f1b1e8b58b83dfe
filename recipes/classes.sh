# A classifier of 6 layers: a BERT, MODEL=, fine-tuned, or a small encoder from scratch.
kind=classes source=input0 target=label
for name in EPOCHS LAYERS; do  # which are calculated with
    if [[ ! ${!name:-1} =~ ^[1-9][0-9]{0,8}$ ]]; then fail "$name=${!name}: write a number from 1"; fi
done
epochs=${EPOCHS:-10} batch=16
longest_text=${longest_text:-512}  # pieces of a text, or of both of a pair
checkpoint=checkpoint_best.pt generation=()
if [[ ${MODEL:-} ]]; then
    if [[ ! -e $MODEL ]]; then fail "MODEL=$MODEL: no such folder or zip"; fi
    bert=$(realpath "$MODEL")
    sizes=$(python "$recipes/bert_layers.py" "$bert")
    layers=${LAYERS:-${sizes% *}} students=$((layers / 2)) ship=$((layers / 2)) positions=${sizes#* }
    if [[ ${LONGEST:-} =~ ^[0-9]+$ ]] && (( LONGEST > positions )); then
        fail "LONGEST=$LONGEST: $MODEL has $positions positions: write so many at most"
    fi
    longest_text=${LONGEST:-$((positions < longest_text ? positions : longest_text))}
    model=(--arch roberta_selfteach)  # its sizes are in the imported model.flags
    rate=${LR:-2e-5}
else
    layers=4 students=2 ship=2 types=4000
    longest_text=${LONGEST:-$longest_text}
    model=(
        --arch roberta_selfteach --encoder-embed-dim 128 --encoder-ffn-embed-dim 256
        --encoder-attention-heads 4 --max-positions "$longest_text"
    )
    rate=${LR:-1e-3}
fi
if [[ ! $rate =~ ^[0-9.]+(e-?[0-9]+)?$ ]]; then fail "LR=$rate: write a number, such as 2e-5"; fi
training=(
    --dropout 0.1 --attention-dropout 0.1 --pooler-dropout 0.1
    --optimizer adam_fused --adam-betas "(0.9, 0.999)" --adam-eps 1e-8 --weight-decay 0.01
    --clip-norm 1 --lr "$rate" --lr-scheduler polynomial_decay --num-workers 0
)
