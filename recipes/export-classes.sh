# What export.sh does with a classifier: a folder that labels text; sourced by it.
folder=$work/export-$ship

pack() {
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    cp "$work/$name-$ship.pt" "$folder.new/model.pt"
    for part in input0 label; do
        mkdir "$folder.new/$part"
        cp "$work/data/$part/dict.txt" "$folder.new/$part"
    done
    for file in tokenizer.json spm.model; do
        if [[ -f $work/pieces/$file ]]; then cp "$work/pieces/$file" "$folder.new"; fi
    done
    rm -rf "$folder"
    mv "$folder.new" "$folder"
}
stage "export-$name-$ship" "$folder" "truncate-$name-$ship" binarise -- pack

read -r sentence <"$work/text/test.input0"
command=$(command -v selfteach)
echo
echo "${folder#"$root"/} labels text:"
echo
echo "echo ${sentence@Q} | ${command#"$root"/} classify ${folder#"$root"/}"
