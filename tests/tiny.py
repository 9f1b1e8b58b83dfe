"""Tiny models and batches in memory, built the way fairseq-train builds them."""

import copy
import functools
from argparse import Namespace

import torch
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from fairseq.trainer import Trainer
from omegaconf import OmegaConf
from prefork import settings_of

TYPES = 37
PAD = 1
SMALL = (
    *("--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24", "--dropout", "0"),
    *("--encoder-attention-heads", "2", "--decoder-attention-heads", "2"),
    *("--encoder-layers", "4", "--decoder-layers", "3", "--label-smoothing", "0.1"),
)


def settings(*flags, arch="transformer_selfteach", criterion="label_smoothed_ce_selfteach"):
    """fairseq's configuration for a command line."""
    return copy.deepcopy(_settings(flags, arch, criterion))


@functools.cache  # composing one takes fairseq half a second
def _settings(flags, arch, criterion):
    return settings_of("data", "--arch", arch, "--criterion", criterion, *SMALL, *map(str, flags))


def task():
    dictionary = Dictionary()
    for i in range(TYPES - len(dictionary)):
        dictionary.add_symbol(f"t{i}")
    return TranslationTask(TranslationConfig(), dictionary, dictionary)


def build(*flags, seed=1, **choices):
    """(model, criterion) of a command line."""
    cfg = settings(*flags, **choices)
    there = task()
    torch.manual_seed(seed)
    return there.build_model(cfg.model), there.build_criterion(cfg.criterion)


def trainer(*flags, save_dir, seed=1, **choices):
    """fairseq's trainer of a command line, on the CPU, with plain steps."""
    cfg = settings("--cpu", "--optimizer", "sgd", "--lr", "0.1", *flags, **choices)
    cfg.checkpoint.save_dir = str(save_dir)
    there = task()
    torch.manual_seed(seed)
    return Trainer(cfg, there, there.build_model(cfg.model), there.build_criterion(cfg.criterion))


def batch(sentences=5, source_length=7, target_length=6, seed=0):
    """A batch with padding on both sides: shapes (B, S) and (B, T)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length, left_pad):
        tokens = torch.randint(4, TYPES, (sentences, length), generator=generator)
        for row in range(1, sentences):
            cut = row % (length - 1)
            if cut:
                tokens[row, slice(0, cut) if left_pad else slice(length - cut, length)] = PAD
        return tokens

    source, target = draw(source_length, True), draw(target_length, False)
    previous = torch.cat([torch.full((sentences, 1), 2), target[:, :-1]], dim=1)
    return {
        "net_input": {
            "src_tokens": source,
            "src_lengths": source.ne(PAD).sum(1),
            "prev_output_tokens": previous,
        },
        "target": target,
        "ntokens": target.ne(PAD).sum().item(),
        "nsentences": sentences,
    }


def checkpoint_of(model, *flags, **choices):
    """What fairseq's trainer would save of a model built with these flags, less the optimizer."""
    return {
        "args": None,
        "cfg": OmegaConf.to_container(settings(*flags, **choices), resolve=True, enum_to_str=True),
        "model": model.state_dict(),
        "optimizer_history": [
            {
                "criterion_name": "LabelSmoothedCrossEntropyCriterion",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": None},
                "num_updates": 7,
            }
        ],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "task_state": {},
    }


def load_stock(checkpoint):
    """The model in a Checkpoint, as stock fairseq builds and loads it."""
    model = task().build_model(OmegaConf.create(checkpoint.settings))
    model.load_state_dict(checkpoint.weights, strict=True)
    return model.eval()


def translate(model, sample, beam):
    """The token lists that fairseq's search finds."""
    generator = task().build_generator([model], Namespace(beam=beam, max_len_b=12))
    return [
        [hypothesis["tokens"].tolist() for hypothesis in hypotheses]
        for hypotheses in generator.generate([model], sample)
    ]


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def step(model, criterion, sample, update=0):
    """Loss, logging outputs and gradients of one training step."""
    model.train()
    model.zero_grad()
    model.set_num_updates(update)
    loss, _, logged = criterion(model, sample)
    loss.backward()
    return loss.detach(), logged, gradients(model)


def distance(one, other):
    """How far two steps' gradients are apart."""
    return max((one[name] - other[name]).abs().max().item() for name in one)
