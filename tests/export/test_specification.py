"""What CTranslate2 loads is the checkpoint's model: number by number, and by what it computes."""

import re
import tempfile
from dataclasses import replace

import ctranslate2
import numpy as np
import pytest
import torch
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import OmegaConf
from tiny import build, checkpoint_of, task

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.errors import CheckpointError
from selfteach_fairseq.export.quantization import QUANTIZATIONS
from selfteach_fairseq.export.specification import specification, write
from selfteach_fairseq.layers import Layers

SMALL = {
    **{"_name": "transformer", "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 24, "dropout": 0},
    **{"encoder_layers": 3, "decoder_layers": 2},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2},
}
PRE_NORM = {"encoder_normalize_before": True, "decoder_normalize_before": True}
UNEQUAL = {
    **{"encoder_layers": 2, "decoder_layers": 1, "decoder_embed_dim": 24},
    **{"encoder_attention_heads": 4, "decoder_attention_heads": 3, "decoder_ffn_embed_dim": 40},
}
QUANT_NOISE = {"quant_noise_pq": 0.1, "quant_noise_pq_block_size": 4}
SHARED = {"share_all_embeddings": True}
OPTIONS = {
    "post-norm": {},
    "pre-norm": PRE_NORM,
    "pre-norm encoder": {"encoder_normalize_before": True},
    "pre-norm decoder": {"decoder_normalize_before": True},
    "no final norm": {**PRE_NORM, "no_decoder_final_norm": True},
    "shared output": {"share_decoder_input_output_embed": True},
    "all shared": SHARED,
    "layernorm-embedding": {"layernorm_embedding": True},
    "pre-norm, layernorm-embedding": {**PRE_NORM, **SHARED, "layernorm_embedding": True},
    "learned positions": {"encoder_learned_pos": True, "decoder_learned_pos": True},
    "learned source positions": {**PRE_NORM, "encoder_learned_pos": True},
    "learned target positions": {"decoder_learned_pos": True},
    "no positions": {"no_token_positional_embeddings": True},
    "no scale": {"no_scale_embedding": True},
    **{name: {"activation_fn": name} for name in ("gelu", "gelu_accurate", "gelu_fast", "tanh")},
    "unequal sides": UNEQUAL,
    "unequal sides, pre-norm": {**UNEQUAL, **PRE_NORM, "decoder_output_dim": 16},
    "output width": {"decoder_output_dim": 8},
    "odd width": {"encoder_embed_dim": 15, "encoder_attention_heads": 3, "decoder_embed_dim": 16},
    "few positions": {"max_source_positions": 14, "max_target_positions": 10},
    "without effect": {
        **{"adaptive_input": True, "encoder_layerdrop": 0.5, "checkpoint_activations": True},
        **{"attention_dropout": 0.5, "activation_dropout": 0.5, "char_inputs": True},
        **{"tie_adaptive_weights": True, "adaptive_softmax_dropout": 0.5, "export": True},
        **{"base_sublayers": 2, "decoder_input_dim": 8, "max_source_positions": 2000},
    },
    "quant-noise": QUANT_NOISE,
    "quant-noise, all shared": {**QUANT_NOISE, **SHARED},
    "quant-noise, learned positions": {**QUANT_NOISE, **PRE_NORM, "encoder_learned_pos": True},
    "quant-noise, no positions": {**QUANT_NOISE, "no_token_positional_embeddings": True},
}


def dictionary(language, types):
    found = Dictionary()
    for number in range(types - len(found)):
        found.add_symbol(f"{language}{number}")
    return found


def state_of(**options):
    """(what fairseq saves of a model that has learnt something everywhere, its dictionaries)"""
    source, target = dictionary("s", 37), dictionary("t", 29)
    if "share_all_embeddings" in options:
        target = source
    model_settings = {**SMALL, **options}
    there = TranslationTask(TranslationConfig(), source, target)
    torch.manual_seed(1)
    model = there.build_model(OmegaConf.create(model_settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # as they are at first, one would not miss them
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    state = checkpoint_of(model)
    state["cfg"]["model"] = model_settings
    return state, (source, target)


def checkpoint_with(**options):
    state, dictionaries = state_of(**options)
    return Checkpoint.of(state).stock(), dictionaries


def sentences(dictionary, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, len(dictionary), (n,), generator=generator) for n in lengths]


def padded(rows, left=False):
    longest = max(map(len, rows))
    found = torch.full((len(rows), longest), 1)
    for line, row in zip(found, rows, strict=True):
        (line[longest - len(row) :] if left else line[: len(row)]).copy_(row)
    return found


def by_fairseq(checkpoint, dictionaries, source, target):
    """The log-probabilities of the target tokens and of the end, as stock fairseq has them."""
    there = TranslationTask(TranslationConfig(), *dictionaries)
    model = there.build_model(OmegaConf.create(checkpoint.settings))
    model.load_state_dict(checkpoint.weights, strict=True)
    end = torch.tensor([2])
    rows = padded([torch.cat([row, end]) for row in source], left=True)
    previous = padded([torch.cat([end, row]) for row in target])
    with torch.no_grad():
        logits, _ = model.eval()(rows, rows.ne(1).sum(1), previous)
    found = logits.log_softmax(-1)
    return [
        found[i, torch.arange(len(row) + 1), torch.cat([row, end])].tolist()
        for i, row in enumerate(target)
    ]


def by_ctranslate2(folder, dictionaries, source, target, compute_type="float32"):
    translator = ctranslate2.Translator(str(folder), compute_type=compute_type)
    words = [
        [[dictionary[i] for i in row] for row in rows]
        for rows, dictionary in zip((source, target), dictionaries, strict=True)
    ]
    return [result.log_probs for result in translator.score_batch(*words)]


def assert_same_model(checkpoint, dictionaries, spec, folder):
    write(spec, folder, "none")
    source = sentences(dictionaries[0], (9, 1, 5, 0, 12), seed=1)
    target = sentences(dictionaries[1], (3, 8, 0, 4, 7), seed=2)
    expected = by_fairseq(checkpoint, dictionaries, source, target)
    found = by_ctranslate2(folder, dictionaries, source, target)
    for row, expected_row in zip(found, expected, strict=True):
        np.testing.assert_allclose(row, expected_row, rtol=0, atol=1e-5)


@pytest.fixture(scope="module", params=OPTIONS)
def exported(request):
    """(a checkpoint with an option, its dictionaries, its specification)"""
    checkpoint, dictionaries = checkpoint_with(**OPTIONS[request.param])
    return checkpoint, dictionaries, specification(checkpoint, dictionaries)


def test_the_log_probabilities_are_those_of_stock_fairseq(tmp_path, exported):
    assert_same_model(*exported, tmp_path)


@pytest.mark.parametrize("flags", [(), ("--share-all-embeddings", "--decoder-normalize-before")])
def test_so_are_those_of_a_student(tmp_path, flags):
    model, _ = build(*flags)
    there = task()
    dictionaries = (there.source_dictionary, there.target_dictionary)
    full = Checkpoint.of(checkpoint_of(model, *flags))
    for layers in ("2x1", "last2x3"):
        folder = tmp_path / layers
        folder.mkdir()
        student = full.cut(Layers.parse(layers))
        assert_same_model(student, dictionaries, specification(student, dictionaries), folder)


def test_so_are_those_in_half_precision(tmp_path):
    state, dictionaries = state_of(**SHARED)
    halved = Checkpoint.of(state).cut(Layers.parse("3x1"), fp16=True)
    assert halved.weights["encoder.embed_tokens.weight"].dtype == torch.float16
    assert_same_model(halved, dictionaries, specification(halved, dictionaries), tmp_path)


def test_so_are_those_of_an_older_fairseq(tmp_path):
    state, dictionaries = state_of(**SHARED)
    weights = state["model"]
    for name in [name for name in weights if ".q_proj." in name]:
        parts = [weights.pop(name.replace("q_proj.", f"{kind}_proj.")) for kind in "qkv"]
        weights[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    checkpoint = Checkpoint.of(state).stock()
    assert_same_model(checkpoint, dictionaries, specification(checkpoint, dictionaries), tmp_path)


def numbers_of(spec):
    """All numbers in a specification."""
    values = (value for value in spec.variables().values() if value.dtype == "float32")
    return np.unique(np.concatenate([value.numpy().ravel() for value in values]))


def test_every_number_of_the_checkpoint_goes_in(exported):
    checkpoint, _, spec = exported
    if checkpoint.settings["quant_noise_pq"]:
        pytest.skip("see the next one")
    there = numbers_of(spec)
    for name, tensor in checkpoint.weights.items():
        if name.endswith("version"):
            continue
        if name.endswith("embed_positions.weight"):
            tensor = tensor[2:]  # of no position: up to the padding's
        assert np.isin(tensor.numpy(), there).all(), name


def test_matrices_of_quant_noise_go_in_though_others_take_them_in():
    state, dictionaries = state_of(**QUANT_NOISE, **UNEQUAL, encoder_learned_pos=True)
    names = [name for name in state["model"] if "quant_noise" in name or "embed" in name]
    assert len(names) == 5
    variables = []
    for changed in [None, *names]:
        model = {name: t + (name == changed) for name, t in state["model"].items()}
        checkpoint = Checkpoint.of({**state, "model": model}).stock()
        variables.append(specification(checkpoint, dictionaries).variables())
    before, *after = variables
    for name, found in zip(names, after, strict=True):
        assert any(not found[key].equal(before[key]) for key in before), name


REFUSED = {
    "linear": ({"activation_fn": "linear"}, "--activation-fn linear"),
    "relu_squared": ({"activation_fn": "relu_squared"}, "--activation-fn relu_squared"),
    "merged embeddings": ({"merge_src_tgt_embed": True}, "--merge-src-tgt-embed (its "),
    "cross+self-attention": ({"cross_self_attention": True}, "--cross-self-attention (its "),
    "no cross-attention": ({"no_cross_attention": True}, "--no-cross-attention (its "),
    "scalar quant-noise": ({"quant_noise_scalar": 0.1}, "--quant-noise-scalar (fairseq rounds "),
    "quant-noise": (
        {**QUANT_NOISE, "layernorm_embedding": True},
        "the tensor encoder.quant_noise.weight (behind --layernorm-embedding)",
    ),
}


@pytest.mark.parametrize("option", REFUSED)
def test_what_ctranslate2_cannot_compute_is_refused_by_name(tmp_path, monkeypatch, option):
    options, reason = REFUSED[option]
    checkpoint, dictionaries = checkpoint_with(**options)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(CheckpointError, match=re.escape(reason)) as raised:
        specification(checkpoint, dictionaries)
    assert "\n" not in str(raised.value) and not [*tmp_path.iterdir()]


OF_LAYERS = {
    "scale_attn": ("attn_ln.weight", "attn_ln.bias"),
    "scale_heads": ("c_attn",),
    "scale_fc": ("ffn_layernorm.weight", "ffn_layernorm.bias"),
    "scale_resids": ("w_resid",),
}


@pytest.mark.parametrize("option", OF_LAYERS)
def test_tensors_that_a_checkpoint_cannot_be_built_with_are_refused_by_name(option):
    state, _ = state_of(decoder_layers=1)
    state["cfg"]["model"][option] = True  # of a Namespace fairseq takes it, of a dictionary not
    for name in OF_LAYERS[option]:
        state["model"][f"decoder.layers.0.{name}"] = torch.ones(2)
    with pytest.raises(CheckpointError) as raised:
        Checkpoint.of(state)
    assert all(f"decoder.layers.0.{name}" in str(raised.value) for name in OF_LAYERS[option])


def test_the_adaptive_softmax_is_refused_by_name():
    state, dictionaries = state_of(adaptive_softmax_cutoff=[10, 20])
    with pytest.raises(CheckpointError, match=r"the tensor decoder\.adaptive_softmax\.head"):
        specification(Checkpoint.of(state), dictionaries)


def with_gates(build):
    """A later fairseq's models, whose layers have a tensor more, and xFormers at hand."""

    def build_later(family, settings, weights):
        model = build(family, {**settings, "decoder_xformers_att_config": None}, weights)
        for layer in model.decoder.layers:
            layer.gate = torch.nn.Parameter(torch.ones(3))
        return model

    return build_later


def test_all_reasons_are_in_one_line(tmp_path):
    state, dictionaries = state_of(activation_fn="linear", no_cross_attention=True)
    torch.save(state, tmp_path / "model.pt")
    checkpoint = Checkpoint.read(tmp_path / "model.pt").stock()
    dictionaries[1].symbols[-1] = "t3"  # as with #fairseq:overwrite
    checkpoint.settings["decoder_xformers_att_config"] = "{'name': 'linformer'}"
    later = replace(checkpoint.family, builder=with_gates(checkpoint.family.builder))
    with pytest.raises(CheckpointError) as raised:
        specification(replace(checkpoint, family=later), dictionaries)
    assert str(raised.value) == (
        f"{tmp_path}/model.pt: CTranslate2 has nothing like it: --activation-fn linear; "
        "--no-cross-attention (its decoder does not read its encoder); "
        "--decoder-xformers-att-config (its attention is another); "
        "the tensor decoder.layers.0.gate; the tensor decoder.layers.1.gate; "
        "the decoder's dictionary has t3 twice"
    )


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_quantization_gives_about_the_same_model(tmp_path, quantization):
    checkpoint, dictionaries = checkpoint_with(**SHARED, **PRE_NORM)
    write(specification(checkpoint, dictionaries), tmp_path, quantization)
    source = sentences(dictionaries[0], (9, 5, 12), seed=1)
    target = sentences(dictionaries[1], (3, 8, 7), seed=2)
    expected = by_fairseq(checkpoint, dictionaries, source, target)
    found = by_ctranslate2(tmp_path, dictionaries, source, target)  # the file's numbers, exactly
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), rtol=0, atol=0.1)
    if quantization in ctranslate2.get_supported_compute_types("cpu"):
        # How exact these products are depends on the CPU: see docs/shipping.md.
        found = by_ctranslate2(tmp_path, dictionaries, source, target, quantization)
        assert np.isfinite(np.concatenate(found)).all()


@pytest.mark.parametrize("quantization", ["float16", "int8_float16"])
def test_numbers_too_large_for_half_precision_are_refused(tmp_path, quantization):
    state, dictionaries = state_of()
    state["model"]["encoder.layers.1.fc1.bias"][2] = -70_000
    spec = specification(Checkpoint.of(state).stock(), dictionaries)
    line = rf"^--quantization {quantization}: can't hold encoder/layer_1/ffn/linear_0/bias: choose"
    with pytest.raises(ValueError, match=line):
        write(spec, tmp_path, quantization)
    assert not [*tmp_path.iterdir()]
    for other in ("none", "bfloat16", "int8"):
        write(spec, tmp_path, other)


def test_a_matrix_of_zeros_is_int8_and_no_int16(tmp_path):
    state, dictionaries = state_of()
    state["model"]["decoder.layers.1.fc2.weight"].zero_()
    checkpoint = Checkpoint.of(state).stock()
    spec = specification(checkpoint, dictionaries)
    with pytest.raises(ValueError, match="--quantization int16: can't hold decoder/layer_1/ffn"):
        write(spec, tmp_path, "int16")
    write(spec, tmp_path, "int8")
    source, target = sentences(dictionaries[0], (5,), 1), sentences(dictionaries[1], (4,), 2)
    [found] = by_ctranslate2(tmp_path, dictionaries, source, target)
    [expected] = by_fairseq(checkpoint, dictionaries, source, target)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1)
