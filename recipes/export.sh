#!/usr/bin/env bash
# Make a folder to ship of the model of depth SHIP, the first METHOD's and seed's:
# recipes/export.sh CORPUS [SHIP=4x1] [QUANTIZATION=int8]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ ! $ship ]]; then fail "say which depth to export, such as SHIP=${students%% *}"; fi
list=$(runs --cuts name depth)
name=
while IFS="|" read -r run depth; do
    if [[ ! $name && $depth == "$ship" ]]; then name=$run; fi
done <<<"$list"
if [[ ! $name ]]; then fail "no model of SHIP=$ship is cut out: name another depth"; fi

if [[ $kind == classes ]]; then source "$recipes/export-classes.sh"; exit; fi
record=$name-$ship.ctranslate2-$quantization record=${record%-none}
if [[ ! -f $scores/$record.json ]]; then record=$name-$ship; fi  # scored in fairseq alone
folder=$work/export-$ship
stage "export-$ship" "$folder" "truncate-$name-$ship" "score-$record$tuned" -- \
    selfteach export "$work/$name-$ship.pt" "$work/data" -o "$folder" --force \
    --quantization "$quantization" --sentencepiece "$work/pieces/spm.model" \
    --record "$scores/$record.json"

sentence=$example
if [[ ! $sentence ]]; then read -r sentence <"$work/text/test.$source"; fi
command=$(command -v selfteach)
echo
echo "${folder#"$root"/} is ready to ship (README.md in it says how to use it). Translate a sentence:"
echo
printf 'echo %s | %q translate %q\n' "${sentence@Q}" "${command#"$root"/}" "${folder#"$root"/}"
