# Labels for texts: classify-NAME, with a table of label TAB text, or label TAB text TAB text.
#   TSV=train.tsv   VALID_TSV= TEST_TSV=   else taken out of the training text; HELD_OUT=1000
#   MODEL=folder or zip of a BERT          else a small encoder learns from scratch
if [[ ! $variant ]]; then fail "give your text a name: make classify NAME=..."; fi
if [[ ! ${TSV:-} ]]; then fail "say TSV=, the table of labels and texts"; fi

text_inputs=("$recipes"/corpora/{labelled,text}.py)
text=(python "$recipes/corpora/labelled.py")
for split in TRAIN VALID TEST; do
    name=${split}_TSV
    file=${!name:-}
    if [[ $split == TRAIN ]]; then file=$TSV; fi
    if [[ ! $file ]]; then continue; fi
    if [[ ! -f $file ]]; then fail "$file: no such file"; fi
    file=$(realpath "$file")
    text+=("--${split,,}" "$file") text_inputs+=("$file")
done
if [[ ${HELD_OUT:-} ]]; then text+=(--held-out "$HELD_OUT"); fi
source "$recipes/classes.sh"
