# Text is scarce: Multi30k's first 10,000 pairs. SETTINGS=recipes/scarce.sh, as make compare does
text+=(--pairs 10000)
types=3000 layers=4 students=2 updates=2000
model=(
    --arch transformer_selfteach_tiny
    --encoder-embed-dim 128 --decoder-embed-dim 128
    --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256
    --encoder-attention-heads 4 --decoder-attention-heads 4
    --encoder-normalize-before --decoder-normalize-before
    --share-all-embeddings
)
training=(
    --label-smoothing 0.1 --dropout 0.2
    --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 1
    --lr 4e-3 --lr-scheduler polynomial_decay --warmup-updates 300
    --total-num-update "$updates"
    --max-tokens 1000 --num-workers 0
)
longest=(--max-len-a 1.5 --max-len-b 10)  # or a model that repeats itself goes on to 200 tokens
