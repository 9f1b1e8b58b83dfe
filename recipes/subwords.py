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
MAX_PIECES = 1023  # fairseq's limit, without the end of the sentence


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("languages", nargs=2)
    parser.add_argument("--types", type=int, required=True, help="size of the joint vocabulary")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        types = build(args.corpus, args.languages, args.types, partial)
        shutil.rmtree(args.out, ignore_errors=True)
        partial.rename(args.out)
    except (ValueError, OSError) as error:
        raise SystemExit(f"subwords.py: error: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{types} pieces")


def build(corpus, languages, types, out):
    """Write the model, the dictionary and the splits to out; returns the number of types."""
    model = out / "spm.model"
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=[str(corpus / f"train.{language}") for language in languages],
            model_prefix=str(model.with_suffix("")),
            vocab_size=types,
            character_coverage=1.0,
            minloglevel=2,
        )
    except RuntimeError as error:  # it says how many types the text is good for
        raise ValueError(f"TYPES={types}: {str(error).split('] ')[-1].strip()}") from None
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    except RuntimeError:  # the trainer does not say when it cannot write
        raise OSError(f"{model}: was not written whole: is the disk full?") from None
    with open(out / "dict.txt", "w", encoding="utf-8") as dictionary:
        for i in range(SPECIAL, len(pieces)):
            dictionary.write(f"{pieces.id_to_piece(i)} 1\n")
    for split in SPLITS:
        for language in languages:
            longest = MAX_PIECES if split != "train" else None  # fairseq leaves those out itself
            encode(pieces, corpus / f"{split}.{language}", out / f"{split}.{language}", longest)
    return len(pieces)


def encode(pieces, source, target, longest):
    """Raises: ValueError for a line of more pieces than longest."""
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
        for number, line in enumerate(lines, start=1):
            words = pieces.encode(line.rstrip("\n"), out_type=str)
            if longest and len(words) > longest:
                raise ValueError(
                    f"{source}, line {number}: {len(words):,} pieces, fairseq takes {longest:,}: "
                    "shorten it, or leave it out on both sides"
                )
            out.write(" ".join(words) + "\n")


if __name__ == "__main__":
    main()
