"""Whether a stage of a recipe is finished, goes on, starts anew or is refused. It starts none.

    stages.py begin ROOT WORK CORPUS NAME OUTPUT NEEDED... -- COMMAND...   takes the stage on
    stages.py follow ROOT WORK CORPUS NAME OUTPUT NEEDED... -- COMMAND...  only looks
    stages.py finish WORK NAME OUTPUT         notes that the command has come to its end
    stages.py check WORK FOR NAME...          fails unless these are finished, after all they need
    stages.py stale WORK                      prints those made of what was made anew since

`begin` and `follow` end with 0 if the command is to be run, and with 3 if the stage is finished.
NEEDED is an earlier stage, by its name, or a file, by a path with a slash.

WORK/.stages/NAME.begun holds the key of the command that began last (what it is made of) and the
stages it needs, each with the digest of what that one had left by then. NAME.done holds the key of
the command that came to its end, and the digest of what it left; NAME.after, the stages it needed.
"""

import fcntl
import hashlib
import itertools
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

RUN, FINISHED = 0, 3
LOCK = 9  # the number under which stages.sh has opened the stage's lock


class StageError(ValueError):
    """A stage that can't be run as things are."""


class Stages:
    """The account of a folder's stages."""

    def __init__(self, work: str) -> None:
        self.work = work  # as it stands in commands
        self.folder = Path(work, ".stages")

    def digest(self, name: str) -> str:
        """Of what a finished stage left."""
        return self._done(name).split()[1]

    def needed(self, name: str) -> list[tuple[str, str]]:
        """The stages that a finished one was made of, each with the digest of what it had left."""
        return _pairs(_text(self.folder / f"{name}.after"))

    def check(self, name: str, needed_by: str) -> None:
        """Raises: StageError unless the stage came to its end, after all it needs."""
        if not self._done(name):
            raise StageError(
                f"{needed_by} needs what {name} makes, which has not been run to its end"
            )
        for before, digest in self.needed(name):
            self.check(before, needed_by)
            if self.digest(before) != digest:
                raise StageError(
                    f"{needed_by} needs what {name} makes, which is from before {before} was run "
                    "anew: run it again"
                )

    def stale(self) -> list[str]:
        """The stages that came to their end, but were made of what has been made anew since."""
        names = sorted(path.name.removesuffix(".done") for path in self.folder.glob("*.done"))
        return [name for name in names if not self._is_sound(name)]

    def is_finished(self, name: str, key: str, output: Path) -> bool:
        """Whether a stage of this key has left its output."""
        return output.exists() and self._done(name).startswith(f"{key} ")

    def keep(self, name: str, needs: str) -> None:
        """Notes that a finished stage is as good as made of what there is now."""
        _write(self.folder / f"{name}.after", needs)

    def begin(self, name: str, key: str, needs: str, output: Path) -> str:
        """Takes a stage on: it goes on, or starts anew. Returns what to say of it.

        Raises: StageError if another process is at it, or if its output is not of its making.
        """
        self._lock(name)
        begun, said = self.folder / f"{name}.begun", f"== {name}"
        (self.folder / f"{name}.done").unlink(missing_ok=True)
        if not begun.exists():
            if output.exists():
                raise StageError(
                    f"{output} was not made by this recipe: move it away, or choose another WORK"
                )
        elif _text(begun).split("\n")[0] == key:
            said += ": goes on"
        else:
            said += ": its settings or inputs have changed, starts anew" + put_away(output)
        _write(begun, f"{key}\n{needs}")
        return said

    def finish(self, name: str, output: Path) -> None:
        """Notes that the stage that began has come to its end, and what it has left."""
        key, _, needs = _text(self.folder / f"{name}.begun").partition("\n")
        self.keep(name, needs)
        _write(self.folder / f"{name}.done", f"{key} {digest_of(output)}\n")

    def look_at_needs(self, name: str, needed: list[str]) -> str:
        """The lines of NAME.after. Raises: StageError if a stage that it needs is not finished."""
        lines = ""
        for before in (need for need in needed if "/" not in need):
            self.check(before, name)
            lines += f"{before} {self.digest(before)}\n"
        return lines

    def key(self, root: str, needed: list[str], command: list[str]) -> str:
        """One word that changes when the command does, or anything it needs, but not with the
        place of the project."""
        parts = hashlib.sha256()
        for need in needed:
            if "/" in need and not Path(need).is_file():
                raise StageError(f"{need}: no such file")
            digest = digest_of(Path(need)) if "/" in need else self.digest(need)
            parts.update(f"{digest}\n".encode())
        for word in command:
            word = word.replace(self.work, "WORK").replace(root, "ROOT")
            parts.update(os.fsencode(word) + b"\0")
        return parts.hexdigest()

    def _done(self, name: str) -> str:
        return _text(self.folder / f"{name}.done")

    def _is_sound(self, name: str) -> bool:
        try:
            self.check(name, "")
        except StageError:
            return False
        return True

    def _lock(self, name: str) -> None:
        """Two runs of a stage would write over each other. The lock goes with the last process
        that has the file open: a training that outlived its script holds it still."""
        try:
            fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"another run is at {name} in {self.work}: let it end first") from None


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    names = [
        os.fsencode(os.path.join(folder, name))
        for folder, _, files in os.walk(path)
        for name in files
    ]
    prefix, lines = os.fsencode(path) + b"/", hashlib.sha256()
    for name in sorted(name for name in names if not os.path.islink(name)):
        digest = digest_of(Path(os.fsdecode(name))).encode()
        lines.update(digest + b"  ./" + name.removeprefix(prefix) + b"\n")  # as sha256sum prints
    return lines.hexdigest()


def put_away(output: Path) -> str:
    """Removes what a stage has left; but checkpoints are put aside. Returns what to say of it."""
    if not (any(output.glob("*.pt")) or any(output.glob("*/*.pt"))):
        _remove(output)
        return ""
    names = (f"{output.name}.old{n or ''}" for n in itertools.count())
    aside = next(path for path in map(output.with_name, names) if not path.exists())
    output.rename(aside)
    return f"\n   the checkpoints until now are in {aside.name}"


def as_typed(root: str, command: list[str]) -> str:
    """A command line as one would type it at the project's root."""
    return shlex.join(word.replace(f"{root}/", "") for word in command)


def _pairs(lines: str) -> list[tuple[str, str]]:
    return [(line.split()[0], line.split()[1]) for line in lines.splitlines()]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f"{path.name}.new{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def take_on(
    follows: bool, root: str, work: str, corpus: str, name: str, output: str, *rest: str
) -> int:
    """`begin` and `follow`."""
    dashes = rest.index("--")
    needed, command = list(rest[:dashes]), list(rest[dashes + 1 :])
    stages = Stages(work)
    stages.folder.mkdir(parents=True, exist_ok=True)
    _write(stages.folder / "corpus", f"{corpus}\n")
    needs = stages.look_at_needs(name, needed)
    key = stages.key(root, needed, ["--", *command])
    if stages.is_finished(name, key, Path(output)):
        stages.keep(name, needs)
        print(f"== {name}: finished already, kept")
        return FINISHED
    if not follows:
        print(stages.begin(name, key, needs, Path(output)))
        print("$", as_typed(root, command))
    return RUN


def main(command: str, *words: str) -> int:
    if command in ("begin", "follow"):
        return take_on(command == "follow", *words)
    work, *words = words
    stages = Stages(work)
    if command == "finish":
        name, output = words
        stages.finish(name, Path(output))
    elif command == "check":
        needed_by, *names = words
        for name in names:
            stages.check(name, needed_by)
    elif command == "stale":
        print(*stages.stale(), sep="\n")
    return RUN


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    try:
        raise SystemExit(main(*sys.argv[1:]))
    except StageError as error:
        raise SystemExit(f"recipes: {error}") from None
