"""Tiny classifiers, their batches and their data, made the way fairseq-train makes them."""

import copy
import functools
import random

import torch
from conftest import USER_DIR, fairseq, run, sys
from fairseq.data import Dictionary
from fairseq.tasks.sentence_prediction import SentencePredictionTask
from prefork import settings_of
from tiny import PAD

TYPES = 30
LABELS = ("cold", "mild", "warm")
OURS = "sentence_prediction_selfteach"
SMALL = (
    *("--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 24, "--encoder-attention-heads", 2),
    *("--encoder-layers", 4, "--dropout", 0, "--attention-dropout", 0, "--max-positions", 32),
)
TASK = ("--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0)


def settings(*flags, arch="roberta_selfteach", criterion=OURS):
    """fairseq's configuration for a command line."""
    return copy.deepcopy(_settings(flags, arch, criterion))


@functools.cache
def _settings(flags, arch, criterion):
    words = ("data", *TASK, "--arch", arch, "--criterion", criterion, *SMALL, *flags)
    return settings_of(*map(str, words))


def task(cfg, labels=LABELS):
    dictionaries = [Dictionary(), Dictionary()]
    for i in range(TYPES - 5):
        dictionaries[0].add_symbol(f"t{i}")
    for label in labels:
        dictionaries[1].add_symbol(label)
    for dictionary in dictionaries:
        dictionary.add_symbol("<mask>")  # as the task loads them
    return SentencePredictionTask(cfg.task, *dictionaries)


def build(*flags, seed=1, labels=LABELS, **choices):
    """(model, criterion) of a command line."""
    cfg = settings(*flags, **choices)
    there = task(cfg, labels)
    torch.manual_seed(seed)
    model = there.build_model(cfg.model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # as they are drawn, all models say the same
                parameter.mul_(6)
    return model, there.build_criterion(cfg.criterion)


def batch(sentences=6, length=7, seed=0):
    """Sentences with padding on their right (B, S), and their classes (B, 1)."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, TYPES - 1, (sentences, length), generator=generator)
    tokens[:, 0] = 0
    for row in range(sentences):
        end = length - row % (length - 2)
        tokens[row, end:] = PAD
        tokens[row, end - 1] = 2
    return {
        "net_input": {"src_tokens": tokens, "src_lengths": tokens.ne(PAD).sum(1)},
        "target": torch.randint(0, len(LABELS), (sentences, 1), generator=generator),
        "ntokens": tokens.ne(PAD).sum().item(),
        "nsentences": sentences,
    }


def checkpoint_of(model, *flags, **choices):
    """What fairseq's trainer would save of a model built with these flags, less the optimizer."""
    cfg = settings(*flags, **choices)
    return {
        "args": None,
        "cfg": {
            "model": vars(cfg.model),
            "task": dict(cfg.task),
            "criterion": {"_name": choices.get("criterion", OURS)},
            "common": {},
        },
        "model": model.state_dict(),
        "optimizer_history": [
            {
                "criterion_name": "SentencePredictionCriterion",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": None},
                "num_updates": 7,
            }
        ],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "task_state": {},
    }


def make_labelled_text(folder, seed=0):
    """Sentences whose first word tells the label."""
    rng = random.Random(seed)
    for split, lines in (("train", 96), ("valid", 20), ("test", 23)):
        sentences = [rng.choices(range(24), k=rng.randint(2, 9)) for _ in range(lines)]
        (folder / f"{split}.text").write_text(
            "".join(" ".join(f"w{word}" for word in words) + "\n" for words in sentences)
        )
        (folder / f"{split}.label").write_text(
            "".join(f"{LABELS[words[0] % 3]}\n" for words in sentences)
        )


def preprocess(folder, text="text", *flags):
    """fairseq's data folder of the text and the labels in a folder."""
    for name, suffix, more in (("input0", text, flags), ("label", "label", ())):
        fairseq(
            *("preprocess", "--only-source", "--destdir", folder / "bin" / name, *more),
            *(f"--{split}pref={folder}/{split}.{suffix}" for split in ("train", "valid", "test")),
        )
    return folder / "bin"


def train_command(data, save_dir, *flags):
    """fairseq-train of a tiny classifier with the student 2 unless `flags` say else."""
    return (
        *(sys.executable, "-m", "fairseq_cli.train", data, "--user-dir", USER_DIR, "--cpu"),
        *("--save-dir", save_dir, "--arch", "roberta_selfteach", "--criterion", OURS, *SMALL),
        *(*TASK, "--optimizer", "adam", "--lr", 0.003, "--batch-size", 8, "--max-epoch", 4),
        *("--required-batch-size-multiple", 1, "--num-workers", 0, "--no-epoch-checkpoints"),
        *("--best-checkpoint-metric", "accuracy", "--maximize-best-checkpoint-metric"),
        *("--no-progress-bar", "--log-format", "simple", *flags),
    )


def train(data, save_dir, *flags, **choices):
    return run(*train_command(data, save_dir, *flags), **choices)
