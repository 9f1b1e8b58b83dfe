#!/usr/bin/env bash
# Print the scored models as tables, and write report.md, report.csv and a page with pictures of all
# that the folder has, report.html: recipes/report.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for_each_run add_records
for record in "${records[@]}"; do
    if [[ ! -f $record ]]; then fail "${record#"$root"/} is missing: run recipes/score.sh $corpus"; fi
    name=${record##*/}
    check_finished "score-${name%.json}$tuned" report
done

# put_aside STAGE PATH...: what it has left, if that is of text or pieces that were made anew since:
# the page compares all that the folder has.
put_aside() {
    local path folder=${2%/*}/old
    if ! stale "$1"; then return; fi
    echo "== ${2#"$root"/} is of what has been made anew since: put aside in ${folder#"$root"/}"
    mkdir -p "$folder"; shift
    for path in "$@"; do
        rm -rf "$folder/${path##*/}"
        if [[ -e $path ]]; then mv "$path" "$folder"; fi
    done
}
for record in "$scores"/*.json; do
    name=${record##*/} name=${name%.json}
    put_aside "score-$name$tuned" "$record" "$scores/$name.hyp.txt"
done
for log in "$work"/logs/train-*.log; do
    name=${log##*/}
    put_aside "${name%.log}" "$log"
done
for pictures in "$work"/importance-*; do put_aside "${pictures##*/}" "$pictures"; done

shown=()
if [[ ${sentences:-} ]]; then shown=(--sentences "$sentences" --source "$work/text/test.$source"); fi

echo
{
    selfteach report "${records[@]}" --csv "$work/report.csv" "${shown[@]}"
    if [[ -f $recipes/$family/published.md ]]; then
        echo
        sed -n "/^| pair/p; /^|--/p; /^| $variant /p" "$recipes/$family/published.md"
    fi
} | tee "$work/report.md.new"
mv "$work/report.md.new" "$work/report.md"

echo
if python -c "import matplotlib" 2>/dev/null; then
    page=$(selfteach report "$scores" | tail -n 1)
    echo "${page#"$root"/}"
else
    echo "no report.html: its pictures need matplotlib (pip install matplotlib)"
fi
