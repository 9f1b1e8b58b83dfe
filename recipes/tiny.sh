# A tiny model, as the literature trains on Multi30k: 4+4 layers, width 128.
layers=4
model=(
    --arch transformer_selfteach_tiny
    --encoder-embed-dim 128 --decoder-embed-dim 128
    --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256
    --encoder-attention-heads 4 --decoder-attention-heads 4
    --encoder-normalize-before --decoder-normalize-before
    --share-all-embeddings
)
