"""Records of scores: what is no record, or holds what no score is, gets one line."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfteach_fairseq.cli import main
from selfteach_fairseq.evaluation import records, tables

RECORD = {
    "checkpoint": "model.pt",
    "bleu": 30.5,
    "bleu_signature": "nrefs:1|case:mixed",
    "bleu_lc": 31.5,
    "chrf": 55,
    "encoder_layers": 6,
    "decoder_layers": 3,
    "parameters": 10_000_000,
    "bytes": 40_000_000,
    "sentences_per_second": 50.5,
    "training_seconds": None,
    "peak_memory_bytes": 2**31,
    "versions": {"torch": "2.13.0"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def written(folder, record, name="a record.json"):
    path = folder / name
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    return path


def error_of(path, capsys, command="report"):
    assert main([command, str(path)]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == "" and str(path) in line
    return line


@pytest.mark.parametrize(
    "name, value",
    [
        *(("bleu", value) for value in ("30", None, True, [1], float("nan"), 10**400, -1)),
        *(("encoder_layers", value) for value in (1e300, {}, float("inf"))),
        *(("training_seconds", value) for value in ("", [], False, "1 h")),
        *(("bleu_signature", value) for value in (None, 5, "a\nb", "\ud800")),
        *(("system", value) for value in (["x"], "a\x1b[2J")),
        *(("options", value) for value in (["--cpu"], None, 5)),
        ("tokenizer", ["zh"]),
        *(("versions", value) for value in (None, "2.13", {"torch": ["2.13"]})),
        ("more", [[[1]]]),
    ],
)
def test_a_field_of_another_kind(tmp_path, capsys, name, value):
    path = written(tmp_path, {**RECORD, name: value})
    assert f"no record of `selfteach score`: its {name}" in error_of(path, capsys)


def test_a_field_that_is_missing(tmp_path, capsys):
    optional = ("checkpoint", "training_seconds", "peak_memory_bytes")
    for name in RECORD:
        path = written(tmp_path, {key: value for key, value in RECORD.items() if key != name})
        if name in optional:
            assert main(["report", str(path)]) == 0
            assert "| a record |" in capsys.readouterr().out
        else:
            assert f"its {name} is not" in error_of(path, capsys)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '"text"', "[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "\0", "NaN"],
)
def test_what_is_no_object(tmp_path, capsys, text):
    assert "JSON" in error_of(written(tmp_path, text), capsys)


def test_what_is_not_utf_8(tmp_path, capsys):
    path = written(tmp_path, RECORD)
    path.write_bytes(path.read_bytes().replace(b"model", b"m\xffdel"))
    assert "no JSON" in error_of(path, capsys)


@given(name=st.sampled_from(sorted(RECORD)) | st.text(), value=JSON)
def test_any_record_gives_a_table_or_one_line(tmp_path_factory, name, value):
    folder = tmp_path_factory.mktemp("any")
    path = written(folder, {**RECORD, name: value})
    try:
        record = records.read(path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    other = {"system": "other", "bleu_signature": record["bleu_signature"]}
    assert len(tables.tables([record, RECORD | other]).split("\n")) == 11
    records.write_csv([record], folder / "all.csv")


def test_a_model_without_speed_can_be_the_first(tmp_path, capsys):
    path = written(tmp_path, {**RECORD, "sentences_per_second": 0})
    assert main(["report", str(path), str(path)]) == 0
    assert "|     - |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cost",
    [
        *("[]", "{}", "\ufeff\0", "[" * 10**5, '{"peak_memory_bytes": 5}'),
        '{"peak_memory_bytes": "5", "peak_memory_of": "GPU"}',
        '{"peak_memory_bytes": NaN, "peak_memory_of": "GPU"}',
    ],
)
def test_a_cost_that_is_none(tmp_path, capsys, cost):
    path = written(tmp_path, cost, "cost.json")
    words = ["score", "model.pt", "data", "-o", str(tmp_path / "o.json"), "--cost", str(path)]
    assert main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line


def test_translations_beside_a_source(tmp_path, capsys):
    """Only \\n ends a line: what else Unicode has for that may stand in a sentence."""
    sentences = ["one\u2028more", "two\x85\x0b\x0c", "three\rfour"]
    record = written(tmp_path, RECORD)
    translated, source = tmp_path / "a record.hyp.txt", tmp_path / 'the source\'s "text"'
    for path in (translated, source):
        path.write_bytes("".join(line + "\n" for line in sentences).encode())
    words = ["report", str(record), "--sentences", "3", "--source", str(source)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert all(
        f"{name:8}  {line}" in printed for name in ("source", "a record") for line in sentences
    )
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    assert main(words) == 0
    assert capsys.readouterr().out == printed
    for content, message in (
        (b"one\n", "a record: 1 translations of 3 sentences"),
        (b"\xff\n" * 3, "a record.hyp.txt: is not UTF-8 (byte 0)"),
        (gzip.compress(b"one\n" * 3), "a record.hyp.txt: is packed: unpack it (gunzip, "),
        (b"one\r" * 4, "a record: 4 translations of 3 sentences"),
    ):
        translated.write_bytes(content)
        assert main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_seeds_of_one_system_are_one_row(tmp_path, capsys):
    paths = [
        str(written(tmp_path, {**RECORD, "system": "plain", "seed": seed, "bleu": bleu}, seed))
        for seed, bleu in (("1", 30), ("2", 32), ("3", 34))
    ]
    assert main(["report", *paths]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1:3] == ["plain", "6x3"] and cells[4:6] == ["3", "32.0 ± 2.0"]


@pytest.mark.parametrize("name", ["bleu_signature", "bleu_lc_signature", "chrf_signature"])
@pytest.mark.parametrize("of_folder", [False, True])
def test_scores_that_do_not_count_the_same_stand_in_no_table(tmp_path, capsys, name, of_folder):
    texts = ("tok:13a", "tok:zh")
    paths = [written(tmp_path, {**RECORD, name: text}, f"{text}.json") for text in texts]
    words = [str(tmp_path)] if of_folder else [str(path) for path in paths]
    assert main(["report", *words]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == "" and not (tmp_path / "report.html").exists()
    assert f"tok:13a has the {name} tok:13a and tok:zh tok:zh" in line
    assert "the same --tokenizer" in line


def test_options_of_fairseq_generate_stand_below_the_tables(tmp_path, capsys):
    prefix = {"options": "--prefix-size 100", "encoder_layers": 2}
    for options, expected in (
        ([{}, {"options": ""}], []),
        ([{"options": "--cpu"}] * 2, ["fairseq-generate: --cpu"]),
        ([{}, prefix, prefix], ["fairseq-generate: --prefix-size 100 (plain 2x3)"]),
        (
            [{"options": "--cpu"}, prefix],
            [
                "fairseq-generate: --cpu (plain 6x3)",
                "fairseq-generate: --prefix-size 100 (plain 2x3)",
            ],
        ),
    ):
        records = [{**RECORD, "system": "plain", **fields} for fields in options]
        paths = [str(written(tmp_path, r, f"{i}.json")) for i, r in enumerate(records)]
        assert main(["report", *paths]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[lines.index("BLEU: nrefs:1|case:mixed") + 1 :] == expected
