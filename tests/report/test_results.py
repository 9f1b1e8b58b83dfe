"""A corpus' folder: which files are records, and a page that shows them and runs nothing."""

import sys
from html.parser import HTMLParser

import pytest
import scored
from project import rows

from selfteach_fairseq.cli import main
from selfteach_fairseq.report import results
from selfteach_fairseq.report.page import POLICY


class Page(HTMLParser):
    """What a page has: its tags with their attributes, its tables as rows of cells, its text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.tables, self.text, self.in_cell = [], [], "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell &= tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.tables[-1][-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def refusal(folder, capsys):
    assert main(["report", str(folder)]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert not (folder / "report.html").exists()
    return line


def test_a_folder_without_records(tmp_path, capsys):
    (tmp_path / "cost.json").write_text('{"training_seconds": 5}')
    assert f"{tmp_path}: no record of `selfteach score` is there: let it" in refusal(
        tmp_path, capsys
    )


@pytest.mark.parametrize("content", ["", "{", '{"bleu": 30}', '{"bleu": "30"}', "\0", "[" * 10**5])
def test_a_broken_record_is_not_left_out_in_silence(tmp_path, capsys, content):
    scored.write_record(tmp_path)
    (tmp_path / "torn.json").write_text(content)
    assert str(tmp_path / "torn.json") in refusal(tmp_path, capsys)


def test_other_json_is_left_aside(tmp_path):
    path = scored.write_record(tmp_path)
    for i, content in enumerate(("[]", "5", "{}", '{"stages": [6, 3]}', "null")):
        (tmp_path / f"{i}.json").write_text(content)
    (tmp_path / "folder.json").mkdir()
    assert results.record_paths(tmp_path) == [path]


def test_plain_training_comes_first_then_the_deepest(tmp_path):
    scored.make(tmp_path)
    scored.write_record(tmp_path, "another", encoder_layers=5)
    assert [path.stem for path in results.record_paths(tmp_path)] == [
        *("plain-seed1-4", "plain-seed1-2", "another"),
        *("selfteach-seed1-4", "selfteach-seed2-4", "selfteach-seed1-2", "selfteach-seed2-2"),
        "plain@2-seed1-2",
    ]


def test_a_model_comes_in_fairseq_first_then_as_float32(tmp_path):
    for name, fields in {
        "a-int16": {"quantization": "int16"},
        "b-int8": {"quantization": "int8"},
        "c-none": {"quantization": "none"},
        "d-fairseq": {"engine": "fairseq"},
    }.items():
        for layers in (3, 4):
            about = {
                "engine": "ctranslate2",
                "encoder_layers": layers,
                "decoder_layers": 6 - layers,
            }
            scored.write_record(tmp_path, f"{name}-{layers}", **{"system": "x", **about, **fields})
    assert [path.stem for path in results.record_paths(tmp_path)] == [
        *("d-fairseq-3", "c-none-3", "a-int16-3", "b-int8-3"),
        *("d-fairseq-4", "c-none-4", "a-int16-4", "b-int8-4"),
    ]


def test_the_page_shows_engines_and_the_choice(tmp_path, capsys):
    scored.make_shipped(tmp_path)
    assert main(["report", str(tmp_path), "--within", "0.5"]) == 0
    printed = capsys.readouterr().out
    page = Page(tmp_path / "report.html")
    assert "12 scored models: selfteach; in fairseq, CT2 float32, CT2 int8" in page.text
    answer = (
        "On a CPU, threads 1, the fastest within 0.5 BLEU of selfteach 4x4 fairseq is selfteach "
        "2x2 CT2 float32: -0.50 BLEU, 5.27 times as fast."
    )
    left = ", ".join(f"selfteach {layers} CT2 float32" for layers in ("4x4", "4x2", "4x1", "2x2"))
    for line in (answer, "in CT2 int8: none", f"over all engines: all but {left}"):
        assert line in printed and line in page.text
    assert [row[:2] for row in page.tables[2]] == [
        *(["engine", "fastest within 0.5 BLEU"], ["fairseq", "selfteach 2x2"]),
        *(["CT2 float32", "selfteach 2x2"], ["CT2 int8", "selfteach 2x2"]),
    ]
    assert ["threads", "1"] in page.tables[3]
    assert ["computed as", "float32 (fairseq); float32 (CT2 float32); int8_float32 (CT2 int8)"] in (
        page.tables[3]
    )
    _, speed = (image["alt"] for image in page.all("img"))
    assert "selfteach 2x2 CT2 int8: 221" in speed and "Scores are of fairseq." in page.text
    assert len(set(speed.split(", "))) == 12
    assert main(["report", str(tmp_path)]) == 0
    page = Page(tmp_path / "report.html")
    assert "fastest" not in page.text and "Dashed" not in page.text


def test_the_page_has_the_tables_that_are_printed(tmp_path, capsys):
    scored.make(tmp_path)
    assert main(["report", str(tmp_path), "--csv", str(tmp_path / "all.csv")]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith(f"{tmp_path}/report.html: ")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 8
    page = Page(tmp_path / "report.html")
    shown = [[dict(zip(table[0], row, strict=True)) for row in table[1:]] for table in page.tables]
    assert shown[:2] == rows(printed)
    assert ["hardware", "a CPU, 2 threads"] in page.tables[2]
    assert ["torch", "2.13.0"] in page.tables[2]


def test_the_page_says_what_was_given_to_fairseq_generate(tmp_path):
    scored.write_record(tmp_path, "a", options="--prefix-size 100")
    scored.write_record(tmp_path, "b")
    assert main(["report", str(tmp_path)]) == 0
    expected = ["options of fairseq-generate", "--prefix-size 100 (a 4x4)"]
    assert expected in Page(tmp_path / "report.html").tables[2]


def test_the_page_has_the_pictures_in_itself(tmp_path):
    scored.make(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    page = Page(tmp_path / "report.html")
    images = page.all("img")
    assert [image["alt"].partition(" ")[0] for image in images] == [
        *("BLEU", "BLEU", "Validation", "Importance:")
    ]
    assert "selfteach 2x2: 37.8 ± 0.7" in images[0]["alt"]
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in images)
    assert len(page.all("figcaption")) == len(images) + 2  # two tables
    for name in ("layers", "speed", "training"):
        for suffix in ("png", "svg"):
            assert (tmp_path / f"pictures/{name}.{suffix}").stat().st_size > 5000
    before = (tmp_path / "report.html").read_bytes()
    assert main(["report", str(tmp_path)]) == 0  # the same from the same, but for its own files
    assert (tmp_path / "report.html").read_bytes() == before


def test_records_alone_are_enough(tmp_path):
    scored.write_record(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    page = Page(tmp_path / "report.html")
    assert len(page.all("img")) == 2 and "Training" not in page.text


def test_nothing_in_a_record_becomes_markup(tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"
    fields = ("system", "bleu_signature", "corpus", "hardware", "subset", "source", "target")
    scored.write_record(tmp_path, "a", **dict.fromkeys(fields, evil), versions={evil: evil})
    scored.write_record(tmp_path, "b", hardware="\ud800\x1b", corpus=5, bleu_signature=evil)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/train-<b>-seed1.log").write_text(scored.validation(100, nll_loss=3))
    (tmp_path / "importance").mkdir()
    (tmp_path / "importance/<b>&.png").write_bytes(b"")
    assert main(["report", str(tmp_path)]) == 0
    page = Page(tmp_path / "report.html")
    assert not page.all("script") and not page.all("b")
    assert all(image.keys() == {"src", "alt"} for image in page.all("img"))
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert page.tables[0][1][0] == evil  # shown as it is
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy == POLICY == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_without_matplotlib_the_tables_are_printed_and_one_line_says_why(
    tmp_path, capsys, monkeypatch
):
    scored.write_record(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("| system")
    (line,) = printed.err.splitlines()
    assert "pictures need matplotlib: pip install" in line


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    scored.write_record(tmp_path)
    (tmp_path / "pictures").write_text("not a folder")
    assert "pictures" in refusal(tmp_path, capsys)
