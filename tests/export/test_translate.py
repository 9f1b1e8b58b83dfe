"""`selfteach translate`: real models and processes, whatever comes in."""

import io
import os
import pty
import random
import re
import select
import signal
import sys
import termios
import tracemalloc
import unicodedata

import ctranslate2
import pytest
from exported import LONGEST, learn_pieces, of_text, of_words, start, translate

from selfteach_fairseq.cli import main
from selfteach_fairseq.export.translate import Translator, stream

RANDOM = random.Random(0)
SYLLABLES = ("ta", "ko", "mi", "ru", "se", "lo")
SENTENCES = [
    " ".join("".join(RANDOM.choices(SYLLABLES, k=2)) for _ in range(RANDOM.randint(1, 5))) + "."
    for _ in range(300)
]
NO_PIECES = "takes and gives tokens"


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    return learn_pieces(SENTENCES, tmp_path_factory.mktemp("pieces") / "spm", 30)


@pytest.fixture(scope="module")
def text_model(pieces, tmp_path_factory):
    return of_text(tmp_path_factory.mktemp("text") / "model", pieces)


@pytest.fixture(scope="module")
def word_model(trained, data, tmp_path_factory):
    return of_words(trained, data, tmp_path_factory.mktemp("words") / "model")


class Pipe(io.RawIOBase):
    """Gives bytes as they come, in portions of any size."""

    def __init__(self, portions):
        self.portions = iter(portions)

    def read(self, size=-1):
        return next(self.portions, b"")


def streamed(translator, *portions):
    """What comes out of portions of bytes."""
    out = io.BytesIO()
    stream(translator, Pipe(portions), out)
    return out.getvalue()


def portions_of(content, largest):
    while content:
        size = RANDOM.randint(1, largest)
        yield content[:size]
        content = content[size:]


def test_a_line_for_each_line(text_model):
    """Empty ones stay; all white space is a space; lines end with \\n alone."""
    one, two = SENTENCES[:2]
    untidy = one.replace(" ", " \u2028\x0b\u00a0\u3000\r\x1c")
    lines = ["\ufeff" + one, "", two + "\r", " \u3000\t", f"  {untidy} ", one]
    output, errors = translate(text_model, "\n".join(lines).encode())
    found = output.decode().split("\n")
    assert found[0] and found[2] and found[0] != found[2]
    assert found == [found[0], "", found[2], "", found[0], found[0], ""]
    assert errors == ""
    assert translate(text_model, b"") == (b"", "")


def test_neither_batches_nor_pipes_nor_threads_change_anything(text_model):
    """Of a model with a length limit that depends on the sentence, and is reached."""
    content = "".join(f"{sentence}\n" for sentence in SENTENCES[:120]).encode()
    translator = Translator(text_model)
    together = streamed(translator, content)
    assert len(set(together.split(b"\n"))) > 60
    lengths = {len(translator._encode(line)) for line in together.decode().split("\n")}
    assert len(lengths) > 8
    assert streamed(translator, *portions_of(content, 3000)) == together
    assert streamed(translator, *portions_of(content, 60)) == together
    assert streamed(Translator(text_model, threads=2), content) == together


def test_words(word_model, data):
    """Without a sentencepiece model tokens go in and out, and it is said."""
    content = (data.parent / "test.xx").read_bytes()
    output, errors = translate(word_model, content)
    (said,) = errors.splitlines()
    assert NO_PIECES in said and str(word_model) in said
    sources, targets = content.decode().split("\n"), output.decode().split("\n")
    assert len(sources) == len(targets) == 22
    assert {word for line in targets for word in line.split()} <= {f"W{i}" for i in range(30)}
    spaces = [(len(s.split()), len(t.split())) for s, t in zip(sources, targets, strict=True)]
    assert all(target <= source + 1 + 5 for source, target in spaces)


def test_the_search_is_the_folders_unless_said(text_model):
    content = "".join(f"{sentence}\n" for sentence in SENTENCES[:20]).encode()
    by_folder = translate(text_model, content)[0]
    assert translate(text_model, content, "--beam", 2, "--lenpen", 1)[0] == by_folder
    assert translate(text_model, content, "--beam", 1)[0] != by_folder
    assert translate(text_model, content, "--lenpen", -5)[0] != by_folder


def test_threads_and_devices(text_model, capsys):
    usable = len(os.sched_getaffinity(0))
    for threads in {1, usable}:
        assert Translator(text_model, threads=threads)._model.num_translators == threads
    for options, why in (
        (["--threads", usable + 1], f"there are {usable} CPUs"),
        (["--threads", 1, "--device", "cuda"], "is of a CPU"),
        (["--beam", 10**9], "choose at most 1,000"),
    ):
        assert refused(text_model, capsys, *options).startswith(f"{options[0]}")
        assert main(["translate", str(text_model), *map(str, options)]) == 1
        assert why in capsys.readouterr().err


def refused(path, capsys, *options):
    """The one line of error."""
    assert main(["translate", str(path), *map(str, options)]) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and len(line) < 700
    return line.removeprefix("selfteach translate: ")


@pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 0, reason="there is one")
def test_no_gpu(text_model, capsys):
    assert refused(text_model, capsys, "--device", "cuda").startswith("--device cuda: ")


@pytest.mark.parametrize("option", [["--beam", "0"], ["--lenpen", "nan"], ["--lenpen", "x"]])
def test_options_that_are_no_numbers(text_model, option, capsys):
    with pytest.raises(SystemExit):
        main(["translate", str(text_model), *option])
    assert f"argument {option[0]}: '{option[1]}'" in capsys.readouterr().err


def of_one_length(translator, least):
    """Sentences, and their text: the line is longer than the model takes."""
    chosen, line = [], ""
    for sentence in SENTENCES:
        if len(translator._encode(line)) > least:
            return chosen, line
        chosen.append(sentence)
        line = f"{line} {sentence}".strip()


def test_a_long_line_is_cut_at_sentence_ends(text_model, pieces, tmp_path):
    translator = Translator(text_model)
    chosen, line = of_one_length(translator, 3 * LONGEST)
    of_parts = translator.parts(line)
    assert 3 < len(of_parts) < len(chosen)
    texts = [translator._decode(part) for part in of_parts]
    assert " ".join(texts) == line and all(text.endswith(".") for text in texts)
    each = streamed(translator, "\n".join(texts).encode()).decode().splitlines()
    assert streamed(translator, line.encode()).decode() == " ".join(each) + "\n"
    chinese = Translator(of_text(tmp_path / "model", pieces, pair=("de", "zh_CN")))
    assert streamed(chinese, line.encode()).decode() == "".join(each) + "\n"


def test_just_as_long_as_the_model_takes(text_model):
    translator = Translator(text_model)
    fits = "ta" * LONGEST
    while len(translator._encode(fits)) > LONGEST:
        fits = fits[:-1]
    assert len(translator._encode(fits)) == LONGEST == len(translator.parts(fits)[0])
    assert streamed(translator, fits.encode()).strip()


BAD = {
    "too long": (b"ta" * 200 + b"?", r"has a sentence of \d+ pieces, and the model takes 24: "),
    "not UTF-8": (b"ta \xff", r"is not UTF-8 \(byte 3\): convert it"),
    "half a character": (b"ta \xc3", r"is not UTF-8 \(byte 3\): convert it"),
    "a surrogate": (b"\xed\xa0\x80", r"is not UTF-8 \(byte 0\): convert it"),
    "without end": (b"a. " * 2**19, r"has more than 1,048,576 bytes: divide it"),
}


@pytest.mark.parametrize("line, why", BAD.values(), ids=BAD)
def test_a_bad_line_ends_it_after_those_before(text_model, line, why):
    before = "\n".join(SENTENCES[:3]).encode() + b"\n"
    expected = streamed(Translator(text_model), before)
    output, errors = translate(text_model, before + line + b"\n" + before, code=1)
    assert output == expected
    assert re.fullmatch(rf"selfteach translate: standard input, line 4: {why}.*\n", errors), errors


def test_an_open_pipe_has_its_answer_at_once(text_model):
    first, second = (sentence.encode() for sentence in SENTENCES[:2])
    with start(text_model) as process:
        for portion in (first + b"\n" + second[:2], second[2:] + b"\n"):
            process.stdin.write(portion)
            process.stdin.flush()
            ready, *_ = select.select([process.stdout], [], [], 60)
            assert ready and os.read(process.stdout.fileno(), 10_000).count(b"\n") == 1
        process.stdin.close()
        assert process.wait() == 0 and process.stdout.read() == b""


def test_a_pipe_that_does_not_block(text_model):
    """What is not there yet is not the end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with start(text_model, stdin=reading) as process:
        os.close(reading)
        for sentence in SENTENCES[:2]:
            os.write(writing, f"{sentence}\n".encode())
            assert process.stdout.readline()
        os.close(writing)
        assert process.wait() == 0


def test_memory_does_not_grow(text_model):
    """Thirty thousand lines need no more than a thousand."""
    translator = Translator(text_model, beam=1)

    def most_memory(portions):
        block = ("\n" * 1000 + SENTENCES[0] + "\n").encode()
        tracemalloc.start()
        with open(os.devnull, "wb") as nowhere:
            stream(translator, Pipe(block for _ in range(portions)), nowhere)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert most_memory(30) < 2 * most_memory(1)


def test_nobody_reads_any_more(text_model):
    process = start(text_model)
    process.stdout.close()
    _, errors = process.communicate(b"ta\n")
    assert process.returncode == -signal.SIGPIPE and errors == b""


def test_a_full_disk(text_model):
    with open("/dev/full", "wb") as full:
        process = start(text_model, stdout=full)
        _, errors = process.communicate(b"ta\n")
    assert process.returncode == 1
    assert re.fullmatch(rb"selfteach translate: .*No space left on device\n", errors)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(text_model, number):
    """It ends at once: of the signal, without a word, with what it has translated."""
    with start(text_model) as process:
        process.stdin.write(b"ta\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(number)
        assert process.wait(60) == -number
        assert process.stdout.read() == b"" == process.stderr.read()


def on_terminal(path, content, stdout_too):
    """What a terminal shows, and what goes into a pipe."""
    terminal, shown = pty.openpty()
    termios.tcsetwinsize(shown, (24, 80))  # on one without a width tqdm shows nothing
    process = start(path, stderr=shown, **({"stdout": shown} if stdout_too else {}))
    os.close(shown)
    process.stdin.write(content)
    process.stdin.close()
    said = b""
    try:
        while block := os.read(terminal, 10_000):
            said += block
    except OSError:  # the end of a terminal
        os.close(terminal)
    assert process.wait() == 0
    return said, process.stdout.read() if process.stdout else b""


def test_progress_on_a_terminal(text_model):
    content = "".join(f"{sentence}\n" for sentence in SENTENCES[:5]).encode()
    said, output = on_terminal(text_model, content, stdout_too=False)
    assert b"translating: " in said and b"lines" in said and output.count(b"\n") == 5
    said, output = on_terminal(text_model, content, stdout_too=True)
    assert said.replace(b"\r\n", b"\n") == translate(text_model, content)[0] and not output


def test_a_translation_is_one_line(tmp_path):
    """Though a piece may be a line end, as of models that fall back to bytes."""
    pieces = learn_pieces(SENTENCES, tmp_path / "spm", 300, byte_fallback=True)
    model = of_text(tmp_path / "model", pieces, says="<0x0A>")
    assert "\n" in Translator(model)._decode(["a", "<0x0A>", "b"])
    output, _ = translate(model, b"ta\n\nko\n")
    assert output.count(b"\n") == 3


def test_text_is_composed_where_the_model_knows_no_other(tmp_path):
    """As what comes from macOS has it; a model of decomposed text reads that as it is."""
    composed = [f"ä {sentence}" for sentence in SENTENCES]
    for name, lines in (("composed", composed), ("decomposed", map(decompose, composed))):
        model = of_text(tmp_path / name, learn_pieces(lines, tmp_path / f"{name}-pieces", 40))
        translator = Translator(model)
        one, other = map(translator.parts, (composed[0], decompose(composed[0])))
        assert (one == other) == (name == "composed")


def decompose(text):
    return unicodedata.normalize("NFD", text)


def test_an_unknown_piece(pieces, tmp_path):
    """Is the sign that sentencepiece has for it."""
    model = of_text(tmp_path / "model", pieces, says="<unk>")
    output, _ = translate(model, b"ta\n")
    assert set(output.decode().split()) == {"\u2047"}


@pytest.mark.parametrize(
    "stub, why",
    [("raise ImportError", "CTranslate2 is missing: "), ("__version__ = '4.8.0'", "is too old: ")],
)
def test_ctranslate2_is_missing_or_too_old(text_model, stub, why, tmp_path, monkeypatch):
    (tmp_path / "ctranslate2.py").write_text(stub)
    paths = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    process = start(text_model, environment={"PYTHONPATH": paths})
    _, errors = process.communicate(b"ta\n")
    (line,) = errors.decode().splitlines()
    assert process.returncode == 1 and why in line


def test_closed_streams(text_model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input or output is closed" in refused(text_model, capsys)
