"""Records of scores: what is no record, or holds what no score is, gets one line."""

import csv
import gzip
import json

import pytest
import scored
from hypothesis import given
from hypothesis import strategies as st

from selfteach_fairseq.cli import main
from selfteach_fairseq.evaluation import records, tables
from selfteach_fairseq.report import results

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
INT8 = {"engine": "ctranslate2", "quantization": "int8", "compute_type": "int8_float32"}
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
        *(("sparsity", value) for value in ("0.5", True, -0.5, float("nan"), [])),
        *(("options", value) for value in (["--cpu"], None, 5)),
        *(("kept_layers", value) for value in ("last2x2", "all", "", None, 6)),
        ("tokenizer", ["zh"]),
        *(("versions", value) for value in (None, "2.13", {"torch": ["2.13"]})),
        *(("engine", value) for value in (None, "marian", ["fairseq"], 1)),
        *(("quantization", value) for value in ("int8", "none", 8, [])),  # fairseq's has none
        *(("compute_type", value) for value in (8, "a\nb", ["int8"])),
        *((name, value) for name in ("threads", "beam", "batch_size") for value in (0, "1", True)),
        *(("threads", value) for value in (1.5, -1, 10**400, {})),
        ("more", [[[1]]]),
    ],
)
def test_a_field_of_another_kind(tmp_path, capsys, name, value):
    path = written(tmp_path, {**RECORD, name: value})
    assert f"no record of `selfteach score`: its {name}" in error_of(path, capsys)


@pytest.mark.parametrize("value", [None, "int4", "INT8", 8, ["int8"], "\ud800"])
def test_a_model_of_ctranslate2_is_stored_in_a_known_way(tmp_path, capsys, value):
    path = written(tmp_path, {**RECORD, **INT8, "quantization": value})
    assert "its quantization is not" in error_of(path, capsys)


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


OF_SPEED = ("hardware", "threads", "beam", "batch_size")


@given(
    name=st.sampled_from([*sorted(RECORD), *INT8, *OF_SPEED]) | st.text(),
    value=JSON,
    engine=st.sampled_from([{}, INT8]),
)
def test_any_record_gives_a_table_or_one_line(tmp_path_factory, name, value, engine):
    folder = tmp_path_factory.mktemp("any")
    path = written(folder, {**RECORD, **engine, name: value})
    try:
        record = records.read(path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    other = {"system": "other", "bleu_signature": record["bleu_signature"]}
    printed = tables.tables([record, RECORD | other]).split("\n")
    assert len(printed) == 11 + bool(str(records.settings_of(record)))
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


def test_other_layers_are_rows_of_their_own(tmp_path, capsys):
    records = ({"bleu": 30}, {"bleu": 20, "kept_layers": "last6x3"})
    paths = [
        str(written(tmp_path, {**RECORD, "system": "a", **r}, f"{r['bleu']}")) for r in records
    ]
    assert main(["report", *paths]) == 0
    rows = [line.split("|")[1:6] for line in capsys.readouterr().out.splitlines()[2:4]]
    assert [(row[1].strip(), row[4].strip()) for row in rows] == [
        ("6x3", "30.0"),
        ("last6x3", "20.0"),
    ]


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


def cells(printed):
    """The rows of the two tables that were printed."""
    lines = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines if "---" not in line[0]]
    half = len(rows) // 2
    return [
        [dict(zip(rows[at], row, strict=True)) for row in rows[at + 1 : at + half]]
        for at in (0, half)
    ]


def test_engines_stand_side_by_side_against_the_full_model_in_fairseq(tmp_path, capsys):
    scored.make_shipped(tmp_path, seeds=("1", "2", "3"))
    assert main(["report", *map(str, results.record_paths(tmp_path))]) == 0
    printed = capsys.readouterr().out
    quality, cost = cells(printed)
    engines = ["fairseq", "CT2 float32", "CT2 int8"]
    rows = [("selfteach", layers, e) for layers in ("4x4", "4x2", "4x1", "2x2") for e in engines]
    for table in (quality, cost):
        assert [(row["system"], row["layers"], row["engine"]) for row in table] == rows
    assert [row["speed"] for row in cost[:3]] == ["1.00 x", "2.91 x", "2.71 x"]
    assert (quality[0]["seeds"], quality[0]["BLEU"]) == ("3", "38.9 ± 1.0")
    assert (quality[2]["of BLEU"], cost[-1]["speed"]) == ("99.7%", "4.91 x")
    assert cost[-1]["params"] == "0.92 M"
    assert all(len(line) <= 100 for line in printed.splitlines())
    assert "speed: a CPU, threads 1, batch 64, beam 5" in printed.splitlines()


def test_tables_of_fairseq_alone_name_no_engine(tmp_path, capsys):
    old, new = RECORD, {**RECORD, "engine": "fairseq", "compute_type": "float32", "threads": 1}
    for record in (old, new):
        assert main(["report", str(written(tmp_path, record))]) == 0
        quality, cost = cells(capsys.readouterr().out)
        assert "engine" not in quality[0] and "engine" not in cost[0]
        assert quality[0]["parameters"] == "10.00 M"


def test_sparsity_is_a_column_where_a_model_was_pruned(tmp_path, capsys):
    """A record without it, as old ones are, is of a model without zeros."""
    records = [{**RECORD, "system": "plain"}] + [
        {**RECORD, "system": "pruning", "seed": seed, "sparsity": sparsity}
        for seed, sparsity in (("1", 0.5), ("2", 0.501))
    ]
    paths = [str(written(tmp_path, record, f"{i}.json")) for i, record in enumerate(records)]
    assert main(["report", *paths, "--csv", str(tmp_path / "all.csv")]) == 0
    quality, cost = cells(capsys.readouterr().out)
    assert [row["sparsity"] for row in quality] == ["0.0%", "50.0%"] and "sparsity" not in cost[0]
    rows = csv.DictReader((tmp_path / "all.csv").open())
    assert [row["sparsity"] for row in rows] == ["", "0.5", "0.501"]
    assert main(["report", paths[0]]) == 0
    assert "sparsity" not in capsys.readouterr().out


def test_bits_are_said_to_be_of_the_checkpoint(tmp_path, capsys):
    """Where rows of other engines have them, too."""
    scored.make_shipped(tmp_path, valid_bits=3.25)
    paths = [str(path) for path in results.record_paths(tmp_path)]
    for some, told in ((paths[:1], False), (paths[:3], True)):
        assert main(["report", *some]) == 0
        shown = capsys.readouterr().out
        assert "3.250" in shown and ("bits: of the checkpoint" in shown) == told


def test_two_records_of_a_seed_are_no_two_seeds(tmp_path, capsys):
    """Such as of two test sets, or of two length penalties."""
    plain = {**RECORD, "system": "plain", "seed": "1"}
    paths = [written(tmp_path, {**plain, "lenpen": n}, f"{n}.json") for n in (1, 2)]
    assert main(["report", *map(str, paths)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "plain 6x3: 2 records are of its seed 1: name one of them, or score" in line


def test_a_name_with_a_bar_is_one_cell(tmp_path, capsys):
    assert main(["report", str(written(tmp_path, {**RECORD, "system": "a|b"}))]) == 0
    assert "| a\\|b   |" in capsys.readouterr().out


def test_one_engine_other_than_fairseq_is_named(tmp_path, capsys):
    assert main(["report", str(written(tmp_path, {**RECORD, **INT8}))]) == 0
    assert cells(capsys.readouterr().out)[0][0]["engine"] == "CT2 int8"


def test_settings_of_speed_that_differ_are_named_and_never_averaged(tmp_path, capsys):
    """Two records of a seed are not two seeds: before, beam 1 and 5 gave one row of two seeds."""
    plain = {**RECORD, "system": "plain", "hardware": "a CPU, 2 threads", "batch_size": 64}
    variants = [
        {"beam": 5},
        {"beam": 1, "sentences_per_second": 101},
        {"beam": 5, "threads": 4, "sentences_per_second": 101},
        {"beam": 5, "batch_size": 1, "sentences_per_second": 5},
    ]
    paths = [written(tmp_path, {**plain, **v}, f"{i}.json") for i, v in enumerate(variants)]
    assert main(["report", *map(str, paths[:2])]) == 0
    printed = capsys.readouterr().out
    assert [(row["engine"], row["speed"]) for row in cells(printed)[1]] == [
        *(("fairseq, beam 5", "1.00 x"), ("fairseq, beam 1", "2.00 x"))
    ]
    assert "speed: a CPU, threads 2, batch 64, beam 1 (plain 6x3 fairseq, beam 1)" in printed
    assert main(["report", *map(str, (paths[0], *paths[2:]))]) == 0
    assert [(row["engine"], row["speed"]) for row in cells(capsys.readouterr().out)[1]] == [
        ("fairseq, threads 2, batch 64", "1.00 x"),
        ("fairseq, threads 4, batch 64", "-"),  # no speed-up: four threads are not one model's
        ("fairseq, threads 2, batch 1", "-"),
    ]


def test_speeds_of_different_machines_are_not_compared(tmp_path, capsys):
    records = [
        {**RECORD, "system": system, "hardware": machine, "sentences_per_second": speed}
        for system, machine, speed in (
            *(("a", "a CPU, 2 threads", 50), ("b", "a GPU", 5000)),
            *(("c", "a CPU", 100), ("d", None, 75)),  # what does not say counts as the same
        )
    ]
    paths = [str(written(tmp_path, record, f"{i}.json")) for i, record in enumerate(records)]
    assert main(["report", *paths]) == 0
    printed = capsys.readouterr().out
    assert [row["speed"] for row in cells(printed)[1]] == ["1.00 x", "-", "2.00 x", "1.50 x"]
    assert "speed: a GPU (b 6x3)" in printed.splitlines()


def test_a_csv_takes_no_records_name(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["report", "--csv", "plain.json", str(tmp_path / "student.json")])
    assert "'plain.json': is a record's name" in capsys.readouterr().err


def test_the_csv_has_the_engine_of_older_records_too(tmp_path):
    paths = [written(tmp_path, RECORD, "old.json"), written(tmp_path, RECORD | INT8, "new.json")]
    assert main(["report", *map(str, paths), "--csv", str(tmp_path / "all.csv")]) == 0
    old, new = csv.DictReader((tmp_path / "all.csv").open())
    assert (old["engine"], old["quantization"]) == ("fairseq", "")
    assert (new["engine"], new["quantization"], new["torch"]) == ("ctranslate2", "int8", "2.13.0")


def test_translations_of_files_with_one_name(tmp_path, capsys):
    """A folder for each engine, and the same file names in them; and one named as the source is."""
    (tmp_path / "text").write_text("eins\n")
    paths = []
    for path in (tmp_path / "fairseq/a.json", tmp_path / "ct2/a.json", tmp_path / "source.json"):
        path.parent.mkdir(exist_ok=True)
        paths.append(str(written(path.parent, RECORD, path.name)))
        path.with_suffix(".hyp.txt").write_text(f"one, by {path.parent.name}\n")
    words = ["report", *paths, "--sentences", "1", "--source", str(tmp_path / "text")]
    assert main(words) == 0
    found = [line.partition("  ") for line in capsys.readouterr().out.splitlines()[-4:]]
    assert [(name, text.strip()) for name, _, text in found] == [
        ("source", "eins"),
        (f"{tmp_path}/fairseq/a", "one, by fairseq"),
        (f"{tmp_path}/ct2/a", "one, by ct2"),
        (f"{tmp_path}/source", f"one, by {tmp_path.name}"),
    ]


def test_likelihood_and_chrf_plus_plus_are_columns_where_all_have_them(tmp_path):
    newer = {"valid_bits": 3.1254, "chrfpp": 51.2}
    seeds = [
        records.read(written(tmp_path, {**RECORD, **newer, "valid_bits": bits}))
        for bits in (3.1254, 3.0254)
    ]
    (row,), _ = tables.rows(seeds)
    assert row["bits"] == "3.075 ± 0.071" and row["chrF++"] == "51.2 ± 0.0" and "chrF" not in row
    older = records.read(written(tmp_path, {**RECORD, "system": "older"}))
    quality, _ = tables.rows([*seeds, older])
    assert all("bits" not in row and row["chrF"].startswith("55.0") for row in quality)
