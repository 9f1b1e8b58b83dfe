# Summaries of documents, one a line each: summarise-NAME, with SRC= and TGT= as bitext has them.
#   LONGEST=512   documents are cut to so many pieces
#   METRIC=bleu   instead of ROUGE, which reads English alone
SOURCE_LANG=${SOURCE_LANG:-document} TARGET_LANG=${TARGET_LANG:-summary}
source "$recipes/bitext/settings.sh"
text+=(--summaries)
cut_source=${LONGEST:-512} metric=${METRIC:-rouge}

# BART=folder with model.pt, dict.txt, encoder.json and vocab.bpe   BART_ARCH=bart_selfteach_base
if [[ ${BART:-} ]]; then
    for file in model.pt dict.txt encoder.json vocab.bpe; do
        if [[ ! -f $BART/$file ]]; then fail "BART=$BART: has no $file"; fi
    done
    bart=$(realpath "$BART") layers=12 students=last6x6 updates=20000
    if [[ ${BART_ARCH:-} == *base* ]]; then layers=6 students=last3x3; fi
    # As fairseq's examples/bart has it for CNN/DailyMail.
    model=(
        --arch "${BART_ARCH:-bart_selfteach_large}" --layernorm-embedding
        --share-all-embeddings --share-decoder-input-output-embed
    )
    training=(
        --label-smoothing 0.1 --dropout 0.1 --attention-dropout 0.1 --weight-decay 0.01
        --optimizer adam --adam-betas "(0.9, 0.999)" --adam-eps 1e-8 --clip-norm 0.1
        --lr 3e-5 --lr-scheduler polynomial_decay --total-num-update "$updates"
        --warmup-updates 500 --max-tokens 2048 --update-freq 4
        --skip-invalid-size-inputs-valid-test
    )
    longest=(
        --bpe gpt2 --gpt2-encoder-json "$bart/encoder.json" --gpt2-vocab-bpe "$bart/vocab.bpe"
        --max-len-b 140 --no-repeat-ngram-size 3
    )
    generation=(--beam 4)
fi
