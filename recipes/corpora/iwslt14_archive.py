"""Read one language pair's files out of an IWSLT14 archive, without unpacking it to disk."""

import io
import re
import tarfile
import zlib

from text import CorpusError

MAX_BYTES = 2**28  # of one member, unpacked; the release's largest has 25 MB
TESTS = ("dev2010", "TEDX.dev2012", "tst2010", "tst2011", "tst2012")  # in the order of fairseq


def read(path, language):
    """The files of a pair by name, as bytes, out of WIT3's 2014-01.tgz or of a pair's own tgz.

    Raises: CorpusError if the archive is broken or lacks the pair or one of its files.
    """
    pair = f"{language}-en"
    wanted = _names(language)
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = _members(archive, wanted | {f"{pair}.tgz"})
            inner = files.pop(f"{pair}.tgz", None)
            if inner is not None:
                with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as nested:
                    files = _members(nested, wanted)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise CorpusError(f"{path}: is no intact archive ({error}): fetch it again") from None
    missing = sorted(wanted - files.keys() - _optional(language))
    if len(missing) == len(wanted - _optional(language)):
        raise CorpusError(f"{path}: has no pair {pair}: name WIT3's 2014-01.tgz or the pair's own")
    if missing:
        raise CorpusError(f"{path}: lacks {', '.join(missing)}: fetch it again")
    return files


def training_names(language):
    return tuple(f"train.tags.{language}-en.{side}" for side in (language, "en"))


def test_names(language, test):
    """The two files of a test set; TEDX is there for German only."""
    event = test if test.startswith("TEDX") else f"TED.{test}"
    return tuple(f"IWSLT14.{event}.{language}-en.{side}.xml" for side in (language, "en"))


def _names(language):
    names = set(training_names(language))
    return names.union(*(test_names(language, test) for test in TESTS))


def _optional(language):
    return set() if language == "de" else set(test_names(language, "TEDX.dev2012"))


def _members(archive, wanted):
    """The wanted regular files, whatever folder they are in; nothing is written to disk."""
    files = {}
    for member in archive:
        name = re.sub(r".*/", "", member.name)
        if member.isfile() and name in wanted:
            if member.size > MAX_BYTES:
                raise CorpusError(
                    f"{member.name}: {member.size:,} bytes, too many to be the corpus"
                )
            files[name] = archive.extractfile(member).read()
    return files
