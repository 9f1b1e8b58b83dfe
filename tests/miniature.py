"""IWSLT14's release in miniature: its layout and its quirks, with made-up text."""

import io
import tarfile

import iwslt14_archive

LANGUAGES = ("ar", "de", "es", "fa", "he")

TRAIN = """<url>http://www.ted.com/talks/lang/{0}/one.html</url>
<keywords>talks, {0}</keywords>
<speaker>Somebody</speaker>
<talkid>1</talkid>
<title>Title {0}: one &amp; only</title>
<description>It begins {0}. {1}</description>
 First sentence {0} &lt;b&gt;.

 1 < 2 and a <b>tag</b> {0} 
<url>http://www.ted.com/talks/lang/{0}/two.html</url>
<title>Title {0}</title>
<description>All of it {0}.</description>
"""
SENTENCES = [f" sentence number {i} of the talk in LANG ." for i in range(60)]


def _train_text(language):
    # One side's description goes over two lines.
    over = "And\nends." if language == "en" else "And ends."
    sentences = "\n".join(SENTENCES).replace("LANG", language)
    return TRAIN.format(language, over) + sentences + "\n"


def _test_text(language, name):
    segments = "".join(
        f'<doc docid="{doc}" genre="lectures">\n<talkid>{doc}</talkid>\n<title>no</title>\n'
        f'<seg id="1"> {name} {doc} &quot;{language}&quot; </seg>\n'
        f'<seg id="2">\n second {doc}\n in {language}</seg>\n</doc>\n'
        for doc in (7, 8)
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n{segments}</mteval>\n'


def files_of(language):
    sides = (language, "en")
    names = zip(iwslt14_archive.training_names(language), sides, strict=True)
    files = {name: _train_text(side) for name, side in names}
    for test in iwslt14_archive.TESTS:
        if test != "TEDX.dev2012" or language == "de":
            for name, side in zip(iwslt14_archive.test_names(language, test), sides, strict=True):
                files[name] = _test_text(side, test)
    return {name: text.encode() for name, text in files.items()}


def pack(members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def pair_archive(language, files):
    pair = f"{language}-en"
    return pack({f"{pair}/README": b"", **{f"{pair}/{n}": c for n, c in files.items()}})


def release(path):
    """Write the release, with all pairs; returns its path."""
    archives = {x: pair_archive(x, files_of(x)) for x in LANGUAGES}
    members = {f"2014-01/texts/{x}/en/{x}-en.tgz": archives[x] for x in LANGUAGES}
    path.write_bytes(pack(members))
    return path
