#!/usr/bin/env bash
# A folder that labels text: recipes/pack.sh MODEL DATA PIECES FOLDER
set -euo pipefail
model=$1 data=$2 pieces=$3 folder=$4

rm -rf "$folder.new"
parts=(input0 label)
if [[ -d $data/input1 ]]; then parts+=(input1); fi
mkdir -p "${parts[@]/#/"$folder.new/"}"
cp "$model" "$folder.new/model.pt"
for part in "${parts[@]}"; do cp "$data/$part/dict.txt" "$folder.new/$part"; done
for file in tokenizer.json spm.model; do
    if [[ -f $pieces/$file ]]; then cp "$pieces/$file" "$folder.new"; fi
done
rm -rf "$folder"
mv "$folder.new" "$folder"
