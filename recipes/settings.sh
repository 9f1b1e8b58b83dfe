# The settings of a corpus: source settings.sh CORPUS. What comes later wins: the defaults here, the
# corpus' settings.sh, the file SETTINGS, the environment. check.py says what is wrong with them.
set -euo pipefail
shopt -s inherit_errexit

corpus=${1:-}
recipes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${recipes%/*}
family=${corpus%%-*}
variant=${corpus#"$family"} variant=${variant#-}  # of iwslt14-de: de

fail() { echo "${0##*/}: $*" >&2; exit 1; }

if [[ ! $family || $corpus == */* || ! -f $recipes/$family/settings.sh ]]; then
    fail "'$corpus' is no corpus: name demo, iwslt14-de, multi30k-de, bitext-NAME, summarise-NAME, classify-NAME, glue-rte, debian-sections or debian-summaries"
fi
metric=  # of tests of significance and for length penalties: rouge, else BLEU or accuracy
kind=translation  # or classes: of labels for texts
bart= bert=  # folders of pretrained models
cut_source= longest_text=  # so many pieces that sources, or texts with a label, are cut to
types=10000 normalization=identity seeds="1" methods=selfteach average=0 checkpoint=checkpoint_best.pt needs_gpu=
engines=fairseq within= ship= quantization=int8 example=
updates= refine_updates= later=  # of a whole training, of a refinement; options for the stages of METHOD=gradual after the first
text_inputs=() generation=(--beam 5) longest=() sentences=
source "$recipes/$family/settings.sh"
if [[ ${SETTINGS:-} ]]; then
    if [[ ! -f $SETTINGS ]]; then fail "SETTINGS=$SETTINGS: no such file"; fi
    declare -A said
    of_machines=(PRECISION CPU KEEP_EVERY NPROC_PER_NODE NNODES NODE_RANK MASTER_ADDR MASTER_PORT)
    of_corpora=({,VALID_,TEST_}{SRC,TGT,TSV} SOURCE_LANG TARGET_LANG HELD_OUT LOWERCASE METRIC LONGEST
        MODEL EPOCHS LR BART BART_ARCH DUMP GLUE_DIR MULTI30K_DIR IWSLT14_ARCHIVE TEDX_FIXED DEMO_WHEEL)
    for name in "${of_machines[@]}" "${of_corpora[@]}"; do said[$name]=${!name:-}; done
    source "$SETTINGS"
    for name in "${of_corpora[@]}"; do
        if [[ ${!name:-} != "${said[$name]}" ]]; then
            fail "SETTINGS=$SETTINGS: $name is read before this file: say it on the command line"
        fi
    done
    for name in "${of_machines[@]}"; do  # which are read from the environment
        value=${said[$name]:-${!name:-}}
        if [[ $value ]]; then export "$name=$value"; fi
    done
fi
work=${WORK:-$root/work/$corpus}
types=${TYPES:-$types}          # size of the joint vocabulary
normalization=${SPM_NORMALIZATION:-$normalization}  # what sentencepiece makes of the text before
layers=${LAYERS:-$layers}       # of the full model: 6, or 12x6
students=${STUDENTS:-$students}  # "3 2": trained all at once, and cut out
methods=${METHOD:-$methods}     # "selfteach plain": files of flags; plain@3 is plain with 3 layers,
                                # selfteach=4x2-2 has these students instead of STUDENTS
                                # gradual@6-5-4-3 trains and cuts through these depths
seeds=${SEEDS:-$seeds}          # "1 2 3"
average=${AVERAGE:-$average}    # so many last epochs' checkpoints, instead of the best one; 0 5: both
refine=${REFINE-${refine:-}}             # "plain r3f": refine.sh trains what was cut out a little further
refine_depths=${REFINE_DEPTHS:-${refine_depths:-}}  # "2 4x2": what of it; the smallest student
refine_updates=${REFINE_UPDATES:-$refine_updates}  # so many; a tenth of the training's
engines=${ENGINES:-$engines}     # "fairseq ctranslate2 ctranslate2-int8": each translates and is scored
within=${WITHIN-$within}        # the report says which model is the fastest within so much BLEU
if [[ $ship && " $layers $students " != *" $ship "* ]]; then ship=${students##* }; fi
ship=${SHIP:-$ship}             # the depth that export.sh makes a folder of
quantization=${QUANTIZATION:-$quantization}  # of its numbers
lenpens=(${LENPENS:-${lenpens[*]:-}})          # 0.6 1 1.4: each model's is the best of these on validation text
if [[ $kind == classes ]]; then lenpens=(); fi  # which search nothing
test_set=${TEST_SET:-${test_set:-test}}     # what is translated: test1, too, where a corpus has it
of_test=${test_set#test} of_test=${of_test:+-$test_set}  # the end of a report's name
tuned=${lenpens:+-tuned}$of_test  # that of the stages that score
scores=$work${tuned:+/${tuned#-}}  # where the records are
