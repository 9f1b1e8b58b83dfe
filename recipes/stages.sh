# Stages of a recipe: each runs once, again when what it depends on has changed, and on from
# where it was when it was interrupted. To be sourced with $work set, the folder to work in.
#
# $work/.stages/NAME.begun holds the key of the command that began last: what it is made of.
# NAME.done holds the key of the one that came to its end, and the digest of what it left;
# NAME.after, the stages it depends on, each with the digest of what that one had left by then.

digest() { sha256sum | cut -d " " -f 1; }

# left_by STAGE: the digest of what a finished stage left.
left_by() { cut -d " " -f 2 "$work/.stages/$1.done"; }

# fingerprint DEPENDENCY... -- COMMAND...: one line that changes when any of these does.
# A dependency is an earlier stage, by its name, or a file, by a path with a slash.
fingerprint() {
    local word
    {
        while [[ $1 != -- ]]; do
            if [[ $1 == */* ]]; then digest <"$1"; else left_by "$1"; fi
            shift
        done
        for word in "$@"; do
            word=${word//"$work"/WORK}
            printf '%s\0' "${word//"$root"/ROOT}"
        done
    } | digest
}

digest_of() {
    if [[ -f $1 ]]; then digest <"$1"; return; fi
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum) | digest
}

# check_finished STAGE FOR: fails unless it came to its end, after all it depends on.
check_finished() {
    local before digest
    if [[ ! -f $work/.stages/$1.done ]]; then
        fail "$2 needs what $1 makes, which has not been run to its end"
    fi
    while read -r before digest; do
        check_finished "$before" "$2"
        if [[ $(left_by "$before") != "$digest" ]]; then
            fail "$2 needs what $1 makes, which is from before $before was run anew: run it again"
        fi
    done <"$work/.stages/$1.after"
}

# stale STAGE: whether it came to its end, but of what has been made anew since.
stale() { [[ -f $work/.stages/$1.done ]] && ! (check_finished "$1" "") 2>/dev/null; }

# stage NAME OUTPUT DEPENDENCY... -- COMMAND...
# What a command leaves in OUTPUT when it is interrupted is there when it is run again, unless its
# settings have changed: then OUTPUT is removed first, but checkpoints are put aside as OUTPUT.old.
# Everything it prints goes to $work/logs.
stage() {
    local name=$1 output=$2 key begun done after="" dependency status=0; shift 2
    begun=$work/.stages/$name.begun done=$work/.stages/$name.done
    mkdir -p "$work/.stages" "$work/logs"
    echo "$corpus" >"$work/.stages/corpus"
    for dependency in "$@"; do
        if [[ $dependency == -- ]]; then break; fi
        if [[ $dependency == */* ]]; then continue; fi
        check_finished "$dependency" "$name"
        after+="$dependency $(left_by "$dependency")"$'\n'
    done
    key=$(fingerprint "$@")
    while [[ $1 != -- ]]; do shift; done; shift

    if [[ -e $output && -f $done && $(<"$done") == "$key "* ]]; then
        printf '%s' "$after" >"$work/.stages/$name.after"
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
        if [[ -f $begun ]]; then
            echo "== $name: its settings or inputs have changed, starts anew"
            put_away "$output"
        else
            if [[ -e $output ]]; then
                fail "$output was not made by this recipe: move it away, or choose another WORK"
            fi
            echo "== $name"
        fi
        printf '%s\n' "$key" >"$begun"
    fi
    printf '$ %s\n' "$(shorten "$@")"
    "$@" 2>&1 | python -u "$recipes/progress.py" "$work/logs/$name.log" || status=$?
    if (( status == 130 )); then kill -INT $$; fi  # Ctrl-C: what runs this script is to end, too
    if (( status )); then
        echo "== $name failed: see $work/logs/$name.log" >&2
        exit 1
    fi
    printf '%s' "$after" >"$work/.stages/$name.after"
    printf '%s %s\n' "$key" "$(digest_of "$output")" >"$done"
}

put_away() {
    if compgen -G "$1/*.pt" >/dev/null || compgen -G "$1/*/*.pt" >/dev/null; then
        rm -rf "$1.old"
        mv "$1" "$1.old"
        echo "   the checkpoints until now are in ${1##*/}.old"
    else
        rm -rf "$1"
    fi
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
