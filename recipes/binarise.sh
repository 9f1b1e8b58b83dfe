#!/usr/bin/env bash
# Binary data of labelled texts: recipes/binarise.sh TEXT PIECES DATA INPUT...
set -euo pipefail
text=$1 pieces=$2 data=$3

rm -rf "$data"
for input in "${@:4}"; do
    fairseq-preprocess --only-source --destdir "$data/$input" --srcdict "$pieces/dict.txt" \
        --trainpref "$pieces/train.$input" --validpref "$pieces/valid.$input" \
        --testpref "$pieces/test.$input"
done
fairseq-preprocess --only-source --destdir "$data/label" \
    --trainpref "$text/train.label" --validpref "$text/valid.label" --testpref "$text/test.label"
