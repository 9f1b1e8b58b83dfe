# The model and the training that reach published scores on IWSLT14, for one GPU.
types=10000 layers=6 students=3 needs_gpu=yes
model=(--arch transformer_selfteach_iwslt_de_en --share-all-embeddings)
training=(
    --label-smoothing 0.1 --dropout 0.3 --weight-decay 1e-4
    --optimizer adam_fused --adam-betas "(0.9, 0.98)"
    --lr 5e-4 --lr-scheduler inverse_sqrt --warmup-updates 4000
    --max-tokens 4096 --max-epoch 60
)
