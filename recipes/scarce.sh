# Text is scarce: Multi30k's first 10,000 pairs (make compare-scarce, make study). Its last 4,000 are
# a second test set: TEST_SET=test1
source "$recipes/small.sh"
text+=(--pairs 10000 --more-test 4000)
types=3000 updates=2000
training=(
    --label-smoothing 0.1 --dropout 0.2
    --optimizer adam_fused --adam-betas "(0.9, 0.98)" --clip-norm 1
    --lr 4e-3 --lr-scheduler polynomial_decay --warmup-updates 300
    --total-num-update "$updates"
    --max-tokens 1000 --num-workers 0
)
