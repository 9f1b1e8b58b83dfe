"""Divide the splits of a corpus into pieces, for fairseq-preprocess.

    python recipes/subwords.py CORPUS SOURCE TARGET --types N --out DIR [--normalization NAME]
    python recipes/subwords.py CORPUS SOURCE TARGET --bart FOLDER --out DIR
    python recipes/subwords.py CORPUS input0 [input1] --bert FOLDER --out DIR

reads CORPUS/{train,valid,test[,test1]}.{SOURCE,TARGET} and writes the same files in pieces to DIR,
with dict.txt, the dictionary of all of them for fairseq: by a joint sentencepiece model, which it
trains and leaves as spm.model, or by those of a pretrained BART or BERT. It says how many lines the
pieces don't give back as they are.
"""

import argparse
import shutil
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import sentencepiece

SPECIAL = 3  # sentencepiece's <unk>, <s> and </s>, which fairseq adds itself, and <pad>
# sentencepiece's. All but the first change the text for good: joiners, ligatures, fractions, ...
NORMALIZATIONS = ("identity", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
SPACE = "\u2581"  # sentencepiece's character for it
MAX_PIECES = 1023  # fairseq's limit, without the end of the sentence
LONGEST_LINE = 2**24  # bytes; sentencepiece learns nothing from longer ones: by default 4,192


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("languages", nargs="+")
    parser.add_argument(
        "--types",
        type=int,
        help="size of the joint vocabulary, with fairseq's four special types",
    )
    parser.add_argument(
        "--bart", type=Path, metavar="FOLDER", help="has dict.txt, encoder.json and vocab.bpe"
    )
    parser.add_argument("--normalization", choices=NORMALIZATIONS, default=NORMALIZATIONS[0])
    parser.add_argument("--bert", type=Path, metavar="FOLDER", help="of `selfteach import-bert`")
    parser.add_argument(
        "--cut",
        nargs="+",
        default=[],
        metavar="LANGUAGE=N",
        help="cut its lines to so many pieces",
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if [args.types, args.bart, args.bert].count(None) != 2:
        parser.error("say one of --types, --bart and --bert")
    most = dict(word.split("=") for word in args.cut)
    most = {language: int(number) for language, number in most.items()}

    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        if args.bart:
            pieces = of_bart(args.bart, partial)
        elif args.bert:
            pieces = of_bert(args.bert, partial)
        else:
            trained_on = [args.corpus / f"train.{language}" for language in args.languages]
            pieces = sentencepieces(trained_on, args.types, args.normalization, partial)
        encode_all(args.corpus, args.languages, pieces, most, partial)
        shutil.rmtree(args.out, ignore_errors=True)
        partial.rename(args.out)
    except (ValueError, OSError) as error:
        raise SystemExit(f"subwords.py: error: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{pieces.count} pieces")


class Pieces(NamedTuple):
    """What divides lines."""

    split: Callable[[str], list[str]]
    join: Callable[[list[str]], str] | None  # None: what does not come back is not looked at
    known: set[str]  # those in the dictionary
    count: int
    why: str  # lines don't come back as they are


def sentencepieces(texts, types, normalization, out):
    """Train them on texts; writes the model and the dictionary to out."""
    model = out / "spm.model"
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=chain(*map(sentences, texts)),
            model_prefix=str(model.with_suffix("")),
            vocab_size=types - 1,  # <pad> is fairseq's alone
            character_coverage=1.0,
            normalization_rule_name=normalization,
            max_sentence_length=LONGEST_LINE,
            minloglevel=2,
        )
    except RuntimeError as error:  # it says how many types the text is good for
        why = " ".join(str(error).split("] ")[-1].split())
        raise ValueError(f"TYPES={types}: {why}") from None
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    except RuntimeError:  # the trainer does not say when it cannot write
        raise OSError(f"{model}: was not written whole: is the disk full?") from None
    known = [pieces.id_to_piece(i) for i in range(SPECIAL, len(pieces))]
    dictionary = "".join(f"{piece} 1\n" for piece in known)
    (out / "dict.txt").write_bytes(dictionary.encode())
    why = f"SPM_NORMALIZATION={normalization}"
    if normalization == NORMALIZATIONS[0]:
        why = "white space that is no single space, or characters without a piece"
    return Pieces(
        lambda line: pieces.encode(line, out_type=str),
        lambda words: "".join(words).replace(SPACE, " ").strip(),
        {*known},
        len(pieces),
        why,
    )


def of_bart(folder, out):
    """Those of a pretrained BART, GPT-2's; copies its dictionary to out."""
    from fairseq.data.encoders.gpt2_bpe import GPT2BPE, GPT2BPEConfig

    encoder, merges = (str(folder / name) for name in ("encoder.json", "vocab.bpe"))
    bpe = GPT2BPE(GPT2BPEConfig(gpt2_encoder_json=encoder, gpt2_vocab_bpe=merges))
    shutil.copy(folder / "dict.txt", out)
    with open(folder / "dict.txt", encoding="utf-8") as lines:
        known = {line.split(" ")[0] for line in lines}
    return Pieces(
        lambda line: bpe.encode(line).split(),
        lambda words: bpe.decode(" ".join(words)),
        known,
        len(known),
        "characters without a piece in its dict.txt",
    )


def of_bert(folder, out):
    """Those of a pretrained BERT; copies its dictionary and its tokenizer to out."""
    from selfteach_fairseq.bert.tokenizer import FILE, Tokenizer

    tokenizer = Tokenizer(folder)
    shutil.copy(folder / "dict.txt", out)
    shutil.copy(folder / FILE, out)
    return Pieces(tokenizer.encode, None, {*tokenizer.pieces}, len(tokenizer.pieces), "")


def encode_all(corpus, languages, pieces, most, out):
    """Write the splits to out, the lines of some languages cut to so many pieces."""
    splits = sorted({path.name.split(".")[0] for path in corpus.glob(f"*.{languages[0]}")})
    for split in splits:
        for language in languages:
            longest = MAX_PIECES if split != "train" else None  # fairseq leaves those out itself
            name = f"{split}.{language}"
            limit = most.get(language)
            changed, cut = encode(pieces, corpus / name, out / name, longest, limit)
            if changed:
                print(f"{name}: {changed:,} lines come back changed: {pieces.why}")
            if cut:
                print(f"{name}: {cut:,} lines are cut to {limit:,} pieces")


def sentences(path):
    with open(path, encoding="utf-8-sig", newline="\n") as lines:
        yield from map(single_spaced, lines)


def single_spaced(line):
    """fairseq takes all white space for spaces: it would cut a piece with any other in two."""
    return " ".join(line.split())


def encode(pieces, source, target, longest, most):
    """Write the lines in pieces, cut to the most; returns how many lines the known ones don't give
    back, and how many were cut.

    Raises: ValueError for a line of more pieces than longest that is not cut.
    """
    changed = cut = 0
    with (
        open(source, encoding="utf-8-sig", newline="\n") as lines,
        open(target, "w", encoding="utf-8") as out,
    ):
        for number, line in enumerate(lines, start=1):
            words = pieces.split(single_spaced(line))
            if longest and not most and len(words) > longest:
                raise ValueError(
                    f"{source}, line {number}: {len(words):,} pieces, fairseq takes {longest:,}: "
                    "shorten it, or leave it out on both sides"
                )
            if pieces.join:
                back = pieces.join(words)
                changed += back != line.removesuffix("\n") or not pieces.known.issuperset(words)
            cut += bool(most) and len(words) > most
            out.write(" ".join(words[:most]) + "\n")
    return changed, cut


if __name__ == "__main__":
    main()
