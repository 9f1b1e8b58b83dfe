"""A BART that stock fairseq has trained, fine-tuned by fairseq's own command with students."""

import json
import re

import pytest
import torch
from conftest import USER_DIR, fairseq, make_text, selfteach
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode
from fairseq.models.bart import BARTModel
from project import rows

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint

SMALL = (
    *("--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 16, "--encoder-layers", 4),
    *("--decoder-layers", 3, "--encoder-attention-heads", 2, "--decoder-attention-heads", 2),
    *("--max-source-positions", 64, "--max-target-positions", 64),
)
USUAL = ("--cpu", "--optimizer", "adam", "--num-workers", 0, "--no-epoch-checkpoints")
# As fairseq's examples/bart has it for CNN/DailyMail, but for the sizes.
FINE_TUNING = (
    *("--task", "translation", "--source-lang", "xx", "--target-lang", "en", "--truncate-source"),
    *("--layernorm-embedding", "--share-all-embeddings", "--share-decoder-input-output-embed"),
    *("--reset-optimizer", "--reset-dataloader", "--reset-meters"),
    *("--required-batch-size-multiple", 1, "--label-smoothing", 0.1, "--dropout", 0.1),
    *("--attention-dropout", 0.1, "--weight-decay", 0.01, "--adam-betas", "(0.9, 0.999)"),
    *("--adam-eps", 1e-8, "--clip-norm", 0.1, "--lr-scheduler", "polynomial_decay"),
    *("--lr", 3e-3, "--total-num-update", 60, "--warmup-updates", 5, "--update-freq", 2),
    *("--skip-invalid-size-inputs-valid-test", "--find-unused-parameters", "--max-tokens", 256),
    *("--required-seq-len-multiple", 2, "--max-epoch", 3),
)


def pretrain(folder, dictionary, train, valid):
    """Leaves a BART that has learnt to restore text, as checkpoint_last.pt."""
    fairseq(
        *("preprocess", "--only-source", "--srcdict", dictionary),
        *("--trainpref", train, "--validpref", valid, "--destdir", folder / "bin"),
    )
    fairseq(
        *("train", folder / "bin", "--task", "denoising", "--arch", "bart_base", *SMALL, *USUAL),
        *("--criterion", "cross_entropy", "--mask", 0.3, "--mask-length", "span-poisson"),
        *("--poisson-lambda", 3, "--replace-length", 1, "--tokens-per-sample", 32),
        *("--sample-break-mode", "complete", "--max-tokens", 256, "--max-update", 20),
        *("--lr", 1e-3, "--required-batch-size-multiple", 1, "--save-dir", folder),
    )


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bart")
    texts = (data.parent / f"{split}.xx" for split in ("train", "valid"))
    pretrain(folder, data / "dict.xx.txt", *texts)
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def tuned(data, pretrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    log = fairseq(
        *("train", data, "--user-dir", USER_DIR, "--arch", "bart_selfteach_base", *SMALL, *USUAL),
        *("--criterion", "label_smoothed_ce_selfteach", "--student-layers", "2,last2x2"),
        *(*FINE_TUNING, "--restore-file", pretrained, "--save-dir", folder),
    ).stdout
    assert "student_last2x2_nll_loss" in log and "Loaded checkpoint" in log
    return folder / "checkpoint_best.pt"


def translations(log):
    return sorted(line for line in log.splitlines() if line.startswith("H-"))


def test_the_weights_are_those_that_it_starts_from(data, pretrained, tmp_path):
    fairseq(
        *("train", data, "--user-dir", USER_DIR, "--arch", "bart_selfteach_base", *SMALL, *USUAL),
        *("--criterion", "label_smoothed_ce_selfteach", "--student-layers", 2, *FINE_TUNING),
        *("--lr", 0, "--weight-decay", 0, "--restore-file", pretrained, "--save-dir", tmp_path),
    )
    before, after = (Checkpoint.read(p) for p in (pretrained, tmp_path / "checkpoint_best.pt"))
    for name, weight in after.weights.items():
        expected = before.weights[name]
        torch.testing.assert_close(weight, expected[: len(weight)], rtol=0, atol=1e-6, msg=name)


def test_what_is_cut_out_loads_in_stock_fairseq(data, tuned, tmp_path):
    student = tmp_path / "student.pt"
    selfteach("truncate", tuned, "--layers", "last2x2", "-o", student)
    log = fairseq("generate", data, "--path", student, "--cpu", "--beam", 3, "--max-len-b", 9)
    assert len(translations(log.stdout)) > 10
    hub = BARTModel.from_pretrained(
        str(tmp_path), checkpoint_file="student.pt", data_name_or_path=str(data), bpe=None
    )
    cut = hub.models[0]
    assert type(cut) is BARTModel and len(cut.encoder.layers) == 2
    trained = Checkpoint.read(tuned).build(hub.task).student("last2x2").eval()
    inputs = (torch.tensor([[5, 6, 7, 2]]), torch.tensor([4]), torch.tensor([[2, 5, 6]]))
    torch.testing.assert_close(cut(*inputs)[0], trained(*inputs)[0], rtol=0, atol=1e-6)
    sources = [hub.task.source_dictionary.encode_line(line) for line in ("w1 w2 w3", "w9 w8")]
    assert all(hub.generate([source.long() for source in sources], beam=3))


def test_ctranslate2_translates_as_fairseq_does(data, tuned, tmp_path):
    student = tmp_path / "student.pt"
    selfteach("truncate", tuned, "--layers", 2, "-o", student)
    scores = []
    for engine in ("fairseq", "ctranslate2"):
        words = ("score", student, data, "--engine", engine, "-o", tmp_path / f"{engine}.json")
        selfteach(*words)
        scores.append((tmp_path / f"{engine}.hyp.txt").read_text())
    assert scores[0] == scores[1]


RECIPE = """
layers=4x3 students="2x1 last2x1" updates=120 needs_gpu= generation=(--beam 2)
model+=(--encoder-embed-dim 16 --encoder-ffn-embed-dim 16)
model+=(--encoder-attention-heads 2 --decoder-attention-heads 2)
model+=(--max-source-positions 64 --max-target-positions 64)
training+=(--lr 1e-2 --warmup-updates 2 --max-tokens 1024 --update-freq 1 --num-workers 0)
training+=(--save-interval 99 --validate-interval 99)
longest+=(--max-len-b 20 --min-len 3)
"""


@pytest.fixture
def folder_of_bart(tmp_path):
    """What a BART is published as, with a piece for each byte; it has learnt to restore text."""
    folder = tmp_path / "bart"
    folder.mkdir()
    bytes_as_text = [*bytes_to_unicode().values()]
    (folder / "encoder.json").write_text(json.dumps({x: i for i, x in enumerate(bytes_as_text)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    (folder / "dict.txt").write_text("".join(f"{i} 1\n" for i in range(256)))
    make_text(folder)
    for split in ("train", "valid"):
        text = (folder / f"{split}.xx").read_bytes().splitlines()
        lines = (
            " ".join(str(bytes_as_text.index(chr(b))) if b > 32 else "220" for b in line)
            for line in text
        )
        (folder / f"{split}.pieces").write_text("".join(f"{line}\n" for line in lines))
    pretrain(folder, folder / "dict.txt", folder / "train.pieces", folder / "valid.pieces")
    (folder / "checkpoint_last.pt").rename(folder / "model.pt")
    return folder


def test_summaries_by_a_pretrained_bart(project, folder_of_bart):
    project.settings.write_text(RECIPE)
    options = {"BART": str(folder_of_bart), "BART_ARCH": "bart_selfteach_base", "LONGEST": "40"}
    options |= {"METHOD": "selfteach plain@2x1", "LENPENS": "0.6 1"}
    options |= {"REFINE": "plain", "REFINE_DEPTHS": "last2x1", "REFINE_UPDATES": "5"}
    output = project.finish("summarise-mine", **options)
    quality, *_ = rows(output)
    assert [(row["system"], row["layers"]) for row in quality] == [
        *(("selfteach", layers) for layers in ("4x3", "2x1", "last2x1")),
        ("plain@2x1", "2x1"),
        ("selfteach+plain", "last2x1"),
    ]
    work = project.folder / "work/summarise-mine"
    # Text comes out, not the numbers of pieces.
    said = (work / "tuned/selfteach-seed1-4x3.hyp.txt").read_text().split()
    assert said and not all(word.isdigit() for word in said)
    # Each starts from its own layers of it; what is refined, from what was cut out.
    for stage, start in (
        ("train-selfteach-seed1", "pretrained-4x3.pt"),
        ("train-plain@2x1-seed1", "pretrained-2x1.pt"),
        ("refine-selfteach+plain-seed1-last2x1", "selfteach-seed1-last2x1.pt"),
    ):
        log = (work / f"logs/{stage}.log").read_text()
        assert re.findall("loading pretrained model from (.*):", log) == [str(work / start)]
    before, cut = (
        Checkpoint.read(path).weights
        for path in (folder_of_bart / "model.pt", work / "pretrained-2x1.pt")
    )
    assert all(torch.equal(tensor, before[name][: len(tensor)]) for name, tensor in cut.items())
    line = project.finish("summarise-mine", BART="/nowhere", code=1).splitlines()[-1]
    assert line.endswith("BART=/nowhere: has no model.pt")
