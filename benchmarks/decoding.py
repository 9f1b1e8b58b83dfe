"""The time that a model and its first layers take to translate, in fairseq and in CTranslate2."""

import tempfile

import shapes
from clocks import CLOCKS, unit_of_one_thread
from fairseq.sequence_generator import SequenceGenerator
from shapes import SENTENCE
from variants import untrained

from selfteach_fairseq.export.specification import library, specification, write
from selfteach_fairseq.layers import Layers

LENGTH = 25  # tokens of every translation, for untrained models would go on
SEARCHES = 5  # timed, after one of warm-up
MODELS = ("6x6", "3x3", "6x2", "6x1")
QUANTIZATIONS = {"fp32": ("none", "float32"), "int8": ("int8", "int8")}


def times(shape, sentences, beam):
    """Seconds of each search through so many sentences, by model, engine and precision, in turn.

    Raises: ValueError if a translation has another length.
    """
    found, clock = searches(shape, sentences, beam), CLOCKS[unit_of_one_thread()]
    seconds = {searched: [] for searched in found}
    for search in range(SEARCHES + 1):
        for searched, translate in found.items():
            start = clock()
            translations = translate()
            taken = clock() - start
            if {len(tokens) for tokens in translations} != {LENGTH}:
                raise ValueError(f"{', '.join(searched)}: translations without {LENGTH} tokens")
            if search > 0:
                seconds[searched].append(taken)
    return seconds


def searches(shape, sentences, beam):
    """Functions that translate one batch of random sentences, by model, engine and precision.

    They take one thread, or fairseq's model a GPU. Each returns B sequences of tokens, of which
    </s> is one in fairseq and none in CTranslate2: so every search has as many steps.
    """
    task = shapes.task(shape)
    dictionary, full = task.target_dictionary, untrained(shape, task)
    batch = shapes.batch(shape._replace(tokens=sentences * SENTENCE))
    source = batch["net_input"]["src_tokens"]
    source[:, -1] = dictionary.eos()
    found = {}
    for layers in MODELS:
        checkpoint = full.cut(Layers.parse(layers))
        precision = "bf16" if shapes.on_gpu() else "fp32"
        found[layers, "fairseq", precision] = in_fairseq(checkpoint, task, source, beam)
        if not shapes.on_gpu():
            spec = specification(checkpoint, (dictionary, dictionary))
            for precision in QUANTIZATIONS:
                translate = in_ctranslate2(spec, precision, dictionary, source, beam)
                found[layers, "CTranslate2", precision] = translate
    return found


def in_fairseq(checkpoint, task, source, beam):
    model = checkpoint.build(task).eval()
    model.make_generation_fast_(need_attn=False)  # as fairseq-generate does
    if shapes.on_gpu():
        model, source = model.bfloat16().cuda(), source.cuda()
    # fairseq counts </s> in neither of its limits.
    length = {"max_len_a": 0, "max_len_b": LENGTH - 1, "min_len": LENGTH - 1}
    generator = SequenceGenerator([model], task.target_dictionary, beam_size=beam, **length)
    lengths = source.new_full((len(source),), SENTENCE)
    inputs = {"src_tokens": source, "src_lengths": lengths}

    def translate():
        hypotheses = generator.generate([model], {"net_input": inputs})
        return [best["tokens"].cpu() for best, *_ in hypotheses]

    return translate


def in_ctranslate2(spec, precision, dictionary, source, beam):
    """Raises: ValueError if this CPU can't compute so precisely, or so roughly."""
    quantization, compute_type = QUANTIZATIONS[precision]
    with tempfile.TemporaryDirectory() as folder:
        write(spec, folder, quantization)
        translator = library().Translator(folder, compute_type=compute_type, intra_threads=1)
    sentences = [[dictionary[i] for i in row[:-1]] for row in source.tolist()]  # adds </s> itself
    options = {"min_decoding_length": LENGTH, "max_decoding_length": LENGTH, "beam_size": beam}

    def translate():
        results = translator.translate_batch(sentences, max_batch_size=0, **options)
        return [result.hypotheses[0] for result in results]

    return translate
