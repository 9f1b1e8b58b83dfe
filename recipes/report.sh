#!/usr/bin/env bash
# Print the scored models as tables, and write report.md, report.csv and a page with pictures of all
# that the folder has, report.html: recipes/report.sh CORPUS
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for_each_run add_records
for record in "${records[@]}"; do
    if [[ ! -f $record ]]; then fail "${record#"$root"/} is missing: run recipes/score.sh $corpus"; fi
done

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
