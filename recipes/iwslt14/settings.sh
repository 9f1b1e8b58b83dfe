# The five IWSLT14 pairs into English: iwslt14-de, -ar, -fa, -es, -he.
# IWSLT14_ARCHIVE=path of a copy   LOWERCASE=1   TEDX_FIXED=1 (German)
if [[ " de ar fa es he " != *" $variant "* ]]; then
    fail "'$corpus' is no pair of IWSLT14: name iwslt14-de, -ar, -fa, -es or -he"
fi
source=$variant target=en
text=(python "$recipes/corpora/iwslt14.py" "$source" en --download-dir "$root/work/download")
if [[ ${LOWERCASE:-0} == 1 ]]; then text+=(--lowercase); fi
if [[ ${TEDX_FIXED:-0} == 1 ]]; then text+=(--tedx-fixed); fi
text_inputs=("$recipes"/corpora/{iwslt14,iwslt14_archive,iwslt14_markup,text}.py)
if [[ ${IWSLT14_ARCHIVE:-} ]]; then
    if [[ ! -f $IWSLT14_ARCHIVE ]]; then fail "IWSLT14_ARCHIVE=$IWSLT14_ARCHIVE: no such file"; fi
    text_inputs+=("$(realpath "$IWSLT14_ARCHIVE")")
fi
source "$recipes/base.sh"
