# A model for a CPU, instead of a corpus' own: SETTINGS=recipes/small.sh make iwslt14-fa
source "$recipes/tiny.sh"
types=4000 students=2 needs_gpu= updates=2500
training=(
    --label-smoothing 0.1 --dropout 0.1
    --optimizer adam_fused --adam-betas "(0.9, 0.98)" --clip-norm 1
    --lr 4e-3 --lr-scheduler polynomial_decay --warmup-updates 300
    --total-num-update "$updates"
    --max-tokens 1500 --num-workers 0
)
longest=(--max-len-a 1.5 --max-len-b 10)  # or a model that repeats itself goes on to 200 tokens
