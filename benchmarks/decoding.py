"""The time that a model and its students take to translate, by fairseq's beam search."""

import time

import shapes
from fairseq.sequence_generator import SequenceGenerator
from shapes import LAYERS, SENTENCE
from variants import build

BEAM = 5
LENGTH = 25  # tokens of every translation, for untrained models would go on
SEARCHES = 10  # timed, after one of warm-up


def times(shape, sentences, students):
    """Seconds of each search through so many sentences, by model, the models in turn."""
    task = shapes.task(shape)
    _, model, _ = build("plain", shape, task)
    if shapes.on_gpu():
        model = model.bfloat16().cuda()
    model.eval()
    models = {f"full {LAYERS}x{LAYERS}": model}
    models |= {f"student {n}x{m}": model.student(n, m) for n, m in students}
    sample = shapes.batch(shape._replace(tokens=sentences * SENTENCE))
    inputs = {k: v for k, v in sample["net_input"].items() if k != "prev_output_tokens"}
    if shapes.on_gpu():
        inputs = {name: tensor.cuda() for name, tensor in inputs.items()}
    options = {"beam_size": BEAM, "max_len_a": 0, "max_len_b": LENGTH, "min_len": LENGTH - 1}

    seconds = {name: [] for name in models}
    for search in range(SEARCHES + 1):
        for name, translator in models.items():
            generator = SequenceGenerator([translator], task.target_dictionary, **options)
            start = time.perf_counter()
            hypotheses = generator.generate([translator], {"net_input": inputs})
            hypotheses[-1][0]["tokens"].cpu()  # waits for the GPU
            if search > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds
