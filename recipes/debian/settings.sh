# Descriptions of Debian's packages and their sections: debian-sections, with MODEL= or from scratch
if [[ $variant != sections ]]; then fail "'$corpus': name debian-sections"; fi
text_inputs=("$recipes"/corpora/{debian,labelled,text}.py)
text=(python "$recipes/corpora/debian.py")
if [[ ${DUMP:-} ]]; then
    if [[ ! -f $DUMP ]]; then fail "DUMP=$DUMP: no such file"; fi
    DUMP=$(realpath "$DUMP")
    text+=(--dump "$DUMP") text_inputs+=("$DUMP")
fi
EPOCHS=${EPOCHS:-4}
if [[ ${MODEL:-} ]]; then LR=${LR:-2e-4}; fi
source "$recipes/classes.sh"
if [[ $bert ]]; then students="5 4 3 2" ship=3; fi
