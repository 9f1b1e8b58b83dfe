"""The Python in a model card does what `selfteach translate` does, with two small packages."""

import io
import re
import subprocess
import sys

import pytest
from exported import learn_pieces, of_text, of_words
from test_translate import SENTENCES

from selfteach_fairseq.export.translate import Translator, stream
from selfteach_fairseq.programs.generate import Limit

PRELUDE = """
import sys
sys.modules.update(dict.fromkeys(["torch", "fairseq", "selfteach_fairseq"{further}]))
"""
CODA = """
for line in sys.stdin.buffer.read().decode().split("\\n")[:-1]:
    sys.stdout.buffer.write((translate(line) + "\\n").encode())
"""
MODELS = {
    "a limit that grows": {"limit": Limit(1 / 3, 3)},
    "a limit beyond the model's": {"limit": Limit(0, 5000)},
    "int8": {"quantization": "int8"},
}


def by_card(path, content, further=""):
    (code,) = re.findall(r"```python\n(.*?)```", (path / "README.md").read_text(), re.DOTALL)
    program = PRELUDE.format(further=further) + code + CODA
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], input=content, cwd=path, capture_output=True
    )
    assert result.returncode == 0 and result.stderr == b"", result.stderr.decode()
    return result.stdout


def by_command(path, content):
    out = io.BytesIO()
    stream(Translator(path), io.BytesIO(content), out)
    return out.getvalue()


@pytest.mark.parametrize("choices", MODELS.values(), ids=MODELS)
def test_text(tmp_path, choices):
    pieces = learn_pieces(SENTENCES, tmp_path / "spm", 30)
    model = of_text(tmp_path / "model", pieces, **choices)
    content = "".join(f"{line}\n" for line in [*SENTENCES[:20], "", " \u2028 "]).encode()
    assert by_card(model, content) == by_command(model, content)


def test_a_model_for_each_side(tmp_path):
    """Here of the same pieces."""
    pieces = learn_pieces(SENTENCES, tmp_path / "spm", 30)
    model = of_text(tmp_path / "model", pieces, sentencepiece=[pieces, pieces])
    assert (model / "sentencepiece.target.model").is_file()
    content = "".join(f"{line}\n" for line in SENTENCES[:9]).encode()
    assert by_card(model, content) == by_command(model, content)


def test_words(trained, data, tmp_path):
    model = of_words(trained, data, tmp_path / "model")
    content = (data.parent / "test.xx").read_bytes() + b"\n"
    assert by_card(model, content, further=', "sentencepiece"') == by_command(model, content)
