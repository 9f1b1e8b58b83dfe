# Tasks of GLUE, from a copy of it: glue-rte, glue-cola, with GLUE_DIR= and MODEL=
declare -A folders=([rte]=RTE [cola]=CoLA)
case $variant in
    rte) LR=${LR:-2e-5} longest_text=512 ;;
    cola) LR=${LR:-1e-5} longest_text=256 ;;
    *) fail "'$corpus': name glue-rte or glue-cola" ;;
esac
if [[ ! ${GLUE_DIR:-} ]]; then fail "say GLUE_DIR=, the folder that has RTE and CoLA"; fi
if [[ ! ${MODEL:-} ]]; then fail "say MODEL=, a folder or zip of a BERT"; fi
GLUE_DIR=$(realpath "$GLUE_DIR")
text_inputs=("$recipes"/corpora/{glue,labelled,text}.py "$GLUE_DIR/${folders[$variant]}"/{train,dev}.tsv)
text=(python "$recipes/corpora/glue.py" "$variant" "$GLUE_DIR")
source "$recipes/classes.sh"
students="9 8 7 6" ship=6
