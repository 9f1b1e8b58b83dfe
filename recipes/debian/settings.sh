# Debian's packages: debian-sections labels their one-line descriptions, with MODEL= or from scratch;
# debian-summaries makes these of the long ones.
case $variant in
    sections) reader=debian ;;
    summaries) reader=descriptions ;;
    *) fail "'$corpus': name debian-sections or debian-summaries" ;;
esac
text_inputs=("$recipes"/corpora/{debian,descriptions,labelled,text}.py)
text=(python "$recipes/corpora/$reader.py")
if [[ ${DUMP:-} ]]; then
    if [[ ! -f $DUMP ]]; then fail "DUMP=$DUMP: no such file"; fi
    DUMP=$(realpath "$DUMP")
    text+=(--dump "$DUMP") text_inputs+=("$DUMP")
fi

if [[ $variant == summaries ]]; then
    source=document target=summary metric=${METRIC:-rouge} cut_source=${LONGEST:-512}
    source "$recipes/small.sh"
    students="4x2" updates=3600
    training+=(--warmup-updates 400 --total-num-update "$updates" --max-tokens 6700)
else
    EPOCHS=${EPOCHS:-4}
    if [[ ${MODEL:-} ]]; then LR=${LR:-2e-4}; fi
    source "$recipes/classes.sh"
    if [[ $bert ]]; then students="5 4 3 2" ship=3; fi
fi
