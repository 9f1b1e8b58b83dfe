# What the demo trains, and how. Changing a line runs again what depends on it.
# Italian has two fifths of the texts that German has: 12,266 pairs to learn from.
source=it target=en
text=(python "$recipes/corpora/homeassistant.py" "$source" "$target" --download-dir "$root/work/download")
text_inputs=("$recipes"/corpora/{homeassistant,bitext,text}.py)

types=2000 layers=4 students=2
engines="fairseq ctranslate2 ctranslate2-int8" within=1 ship=2
example="Il dispositivo non è raggiungibile."
updates=3200
model=(
    --arch transformer_selfteach
    --encoder-embed-dim 128 --encoder-ffn-embed-dim 256
    --encoder-attention-heads 4 --decoder-attention-heads 4
    --encoder-normalize-before --decoder-normalize-before
    --share-all-embeddings
)
training=(
    --label-smoothing 0.1 --dropout 0.1
    --optimizer adam_fused --adam-betas "(0.9, 0.98)" --clip-norm 1
    --lr 4e-3 --lr-scheduler polynomial_decay --warmup-updates 300
    --total-num-update "$updates"
    --max-tokens 900 --num-workers 0
)
checkpoint=checkpoint_last.pt
generation=(--beam 5 --repeat 3)
longest=(--max-len-a 1.2 --max-len-b 10)  # or a model that repeats itself goes on to 200 tokens
sentences=10  # to show in every translation
