"""The folder of a corpus as the recipes leave it, made up: records, training logs, pictures."""

import json

from selfteach_fairseq import pictures

RECORD = {
    "checkpoint": "model.pt",
    "subset": "test",
    "source": "xx",
    "target": "en",
    "bleu": 30.5,
    "bleu_signature": "nrefs:1|case:mixed",
    "bleu_lc": 31.5,
    "chrf": 55,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "parameters": 2_000_000,
    "bytes": 8_000_000,
    "sentences": 2000,
    "sentences_per_second": 50.5,
    "training_seconds": 600.0,
    "peak_memory_bytes": 2**30,
    "hardware": "a CPU, 2 threads",
    "versions": {"torch": "2.13.0"},
    "corpus": "made-up",
}
# system, layers, seeds, BLEU, parameters, sentences a second
MODELS = [
    *(("selfteach", 4, 2, 38.1, 1_580_000, 150), ("selfteach", 2, 2, 37.3, 920_000, 218)),
    *(("plain", 4, 1, 36.0, 1_580_000, 144), ("plain", 2, 1, 5.6, 920_000, 186)),
    ("plain@2", 2, 1, 38.9, 920_000, 241),
]

# A run and what is cut out of it: layers, parameters; BLEU and sentences a second in each engine
SHIPPED = [
    (*(4, 4, 1_580_000), ((37.9, 45), (37.9, 131), (37.8, 122))),
    (*(4, 2, 1_180_000), ((37.7, 66), (37.7, 198), (37.6, 189))),
    (*(4, 1, 980_000), ((37.0, 81), (37.0, 262), (36.9, 255))),
    (*(2, 2, 920_000), ((37.4, 70), (37.4, 237), (37.4, 221))),
]
ENGINES = [
    {"engine": "fairseq", "compute_type": "float32"},
    {"engine": "ctranslate2", "quantization": "none", "compute_type": "float32"},
    {"engine": "ctranslate2", "quantization": "int8", "compute_type": "int8_float32"},
]


def write_record(folder, name="model", **fields):
    """A record of `selfteach score`, as RECORD but for the fields."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**RECORD, **fields}))
    return path


def validation(update, **losses):
    """A line of fairseq's log: nll_loss=3.4, student_2x2_nll_loss=3.6."""
    figures = "".join(f" | {name} {value}" for name, value in losses.items())
    return (
        "2026-11-24 08:13:41 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 15.887"
        f"{figures} | kl 0.016 | ppl 148.71 | wps 6825.8 | wpb 921.8 | num_updates {update}\n"
    )


def write_log(folder, name, students=(), least=3.0):
    """The validation of a full model, and of students a little worse, towards its least loss."""
    losses = ["nll_loss", *(f"student_{student}_nll_loss" for student in students)]
    (folder / "logs").mkdir(exist_ok=True)
    (folder / f"logs/train-{name}.log").write_text(
        "2026-11-24 08:11:01 | INFO | fairseq.trainer | No existing checkpoint found x.pt\n"
        + "".join(
            validation(300 * n, **{loss: least + 4 / n + i / 9 for i, loss in enumerate(losses)})
            for n in range(1, 9)
        )
    )


def make(folder):
    """Five models of three systems, two of them with two seeds, their logs, a picture."""
    for system, layers, seeds, bleu, parameters, speed in MODELS:
        for seed in range(1, seeds + 1):
            write_record(
                folder,
                f"{system}-seed{seed}-{layers}",
                **{"system": system, "seed": str(seed), "parameters": parameters},
                **{"encoder_layers": layers, "decoder_layers": layers},
                **{"bleu": bleu + seed - 1, "sentences_per_second": speed + 9 * (seed - 1)},
            )
            students = ["2x2"] if system == "selfteach" else []
            write_log(folder, f"{system}-seed{seed}", students, 3 + len(system) / 9 + seed / 20)
    (folder / "cost.json").write_text('{"training_seconds": 600}')
    (folder / "importance").mkdir()
    figure, axes = pictures.new()
    axes.plot([1, 2, 3])
    pictures.save(figure, folder / "importance/ranks.svg")


def make_shipped(folder, seeds=("1",), **fields):
    """A run of each seed, whose models are scored in each engine; seeds differ by a BLEU."""
    for seed in seeds:
        for encoder, decoder, parameters, figures in SHIPPED:
            for engine, (bleu, speed) in zip(ENGINES, figures, strict=True):
                name = engine.get("quantization", "fairseq")
                write_record(
                    folder,
                    f"selfteach-seed{seed}-{encoder}x{decoder}-{name}",
                    **{"system": "selfteach", "seed": seed, "parameters": parameters},
                    **{"encoder_layers": encoder, "decoder_layers": decoder},
                    **{"bleu": bleu + int(seed) - 1, "sentences_per_second": speed},
                    **{"threads": 1, "beam": 5, "batch_size": 64, **engine, **fields},
                )
