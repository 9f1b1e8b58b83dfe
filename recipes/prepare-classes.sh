# What prepare.sh does with labelled texts; sourced by it.
inputs=(input0)
if [[ -f $work/text/train.input1 ]]; then inputs+=(input1); fi
needed=(text) read_files=()
if [[ $bert ]]; then
    files=("$bert")
    if [[ -d $bert ]]; then files=("$bert"/*.json "$bert"/*.txt "$bert"/*.safetensors "$bert"/*.bin); fi
    for file in "${files[@]}"; do
        if [[ -f $file ]]; then read_files+=("$file"); fi
    done
    stage pretrained "$work/pretrained" "${read_files[@]}" -- \
        selfteach import-bert "$bert" -o "$work/pretrained" --force
    divided=(--bert "$work/pretrained") needed+=(pretrained)
fi
# <s>, and a </s> behind each text
limit=$(( (longest_text - 1 - ${#inputs[@]}) / ${#inputs[@]} ))
stage subwords "$work/pieces" "${needed[@]}" "$recipes/subwords.py" -- \
    python "$recipes/subwords.py" "$work/text" "${inputs[@]}" "${divided[@]}" \
    --cut "${inputs[@]/%/=$limit}" --out "$work/pieces"
stage binarise "$work/data" text subwords "$recipes/binarise.sh" -- \
    "$recipes/binarise.sh" "$work/text" "$work/pieces" "$work/data" "${inputs[@]}"
