# What train.sh does differently for labelled texts; sourced by it.
sentences=$(wc -l <"$work/text/train.label")
classes=$(LC_ALL=C sort -u "$work/text/train.label" | wc -l)
of_update=$((batch * workers[1]))  # by all workers
total=$((epochs * ((sentences + of_update - 1) / of_update)))
task=(--task sentence_prediction --num-classes "$classes" --init-token 0 --batch-size "$batch")
if (( workers[1] > 1 )); then
    task+=(--find-unused-parameters)  # such as the language model's head
fi
training+=(--total-num-update "$total" --warmup-updates $((total * 6 / 100)))
if [[ $bert ]]; then
    sizes=$(sed "s/--encoder-layers [0-9]*//" "$work/pretrained/model.flags")
    model+=($sizes)
fi

# of_classes LAYERS SCHEDULE: what a training of so many layers starts from, and how long it takes.
of_classes() {
    local steps=${2//[^,]}
    depth=(--encoder-layers "$1")
    start=(--best-checkpoint-metric accuracy --maximize-best-checkpoint-metric)
    budget="--max-update $total"
    if [[ $2 ]]; then
        local updates=$((total / ${#steps}))
        budget="--stage-updates $updates" start=() words+=" --warmup-updates $((updates * 6 / 100))"
    fi
    if [[ $bert ]]; then from_pretrained "$work/pretrained/model.pt" "$1" "$2" pretrained; fi
}
