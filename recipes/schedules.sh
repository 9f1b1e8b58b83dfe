# Ways to the same depth under the same number of updates: make schedules-multi30k-de
source "$recipes/small.sh"
updates=1500 seeds="1 2"
methods="gradual@6-3 gradual@6-4-3 gradual@6-5-4-3 gradual@4-2 gradual@4-3-2"
training+=(
    --warmup-updates 200 --total-num-update "$updates" --max-tokens 1000
    --validate-interval-updates 100 --validate-interval 1000
)
later="--lr 2e-3 --warmup-updates 50"  # a stage begins with weights that know something
