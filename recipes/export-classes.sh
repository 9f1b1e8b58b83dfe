# What export.sh does with a classifier: a folder that labels text; sourced by it.
folder=$work/export-$ship

stage "export-$ship" "$folder" "truncate-$name-$ship" binarise -- \
    "$recipes/pack.sh" "$work/$name-$ship.pt" "$work/data" "$work/pieces" "$folder"

read -r sentence <"$work/text/test.input0"
if [[ -f $work/text/test.input1 ]]; then
    read -r second <"$work/text/test.input1"
    sentence+=$'\t'$second
fi
command=$(command -v selfteach)
echo
echo "${folder#"$root"/} labels text:"
echo
printf 'echo %s | %q classify %q\n' "${sentence@Q}" "${command#"$root"/}" "${folder#"$root"/}"
