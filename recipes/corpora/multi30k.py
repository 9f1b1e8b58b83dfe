"""Multi30k, German and English: its training, validation and 2016 test text.

    python recipes/corpora/multi30k.py de en --out DIR [--dir DIR] [--pairs N] [--more-test N]

writes DIR/{train,valid,test[,test1]}.{de,en}, every sentence, tidied. The text comes from the
repository multi30k/dataset on GitHub, or from a copy of its data/task1/raw.
"""

import argparse
import hashlib
import os
from pathlib import Path

from download import download
from text import CorpusError, complain, read_lines, summary, tidy_line, write

URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
FILES = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
# Of the unpacked text, in hex.
SHA256 = {
    "train.de.gz": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    "train.en.gz": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    "val.de.gz": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    "val.en.gz": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    "test_2016_flickr.de.gz": "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
    "test_2016_flickr.en.gz": "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
}


def lines(folder, name, sha256=None):
    """The sentences of one file of the release. Raises: CorpusError if they are not the known."""
    sentences = read_lines(folder / name)
    text = "".join(line + "\n" for line in sentences)
    got = hashlib.sha256(text.encode()).hexdigest()
    if got != (sha256 or SHA256)[name]:
        way_out = "remove it, or set MULTI30K_DIR to a copy"
        raise CorpusError(f"{folder / name}: is not the text of the release ({got}): {way_out}")
    return [tidy_line(line) for line in sentences]


@complain
def main(argv=None, sha256=None):
    """sha256: of each file's text, in hex."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs=2, choices=("de", "en"), metavar="LANGUAGE")
    parser.add_argument(
        "--dir",
        default=os.environ.get("MULTI30K_DIR"),
        help="a copy of the files (default: MULTI30K_DIR, or else download them)",
    )
    parser.add_argument("--download-dir", type=Path, default="work/download/multi30k")
    parser.add_argument("--pairs", type=int, help="only so many of the training text's first ones")
    parser.add_argument(
        "--more-test", type=int, default=0, help="so many of its last ones are test1, a second test"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    folder = Path(args.dir) if args.dir else args.download_dir
    splits = {}
    for split, stem in FILES.items():
        names = [f"{stem}.{language}.gz" for language in args.languages]
        if not args.dir:
            for name in names:
                download(URL + name, folder / name, "set MULTI30K_DIR to a copy of the files")
        sides = [lines(folder, name, sha256) for name in names]
        splits[split] = list(zip(*sides, strict=True))
    pairs = splits["train"]
    splits["train"] = pairs[: args.pairs]
    if args.more_test:
        if len(splits["train"]) + args.more_test > len(pairs):
            raise CorpusError(
                f"--more-test {args.more_test}: of {len(pairs):,} pairs the first "
                f"{len(splits['train']):,} are for training: lower --pairs"
            )
        splits["test1"] = pairs[-args.more_test :]
    write(splits, tuple(args.languages), args.out)
    summary(splits, args.languages)


if __name__ == "__main__":
    raise SystemExit(main())
