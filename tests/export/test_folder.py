"""Folders that are not what was exported: one line each, and nothing outside is read."""

import json
import shutil
import subprocess

import ctranslate2
import hypothesis
import pytest
from exported import learn_pieces, of_text
from hypothesis import given
from hypothesis import strategies as st
from test_translate import SENTENCES

from selfteach_fairseq.cli import main
from selfteach_fairseq.export import folder, search
from selfteach_fairseq.export.translate import Translator
from selfteach_fairseq.files import sha256

FILES = ("model.bin", "config.json", "shared_vocabulary.json", "sentencepiece.model")
FILES += ("selfteach.json", "SHA256SUMS")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    return learn_pieces(SENTENCES, tmp_path_factory.mktemp("pieces") / "spm", 30)


@pytest.fixture(scope="module")
def whole(pieces, tmp_path_factory):
    return of_text(tmp_path_factory.mktemp("whole") / "model", pieces)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another export, whose files have the same names; the same config.json, too."""
    path = tmp_path_factory.mktemp("other")
    return of_text(path / "model", learn_pieces(SENTENCES, path / "spm", 32), pair=("en", "de"))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def refusal(path, capsys, *options):
    assert main(["translate", str(path), *options]) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("selfteach translate: ") and len(line) < 700 and out == ""
    return line.removeprefix("selfteach translate: ")


def sum_again(path):
    """As somebody who means harm would."""
    names = [name for name in FILES[:-1] if (path / name).is_file()]
    sums = "".join(f"{sha256(path / name)}  {name}\n" for name in names)
    (path / "SHA256SUMS").write_text(sums)


def change_settings(path, **changes):
    settings = json.loads((path / "selfteach.json").read_text())
    (path / "selfteach.json").write_text(json.dumps({**settings, **changes}))
    sum_again(path)


def test_the_sums_are_those_of_sha256sum(whole):
    assert {file.name for file in whole.iterdir()} == {*FILES, "README.md"}
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=whole, capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK") == len(FILES) - 1


def test_the_card_is_its_owners(copy):
    (copy / "README.md").write_text("licence: mine\n")
    (copy / "LICENSE").write_text("mine\n")
    assert folder.read(copy).source == "de"


DAMAGES = {
    "missing": lambda file, content: file.unlink(),
    "empty": lambda file, content: file.write_bytes(b""),
    "cut": lambda file, content: file.write_bytes(content[: len(content) // 2]),
    "a byte less": lambda file, content: file.write_bytes(content[:-1]),
    "a bit flipped": lambda file, content: file.write_bytes(
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 4])
        + content[len(content) // 2 + 1 :]
    ),
    "a folder": lambda file, content: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file(copy, capsys, name, damage):
    damage(copy / name, (copy / name).read_bytes())
    if name == "SHA256SUMS" and damage is DAMAGES["a byte less"]:
        assert folder.read(copy)  # it was a line end
    else:
        assert refusal(copy, capsys).startswith(str(copy))


@pytest.mark.parametrize("name", [name for name in FILES if name != "config.json"])
def test_a_file_of_another_model(copy, other, capsys, name):
    shutil.copyfile(other / name, copy / name)
    assert "damaged or of another model: copy it again" in refusal(copy, capsys)


@pytest.mark.parametrize("name", ["source_vocabulary.json", "shared_vocabulary.txt", "vmap.txt"])
def test_a_file_more_that_would_be_read(copy, capsys, name):
    """Left by another export, it would take the place of the right one."""
    (copy / name).write_text("a\n")
    assert f"its {name} is of another model: remove it" in refusal(copy, capsys)


def test_no_vocabulary(copy, capsys):
    (copy / "shared_vocabulary.json").unlink()
    sum_again(copy)
    assert "lacks source_vocabulary.json: export again" in refusal(copy, capsys)


def test_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "file", "empty"):
        assert "is no folder of `selfteach export`: name one" in refusal(tmp_path / name, capsys)


def test_a_vocabulary_that_is_summed_again(copy, tmp_path, capsys):
    """CTranslate2 finds out while it translates."""
    (copy / "shared_vocabulary.json").write_text('["<s>", "<pad>", "</s>", "<unk>"]')
    sum_again(copy)
    with pytest.raises(ValueError, match=r"CTranslate2 can't (load|translate)") as error:
        translator = Translator(copy)
        translator.translate([translator.parts("ta ko")])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "sentencepiece.model"])
@pytest.mark.parametrize("content", [b"", b"[]", bytes(range(256)) * 4])
def test_content_that_is_summed_again(copy, capsys, name, content):
    (copy / name).write_bytes(content)
    sum_again(copy)
    assert refusal(copy, capsys).startswith(str(copy))


def test_numbers_that_this_cpu_lacks(pieces, tmp_path, capsys):
    model = of_text(tmp_path / "model", pieces, quantization="float16")
    assert "this cpu does not compute in float16: export with" in refusal(model, capsys)


class WithoutCublas:
    """As ctranslate2 on a machine with a GPU and no CUDA 12: a model loads there, all the same."""

    def get_supported_compute_types(self, device):
        return ctranslate2.get_supported_compute_types("cpu")

    def Translator(self, path, device, **options):
        translator = ctranslate2.Translator(path, **options)
        return translator if device == "cpu" else self

    def translate_batch(self, *_, **__):
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")


def test_a_gpu_without_its_libraries(whole, capsys, monkeypatch):
    monkeypatch.setattr(folder, "library", WithoutCublas)
    line = refusal(whole, capsys, "--device", "cuda")
    assert line.endswith(
        "libcublas.so.12 is not found or cannot be loaded): pip install nvidia-cublas-cu12"
    )
    assert search._loaded(whole, "none", "cuda", 1).device == "cpu"
    assert capsys.readouterr().err.endswith("nvidia-cublas-cu12; so the CPU translates\n")


SETTINGS = {
    "beam": [0, -1, 10**9, 10**400, 2.0, "5", True, None, float("nan"), [5]],
    "lenpen": [float("nan"), float("inf"), 10**400, "1", True, None],
    "max_len_a": [-1, float("nan"), 1e308, 10**400, "1", None],
    "max_len_b": [-1, 1.5, 10**400, "200", None],
    "longest_source": [0, -1, 10**400, "9", None],
    "longest_target": [0, -1, 10**400, None],
    "subwords": [
        *("sentencepiece.model", None, {}, [[1]], [None], [{}], ["../spm.model"], ["/etc/passwd"]),
        *(["sentencepiece.model"] * 3, [""], ["."], [".."], ["a\0b"], ["README.md"], ["\x1b[2J"]),
    ],
    "quantization": ["float99", "auto", "", 8, None],
    "source": [5, None],
    "layers": [5, None],
    "format": [0, 2, None, "1"],
}


@pytest.mark.parametrize(
    "name, value",
    [(name, value) for name, values in SETTINGS.items() for value in values],
    ids=lambda value: repr(value)[:20],
)
def test_hostile_settings(copy, capsys, name, value):
    change_settings(copy, **{name: value})
    assert refusal(copy, capsys).startswith(str(copy))


def test_no_room_for_a_word(copy, capsys):
    change_settings(copy, max_len_a=0.1, max_len_b=0)
    assert "leaves no room for a word" in refusal(copy, capsys)


def test_positions_that_the_model_lacks(copy):
    change_settings(copy, longest_source=10**6, longest_target=10**6, max_len_b=10**5)
    with pytest.raises(ValueError, match="CTranslate2 can't translate"):
        translator = Translator(copy)
        translator.translate([translator.parts("ta ko " * 100)])


@pytest.mark.parametrize("content", ["", "[]", "{", "5", '{"format": 1}', "[" * 10**5, "\x00"])
def test_settings_that_are_none(copy, capsys, content):
    (copy / "selfteach.json").write_text(content)
    sum_again(copy)
    assert refusal(copy, capsys).startswith(str(copy))


NAMES = ["../spm.model", "/etc/passwd", "..", ".", "", "a/b", "x" * 5000, "a\0b", "\udcff", "\x1b"]


@pytest.mark.parametrize("name", NAMES)
def test_sums_that_name_other_files(copy, capsys, name):
    with open(copy / "SHA256SUMS", "ab") as sums:
        sums.write(f"{'0' * 64}  {name}\n".encode(errors="surrogateescape"))
    assert "\x1b" not in refusal(copy, capsys)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def victim(whole, tmp_path_factory):
    return shutil.copytree(whole, tmp_path_factory.mktemp("victim") / "model")


@hypothesis.settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), JSON, min_size=1))
def test_any_settings(whole, victim, changes):
    """They are refused, or such as a search can have."""
    shutil.copyfile(whole / "selfteach.json", victim / "selfteach.json")
    change_settings(victim, **changes)
    try:
        settings = folder.read(victim)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert 1 <= settings.beam <= folder.LARGEST_BEAM
        assert 1 <= settings.limit.within(2, settings.longest_target) <= settings.longest_target
        assert set(settings.subwords) <= {"sentencepiece.model"}
