"""Train a joint sentencepiece model on a corpus and encode its splits for fairseq-preprocess.

    python recipes/subwords.py CORPUS SOURCE TARGET --types N --out DIR

reads CORPUS/{train,valid,test}.{SOURCE,TARGET} and writes the same files in pieces to DIR, with
spm.model and dict.txt, the dictionary of both languages for fairseq.
"""

import argparse
import shutil
from pathlib import Path

import sentencepiece

SPLITS = ("train", "valid", "test")
SPECIAL = 3  # sentencepiece's <unk>, <s> and </s>, which fairseq adds itself


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("languages", nargs=2)
    parser.add_argument("--types", type=int, required=True, help="size of the joint vocabulary")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=[str(args.corpus / f"train.{language}") for language in args.languages],
            model_prefix=str(partial / "spm"),
            vocab_size=args.types,
            character_coverage=1.0,
            minloglevel=2,
        )
    except RuntimeError as error:  # it says how many types the text is good for
        why = str(error).split("] ")[-1].strip()
        raise SystemExit(f"subwords.py: error: TYPES={args.types}: {why}") from None
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(partial / "spm.model"))
        with open(partial / "dict.txt", "w", encoding="utf-8") as dictionary:
            for i in range(SPECIAL, len(pieces)):
                dictionary.write(f"{pieces.id_to_piece(i)} 1\n")
        for split in SPLITS:
            for language in args.languages:
                name = f"{split}.{language}"
                encode(pieces, args.corpus / name, partial / name)
        partial.rename(args.out)
    except (
        OSError,
        RuntimeError,
    ) as error:  # sentencepiece reads what a full disk left of spm.model
        shutil.rmtree(partial, ignore_errors=True)
        raise SystemExit(f"subwords.py: error: {args.out}: can't be written: {error}") from None
    print(f"{len(pieces)} pieces")


def encode(pieces, source, target):
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for line in lines:
            out.write(" ".join(pieces.encode(line.rstrip("\n"), out_type=str)) + "\n")


if __name__ == "__main__":
    main()
