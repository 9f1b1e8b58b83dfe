#!/usr/bin/env bash
# Print the scored models as tables, and write report.md, report.csv and a page with pictures of all
# that the folder has, report.html: recipes/report.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

list=$(runs --scores record)
records=() stages=()
while read -r name; do
    record=$scores/$name.json
    if [[ ! -f $record ]]; then fail "${record#"$root"/} is missing: run recipes/score.sh $corpus"; fi
    records+=("$record") stages+=("score-$name$tuned")
done <<<"$list"
python "$recipes/stages.py" check "$work" report "${stages[@]}"

# The page compares all that the folder has: so what was made of earlier text or pieces goes aside.
put_aside() {
    local path folder=${1%/*}/old
    if [[ ! -e $1 ]]; then return; fi
    echo "== ${1#"$root"/} is of what has been made anew since: put aside in ${folder#"$root"/}"
    mkdir -p "$folder"
    for path in "$@"; do
        rm -rf "$folder/${path##*/}"
        if [[ -e $path ]]; then mv "$path" "$folder"; fi
    done
}
list=$(python "$recipes/stages.py" stale "$work")
for stage in $list; do
    name=${stage#*-}
    case $stage in
        score-*"$tuned") put_aside "$scores/${name%"$tuned"}".{json,hyp.txt} ;;
        train-*) put_aside "$work/logs/$stage.log" ;;
        importance-*) put_aside "$work/$stage" ;;
    esac
done

shown=()
if [[ $sentences ]]; then shown+=(--sentences "$sentences" --source "$work/text/$test_set.$source"); fi

echo
{
    tables=(selfteach report "${records[@]}" --csv "$work/report$of_test.csv" "${shown[@]}")
    # Which is the fastest can't be said if some were scored elsewhere: that is no reason for no table.
    "${tables[@]}" ${within:+--within "$within"} || if [[ $within ]]; then "${tables[@]}"; else exit 1; fi
    if [[ -f $recipes/$family/published.md ]]; then
        echo
        sed -n "/^| pair/p; /^|--/p; /^| $variant /p" "$recipes/$family/published.md"
    fi
} | tee "$work/report$of_test.md.new"
mv "$work/report$of_test.md.new" "$work/report$of_test.md"

echo
if python -c "import matplotlib" 2>/dev/null; then
    page=$(selfteach report "$scores" | tail -n 1)
    echo "${page#"$root"/}"
else
    echo "no report.html: its pictures need matplotlib (pip install matplotlib)"
fi
