#!/usr/bin/env bash
# Text, subwords and binary data of a corpus: recipes/prepare.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

python "$recipes/check.py" "$corpus"
stage text "$work/text" "${text_inputs[@]}" -- "${text[@]}" --out "$work/text"
if [[ $of_test ]] && ! compgen -G "$work/text/$test_set.*" >/dev/null; then
    fail "TEST_SET=$test_set: $corpus has none"
fi
divided=(--types "$types" --normalization "$normalization")
if [[ $bart ]]; then divided=(--bart "$bart"); fi
if [[ $kind == classes ]]; then source "$recipes/prepare-classes.sh"; exit; fi
stage subwords "$work/pieces" text "$recipes/subwords.py" -- \
    python "$recipes/subwords.py" "$work/text" "$source" "$target" "${divided[@]}" \
    ${cut_source:+--cut "$source=$cut_source"} --out "$work/pieces"
tests=$work/pieces/test
if [[ -f $work/pieces/test1.$source ]]; then tests+=,$work/pieces/test1; fi
stage binarise "$work/data" subwords -- \
    fairseq-preprocess --source-lang "$source" --target-lang "$target" \
    --trainpref "$work/pieces/train" --validpref "$work/pieces/valid" \
    --testpref "$tests" --destdir "$work/data" \
    --srcdict "$work/pieces/dict.txt" --tgtdict "$work/pieces/dict.txt"
