# Any parallel text: bitext-NAME, with
#   SRC=train.de TGT=train.en, or TSV=train.tsv SOURCE_LANG=de TARGET_LANG=en; also .gz, .xz, .bz2
#   VALID_SRC= VALID_TGT= (or VALID_TSV=), TEST_SRC= ...   else taken out of the training text
#   HELD_OUT=1000   so many pairs to each
if [[ ! $variant ]]; then fail "give your text a name: make $family NAME=..."; fi

text_inputs=("$recipes"/corpora/{bitext,text}.py)
text=()

# given PREFIX OPTION: the files of one split, if they are named.
given() {
    local tsv=$1TSV source_file=$1SRC target_file=$1TGT file files=()
    if [[ ${!tsv:-} ]]; then
        files=("${!tsv}")
    elif [[ ${!source_file:-} && ${!target_file:-} ]]; then
        files=("${!source_file}" "${!target_file}")
    elif [[ ${!source_file:-}${!target_file:-} ]]; then
        fail "say both $source_file= and $target_file=, or $tsv="
    else
        return 0
    fi
    text+=("$2")
    for file in "${files[@]}"; do
        if [[ ! -f $file ]]; then fail "$file: no such file"; fi
        file=$(realpath "$file")
        text+=("$file") text_inputs+=("$file")
    done
}
given "" --train
given VALID_ --valid
given TEST_ --test
if [[ ${text[0]:-} != --train ]]; then fail "say SRC= and TGT=, or TSV=, the training text"; fi

# suffix FILE: de of train.de.gz, and of what only has to be unpacked before, as the script then says
suffix() {
    local name=$1
    if [[ ${name,,} =~ \.(gz|xz|bz2|zip|zst|lz4?|7z|rar|z)$ ]]; then name=${name%.*}; fi
    echo "${name##*.}"
}
source=${SOURCE_LANG:-$(suffix "${SRC:-.}")} target=${TARGET_LANG:-$(suffix "${TGT:-.}")}
if [[ ! $source || ! $target || $source == */* || $target == */* || $source == "$target" ]]; then
    fail "say SOURCE_LANG= and TARGET_LANG=: two languages don't follow from the files' names"
fi
text=(python "$recipes/corpora/bitext.py" "$source" "$target" "${text[@]}")
if [[ ${HELD_OUT:-} ]]; then text+=(--held-out "$HELD_OUT"); fi
source "$recipes/base.sh"
