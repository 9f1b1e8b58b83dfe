# Multi30k, from German or English: multi30k-de, multi30k-en.
# MULTI30K_DIR=folder of a copy
case $variant in
    de) target=en ;;
    en) target=de ;;
    *) fail "'$corpus': name multi30k-de or multi30k-en" ;;
esac
source=$variant
text=(python "$recipes/corpora/multi30k.py" "$source" "$target"
    --download-dir "$root/work/download/multi30k")
text_inputs=("$recipes"/corpora/{multi30k,text}.py)

source "$recipes/tiny.sh"
types=4000 students="3 2" methods="selfteach plain"
updates=3600
training=(
    --label-smoothing 0.1 --dropout 0.1
    --optimizer adam_fused --adam-betas "(0.9, 0.98)" --clip-norm 1
    --lr 4e-3 --lr-scheduler polynomial_decay --warmup-updates 400
    --total-num-update "$updates"
    --max-tokens 1500 --num-workers 0
)
