# What the stages' scripts share: sourced with the corpus' name, it loads the corpus' settings.
set -euo pipefail
shopt -s inherit_errexit

recipes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${recipes%/*}
if [[ -x $root/.venv/bin/python ]]; then PATH=$root/.venv/bin:$PATH; fi  # what make has set up
corpus=${1:-}
family=${corpus%%-*}
variant=${corpus#"$family"} variant=${variant#-}  # of iwslt14-de: de

fail() { echo "${0##*/}: $*" >&2; exit 1; }

if (( $# > 1 )); then fail "$*: name one corpus, with quotes if its name has spaces"; fi
if [[ ! $family || $corpus == */* || ! -f $recipes/$family/settings.sh ]]; then
    fail "'$corpus' is no corpus: name demo, iwslt14-de, multi30k-de or bitext-NAME"
fi
types=10000 normalization=identity seeds="1" methods=selfteach average=0 checkpoint=checkpoint_best.pt needs_gpu=
updates= later=  # of a whole training; options for the stages of METHOD=gradual after the first
text_inputs=() generation=(--beam 5) longest=()
source "$recipes/$family/settings.sh"
if [[ ${SETTINGS:-} ]]; then
    if [[ ! -f $SETTINGS ]]; then fail "SETTINGS=$SETTINGS: no such file"; fi
    source "$SETTINGS"
fi
work=${WORK:-$root/work/$corpus}
if [[ $work == *[],:*?[]* ]]; then
    fail "WORK=$work: to fairseq or the shell one of , : * ? [ ] is no part of a name: choose another"
fi
listed() { tr -s "[:space:]" " " <<<"$1" | sed "s/^ //; s/ $//"; }  # with one space between
types=${TYPES:-$types}          # size of the joint vocabulary
normalization=${SPM_NORMALIZATION:-$normalization}  # what sentencepiece makes of the text before
layers=${LAYERS:-$layers}       # of the full model: 6, or 12x6
students=$(listed "${STUDENTS:-$students}")  # "3 2": trained all at once, and cut out
methods=${METHOD:-$methods}     # "selfteach plain": files of flags; plain@3 is plain with 3 layers
                                # gradual@6-5-4-3 trains and cuts through these depths
seeds=${SEEDS:-$seeds}          # "1 2 3"
average=${AVERAGE:-$average}    # so many last epochs' checkpoints, instead of the best one
lenpens=$(listed "${LENPENS:-}")  # "0.6 1 1.4": each model's is the best of these on validation text
scores=$work${lenpens:+/tuned} tuned=${lenpens:+-tuned}  # where the records are; their stages' end

for depth in $layers $students; do
    if [[ ! $depth =~ ^[1-9][0-9]*(x[1-9][0-9]*)?$ ]]; then
        fail "'$depth' is no depth: write LAYERS and STUDENTS as 3 or 6x3, several with spaces between"
    fi
done
depth="[1-9][0-9]*(x[1-9][0-9]*)?"
for method in $methods; do
    if [[ $method == gradual@* ]]; then
        if [[ ! $method =~ ^gradual@$depth(-$depth)+$ ]]; then
            fail "METHOD=$method: write gradual, or gradual@6-5-4-3 for these depths"
        fi
    elif [[ ! $method =~ ^[^@]+(@$depth)?$ ]]; then
        fail "METHOD=$method: write plain, or plain@3 for one of 3 layers"
    fi
done
if [[ ! $normalization =~ ^(identity|(nmt_)?nfkc(_cf)?)$ ]]; then
    fail "SPM_NORMALIZATION=$normalization: choose identity, which leaves the text as it is," \
        "nfkc, nmt_nfkc, nfkc_cf or nmt_nfkc_cf"
fi
for number in $types $seeds $average; do
    if [[ ! $number =~ ^[0-9]+$ ]]; then fail "TYPES, SEEDS, AVERAGE: '$number' is no number"; fi
done
for number in $lenpens; do
    if [[ ! $number =~ ^[0-9]+(\.[0-9]+)?$ ]]; then fail "LENPENS: '$number' is no number"; fi
done

source "$recipes/stages.sh"

if [[ -f $work/.stages/corpus && $(<"$work/.stages/corpus") != "$corpus" ]]; then
    fail "$work is for $(<"$work/.stages/corpus"): choose another WORK for $corpus"
fi

# By default glibc hands freed memory back, and takes it anew for almost every tensor: a fifth of
# the training time on a CPU.
export MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_MAX_=0
export PYTHONWARNINGS=ignore  # fairseq's dependencies warn of each other

# A method is a file of flags: the corpus' own, or the one for all, or a trial of the settings.
file_of() {
    local file
    for file in "$recipes"/{$family,methods,study}/"$1.flags"; do
        if [[ -f $file ]]; then
            echo "$file"
            return
        fi
    done
    fail "METHOD=$1: there is no recipes/methods/$1.flags"
}

for method in $methods; do file_of "${method%@*}" >/dev/null; done

# method_says METHOD TEXT: whether its file has this in it.
method_says() {
    local file
    file=$(file_of "$1") || exit 1  # -e does not count in a condition
    grep -qF -- "$2" "$file"
}

# What lines of comment in a method's file ask of the recipes.
every_other="# cut: every other layer" translated="# text: translated by the teacher"
learns_from_teacher() { method_says "$1" "{teacher}" || method_says "$1" "$translated"; }

# for_each_run COMMAND: calls it with the name, the method, the depth and the seed of each run.
for_each_run() {
    local method depth seed cut_at
    for method in $methods; do
        depth=$layers cut_at=$students
        if [[ $method == *@* ]]; then
            depth=${method#*@}
            if ! method_says "${method%@*}" "{students}"; then cut_at=; fi  # it is a student itself
        elif [[ $method == gradual ]]; then
            depth=$(one_by_one)
        fi
        for seed in $seeds; do
            "$1" "$method-seed$seed" "${method%@*}" "$depth" "$seed"
        done
    done
}

# The depths from the full model's down to the smallest student's: 6-5-4-3.
one_by_one() {
    local last
    last=$(tr " " "\n" <<<"$students" | sort -n | head -n 1)
    if [[ $layers$students == *x* ]] || (( last >= layers )); then
        fail "METHOD=gradual goes from LAYERS=$layers to STUDENTS=$students: say gradual@6x6-6x4-6x3"
    fi
    seq -s - "$layers" -1 "$last"
}

# fits STUDENT DEPTH: whether a model of this depth has a student's layers.
fits() { (( ${1%x*} <= ${2%x*} && ${1#*x} <= ${2#*x} )); }

# cuts DEPTH: the depths at which a run of this depth is scored, its own first; of a schedule, all.
# To be called by what for_each_run calls.
cuts() {
    local student
    if [[ $1 == *-* ]]; then
        tr - "\n" <<<"$1"
        return
    fi
    echo "$1"
    for student in $cut_at; do
        if fits "$student" "$1" && ! fits "$1" "$student"; then echo "$student"; fi
    done
}

# add_records, for for_each_run: adds the files of a run's scores to records.
records=()
add_records() {
    local cut
    for cut in $(cuts "$3"); do records+=("$scores/$1-$cut.json"); done
}
