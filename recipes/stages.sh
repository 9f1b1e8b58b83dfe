# Stages of a recipe: each runs once, again when what it depends on has changed, and on from
# where it was when it was interrupted. To be sourced with $work set, the folder to work in.

# fingerprint DEPENDENCY... -- COMMAND...: one line that changes when any of these does.
# A dependency is the name of an earlier stage or a file.
fingerprint() {
    local dependency
    {
        while [[ $1 != -- ]]; do
            dependency=$1; shift
            if [[ -f $dependency ]]; then sha256sum <"$dependency"; else cat "$work/.stages/$dependency.done"; fi
        done
        printf '%s\0' "$@"
    } | sha256sum
}

# stage NAME OUTPUT DEPENDENCY... -- COMMAND...
# What a command leaves in OUTPUT when it is interrupted is there when it is run again, unless its
# settings have changed: then OUTPUT is removed first. Everything it prints goes to $work/logs.
stage() {
    local name=$1 output=$2 key begun done dependency; shift 2
    begun=$work/.stages/$name.begun done=$work/.stages/$name.done
    mkdir -p "$work/.stages" "$work/logs"
    for dependency in "$@"; do
        if [[ $dependency == -- ]]; then break; fi
        if [[ ! -f $dependency && ! -f $work/.stages/$dependency.done ]]; then
            fail "$name needs what $dependency makes, which has not been run to its end"
        fi
    done
    key=$(fingerprint "$@")
    while [[ $1 != -- ]]; do shift; done; shift

    if [[ -e $output && -f $done && $(<"$done") == "$key" ]]; then
        echo "== $name: finished already, kept"
        return
    fi
    if [[ ${follows:-} ]]; then  # another machine keeps the account
        "$@" &>>"$work/logs/$name.node$NODE_RANK.log"
        return
    fi
    lock "$name"
    rm -f "$done"
    if [[ -f $begun && $(<"$begun") == "$key" ]]; then
        echo "== $name: goes on"
    else
        if [[ -f $begun ]]; then echo "== $name: its settings or inputs have changed, starts anew"; else echo "== $name"; fi
        rm -rf "$output"
        printf '%s\n' "$key" >"$begun"
    fi
    printf '$ %s\n' "$(shorten "$@")"
    if ! "$@" 2>&1 | python -u "$recipes/progress.py" "$work/logs/$name.log"; then
        echo "== $name failed: see $work/logs/$name.log" >&2
        exit 1
    fi
    printf '%s\n' "$key" >"$done"
}

# Two runs of a stage would write over each other. The lock goes with the last process that has the
# file open: a training that outlived its script holds it still.
lock() {
    if ! command -v flock >/dev/null; then return; fi  # not on macOS
    exec 9>>"$work/.stages/$1.lock"
    if ! flock --nonblock 9; then fail "another run is at $1 in $work: let it end first"; fi
}

# A command line as one would type it at the project's root.
shorten() {
    local word line=
    for word in "$@"; do
        word=${word//"$root"\//}
        if [[ ! $word || $word == *[^a-zA-Z0-9_./:=-]* ]]; then word=${word@Q}; fi
        line+=" $word"
    done
    echo "${line:1}"
}
