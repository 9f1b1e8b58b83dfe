# A stage of a recipe runs once, again when what it depends on has changed, and on from where it was
# when it was interrupted: stages.py decides. To be sourced after settings.sh.

# stage NAME OUTPUT NEEDED... -- COMMAND...
# NEEDED is an earlier stage, by its name, or a file, by a path with a slash. Everything that COMMAND
# prints goes to $work/logs.
stage() {
    local name=$1 output=$2 status=0
    mkdir -p "$work/.stages" "$work/logs"
    exec 9>>"$work/.stages/$name.lock"  # stages.py locks it, for all that have it open from here on
    python "$recipes/stages.py" begin "$root" "$work" "$corpus" "$@" || status=$?
    if (( status == 3 )); then return; fi  # finished already
    if (( status )); then exit "$status"; fi
    while [[ $1 != -- ]]; do shift; done; shift
    "$@" 2>&1 | python -u "$recipes/progress.py" "$work/logs/$name.log" || status=$?
    if (( status == 130 )); then kill -INT $$; fi  # Ctrl-C: what runs this script is to end, too
    if (( status )); then
        echo "== $name failed: see $work/logs/$name.log" >&2
        exit 1
    fi
    python "$recipes/stages.py" finish "$work" "$name" "$output"
}

# follow NODE NAME OUTPUT NEEDED... -- COMMAND...
# Takes part in a stage on another machine than the first one, which keeps the account of it.
follow() {
    local name=$2 log=$work/logs/$2.node$1.log status=0; shift
    python "$recipes/stages.py" follow "$root" "$work" "$corpus" "$@" || status=$?
    if (( status == 3 )); then return; fi  # finished already
    if (( status )); then exit "$status"; fi
    while [[ $1 != -- ]]; do shift; done; shift
    mkdir -p "$work/logs"
    "$@" &>>"$log" || { echo "== $name failed: see $log" >&2; exit 1; }
}
