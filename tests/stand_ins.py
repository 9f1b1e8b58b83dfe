"""The recipes with stand-ins for all commands that take time, and what these are asked for."""

import shlex
import stat
import sys

# Notes its own words, and leaves in a file what it was made of, for the next stage.
STAND_IN = r"""#!/bin/bash
set -eu
name=${0##*/}
case "$name ${1:-}" in
    "python -c") exit ;;  # matplotlib is there
    "python -u") exec tee -a "$3" ;;  # progress.py
    "python "*/check.py | "python "*/runs.py | "python "*/stages.py | "python "*/workers.py)
        exec PYTHON -S "$@" ;;  # take no time
    "python "*measure.py) "${@:4}"; echo "the cost" >"$2"; exit ;;
esac
IFS=$'\t'; echo "$name"$'\t'"$*" >>"$CALLS"
words=("$@") previous=
for word in "$@"; do
    case $previous in
        --out | --destdir) mkdir -p "$word"; made=$word/dict.txt ;;
        --save-dir) mkdir -p "$word"; made=$word/checkpoint_best.pt ;;
        -o) made=$word; if [[ $word != *.* ]]; then mkdir -p "$word"; made=$word/made; fi ;;
    esac
    previous=$word
done
if [[ ${made:-} ]]; then
    echo "$*" >"$made.new"
    for file in "$@" "${@/%//dict.txt}"; do
        if [[ -f $file ]]; then cat "$file" >>"$made.new"; fi
    done
    mv "$made.new" "$made"
fi
echo "| the table |"
"""
NAMES = ("python", "fairseq-preprocess", "fairseq-train", "selfteach")


class Comparison:
    """A project whose commands are stand-ins, and what they have been asked for."""

    def __init__(self, project):
        self.project, self.work = project, project.folder / "work/bitext-mine"
        self.calls_path = project.folder / "calls"
        self.calls_path.touch()
        for name in NAMES:
            path = project.folder / "bin" / name
            path.write_text(STAND_IN.replace("PYTHON", shlex.quote(sys.executable)))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, *stages, code=0, script="compare.sh", corpus="bitext-mine", **environment):
        """What it prints, and the calls it makes."""
        before = len(self.calls_path.read_text().splitlines())
        process = self.project.start(
            corpus, *stages, script=script, CALLS=str(self.calls_path), **environment
        )
        output = process.communicate()[0]
        assert process.returncode == code, output
        calls = self.calls_path.read_text().replace(f"{self.work}/", "").splitlines()[before:]
        return output, [call.split("\t") for call in calls]


def of(calls, *words):
    """The calls that begin so."""
    return [call for call in calls if call[: len(words)] == list(words)]


def after(call, option):
    return call[call.index(option) + 1]


def between(call, start, end):
    return call[call.index(start) + 1 : call.index(end, call.index(start))]
