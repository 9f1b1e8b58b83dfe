"""What of a user's words reaches fairseq-generate: all spellings of an option are that option."""

import pytest

from selfteach_fairseq.cli import main
from selfteach_fairseq.programs.generate import check_options

DECIDED = "the command decides it"
DATA = "it changes the languages or the sentences"


@pytest.mark.parametrize(
    "words, said",
    [
        ("", {}),
        ("--prefix-size 100", {"prefix_size": 100}),
        ("--prefix-size=100 --max-len-b 20", {"prefix_size": 100, "max_len_b": 20}),
        ("--cpu --fp16 --seed 3", {"cpu": True, "fp16": True, "seed": 3}),
        ("--max-tokens 900 --num-workers 0", {"max_tokens": 900, "num_workers": 0}),
        ("--remove-bpe=sentencepiece", {"post_process": "sentencepiece"}),
        ("--truncate-source --sampling", {"truncate_source": True, "sampling": True}),
        ("--bpe sentencepiece --sentencepiece-model m", None),
    ],
)
def test_how_to_translate_is_the_users(words, said):
    found = check_options(words.split())
    assert said is None or found == said


@pytest.mark.parametrize(
    "words, flag, why",
    [
        *((words, "--source-lang", DECIDED) for words in ("-s en", "-sen", "--source-lang=en")),
        *((words, "--target-lang", DECIDED) for words in ("-t de", "-tde", "--target-lang de")),
        *((words, "--batch-size", DECIDED) for words in ("--max-sentences 3", "--batch-size=3")),
        ("--task translation", "--task", DECIDED),
        ("--gen-subset valid", "--gen-subset", DECIDED),
        ("--path other.pt", "--path", DECIDED),
        ("--distributed-world-size 2 --distributed-rank 1", "--distributed-", DATA),
        ("--distributed-num-procs=2", "--distributed-num-procs", DATA),
        ("--local_rank 1", "--device-id", DATA),
        ("--num-shards 2", "--num-shards", DATA),
        ("--shard-id=1", "--shard-id", DATA),
        ("--skip-invalid-size-inputs-valid-test", "--skip-invalid-size-inputs", DATA),
        ("--max-source-positions 5", "--max-source-positions", DATA),
        ("--max-target-positions 5", "--max-target-positions", DATA),
        ("--required-batch-size-multiple 8", "--required-batch-size-multiple", DATA),
        ("--dataset-impl raw", "--dataset-impl", DATA),
        ("--left-pad-source", "--left-pad-source", DATA),
        ("--score-reference", "--score-reference", DATA),
        ("--cpu --beam 1", "--beam", DECIDED),
    ],
)
def test_what_to_translate_is_not(words, flag, why):
    with pytest.raises(ValueError) as error:
        check_options(words.split())
    assert str(error.value).startswith(flag) and why in str(error.value)


@pytest.mark.parametrize(
    "words, message",
    [
        ("--no-such-option", "unrecognized arguments: --no-such-option"),
        ("--prefix 100", "unrecognized arguments: --prefix 100"),  # fairseq takes no short forms
        ("elsewhere", "unrecognized arguments: elsewhere"),
        ("--max-len-b x", "--max-len-b: invalid int value: 'x'"),
        ("--user-dir /nowhere", "/nowhere"),
    ],
)
def test_what_fairseq_does_not_take_is_said_at_once(capsys, words, message):
    words = ["score", "no.pt", "nowhere", "-o", "r.json", "--", *words.split()]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
