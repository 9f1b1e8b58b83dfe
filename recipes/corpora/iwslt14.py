"""Build one IWSLT14 pair's corpus, split as fairseq's recipe does.

    python recipes/corpora/iwslt14.py de en --out DIR [--archive PATH]

writes DIR/{train,valid,test}.{de,en}, UTF-8, one sentence a line. Every 23rd line of the cleaned
training text is validation text; test is dev2010, TEDX.dev2012 (German only) and tst2010 to 2012.
The archive is WIT3's 2014-01.tgz or a pair's own, such as fairseq's de-en.tgz.
"""

import argparse
import os
from pathlib import Path

import iwslt14_archive as archive
import iwslt14_markup as markup
from download import download, md5_of
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from text import CorpusError, complain, summary, tidy_line, write

LANGUAGES = ("ar", "de", "es", "fa", "he")
WIT3 = (
    "2014-01.tgz",
    "https://drive.usercontent.google.com/download"
    "?id=1GnBarJIbNgEIIDvUyKDtLmv35Qcxg6Ed&export=download&confirm=t",
    None,  # nobody has published a checksum
)
FAIRSEQ = (
    "de-en.tgz",
    "https://dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz",
    "10936dfdf616504ddbd844e91b94ef4a",
)
MAX_TOKENS = 175  # a side, counted on sacreBLEU's 13a tokens; fairseq counts Moses tokens
MAX_RATIO = 1.5
VALID_ONE_IN = 23
# What fairseq's recipe prints for German.
FAIRSEQ_COUNTS = {"de": {"train": 160_239, "valid": 7_283, "test": 6_750}}
# In TEDX.dev2012 72 pairs, from this English sentence on, are out of step (fairseq issue 4146).
MISALIGNED_FROM = "interested in pyrotechnical things"
MISALIGNED = 72


def fetch(language, folder, source=None):
    """The path of the archive with the language's text, downloaded into folder if need be."""
    name, url, md5 = source or (FAIRSEQ if language == "de" else WIT3)
    way_out = f"set IWSLT14_ARCHIVE to a copy of {name}, however you got it"
    path = download(url, folder / name, way_out, md5)
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":  # Google Drive answers with a page when it is overloaded
            path.rename(path.with_suffix(".html"))
            raise CorpusError(f"{url} sent something else than an archive; {way_out}")
    return path


def build(files, language, tedx_fixed=False):
    """The pairs of each split, and how many training pairs there were before cleaning.

    Raises: CorpusError where the two sides differ.
    """
    raw = _aligned(markup.training, files, archive.training_names(language))
    kept = clean(raw)
    splits = {
        "train": [pair for i, pair in enumerate(kept, start=1) if i % VALID_ONE_IN],
        "valid": kept[VALID_ONE_IN - 1 :: VALID_ONE_IN],
        "test": [],
    }
    for test in archive.TESTS:
        names = archive.test_names(language, test)
        if names[0] in files:
            pairs = _aligned(markup.test, files, names)
            if tedx_fixed and test == "TEDX.dev2012":
                pairs = _without_misaligned(pairs, names[1])
            splits["test"] += pairs
    return splits, len(raw)


def _aligned(parse, files, names):
    return markup.align(*(parse(files[name], name) for name in names), names)


def _without_misaligned(pairs, name):
    for i, (_, english) in enumerate(pairs):
        if MISALIGNED_FROM in english:
            return pairs[:i] + pairs[i + MISALIGNED :]
    raise CorpusError(f"{name}: has no sentence with {MISALIGNED_FROM!r}: unset TEDX_FIXED")


def clean(pairs):
    """Drops pairs with an empty or over-long side, or one 1.5 times as long as the other."""
    tokenizer = Tokenizer13a()
    kept = []
    for pair in pairs:
        short, long = sorted(len(tokenizer(side).split()) for side in pair)
        if short > 0 and long <= MAX_TOKENS and long <= MAX_RATIO * short:
            kept.append(pair)
    return kept


def lower_case(pairs):
    """Composed again: of some letters and marks only the small ones are one character."""
    return [(tidy_line(a.lower()), tidy_line(b.lower())) for a, b in pairs]


@complain
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", choices=LANGUAGES)
    parser.add_argument("target", choices=("en",))
    parser.add_argument(
        "--archive",
        default=os.environ.get("IWSLT14_ARCHIVE"),
        help="2014-01.tgz or de-en.tgz (default: IWSLT14_ARCHIVE, or else download it)",
    )
    parser.add_argument("--download-dir", type=Path, default="work/download")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--lowercase", action="store_true", help="as the literature does")
    parser.add_argument(
        "--tedx-fixed", action="store_true", help="leave TEDX.dev2012's 72 misaligned pairs out"
    )
    args = parser.parse_args(argv)
    path = Path(args.archive) if args.archive else fetch(args.source, args.download_dir)
    if path.name == FAIRSEQ[0] and (got := md5_of(path)) != FAIRSEQ[2]:
        print(f"{path} has md5 {got}: it is not fairseq's, which has {FAIRSEQ[2]}")
    splits, raw = build(archive.read(path, args.source), args.source, args.tedx_fixed)
    if args.lowercase:
        splits = {split: lower_case(pairs) for split, pairs in splits.items()}
    write(splits, (args.source, args.target), args.out)
    dropped = raw - len(splits["train"]) - len(splits["valid"])
    print(f"{raw:,} training pairs, {dropped:,} dropped: empty, over {MAX_TOKENS} tokens, or one")
    print(f"side {MAX_RATIO} times the other")
    summary(splits, (args.source, args.target))
    if expected := FAIRSEQ_COUNTS.get(args.source):
        counts = ", ".join(f"{split} {count:,}" for split, count in expected.items())
        print(f"fairseq's recipe has {counts}; it counts Moses tokens, so only test must agree")
        if len(splits["test"]) != expected["test"] and not args.tedx_fixed:
            print(f"{len(splits['test']):,} test pairs: this is not the text that fairseq has")


if __name__ == "__main__":
    raise SystemExit(main())
