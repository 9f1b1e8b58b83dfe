"""The records in docs/results: whole, free of a machine's paths, and what the docs' tables show."""

import re
import tarfile

import pytest
from conftest import ROOT

from selfteach_fairseq.evaluation import records, tables
from selfteach_fairseq.evaluation.groups import grouped
from selfteach_fairseq.report.results import record_paths

FOLDERS = sorted(path for path in ROOT.glob("docs/results/*") if path.is_dir())
PAGES = "".join(path.read_text() for path in sorted(ROOT.glob("docs/*.md")))


def found_in(folder):
    return [records.read(path) for path in record_paths(folder)]


def test_there_are_some():
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_report_is_that_of_the_records(folder):
    assert (folder / "report.md").read_text() == tables.tables(found_in(folder)) + "\n"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_fairseqs_translations_are_packed_beside_them(folder):
    with tarfile.open(folder / "translations.tar.xz") as archive:
        packed = {name: archive.extractfile(name).read() for name in archive.getnames()}
    found = {path: records.read(path) for path in record_paths(folder)}
    engine, *others = {records.engine_of(record) for record in found.values()}
    for path, record in found.items():
        if records.engine_of(record) == (records.FAIRSEQ if others else engine):
            text = packed.pop(records.translations_path(path).name)
            assert len(text.splitlines()) == record["sentences"]
    assert not packed


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_they_name_no_folder_of_the_machine_that_made_them(folder):
    for record in found_in(folder):
        assert record["checkpoint"].startswith("work/")
        assert record.get("references", "work/").startswith("work/")


def cells(engines):
    """What the docs show of a model: its quality in fairseq, and as int8 in CTranslate2, if any."""

    def mean(engine, name, digits):
        values = [record[name] for record in engines[engine]]
        return f"{sum(values) / len(values):.{digits}f}"

    engine, *others = engines
    if not others:  # all of the folder are of one
        first = engines[engine][0]
        if "accuracy" in first:
            return [mean(engine, "accuracy", 1), mean(engine, "f1", 1)]
        of_summaries = [
            mean(engine, name, 1) for name in ("rouge1", "rouge2", "rougeL") if name in first
        ]
        return [*of_summaries, mean(engine, "bleu", 1), mean(engine, "valid_bits", 3)]
    return [
        mean("fairseq", "bleu", 1),
        mean("fairseq", "chrfpp", 1),
        mean("fairseq", "valid_bits", 3),
        mean("CT2 int8", "bleu", 1),
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_page_shows_what_they_say(folder):
    models = {}
    for model, runs in grouped(found_in(folder)).items():
        models.setdefault((model.system, model.layers), {})[model.engine] = runs
    table = PAGES.split(f"<!-- records: {folder.name} -->\n", 1)[1].split("\n\n", 1)[0]
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    for system, layers, *figures in shown:
        engines = models[re.sub("[`*]|, cut", "", system), layers]
        expected = cells(engines)
        assert [figure.strip("*") for figure in figures[: len(expected)]] == expected
    assert shown
