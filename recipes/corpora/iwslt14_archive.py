"""Read one language pair's files out of an IWSLT14 archive, without unpacking it to disk."""

import gzip
import io
import os
import re
import tarfile
import zlib

from text import CorpusError

MAX_RATIO = 20  # of unpacked to packed bytes; the release's text has 4
LEAST_LIMIT = 2**22  # bytes that may always be unpacked
BLOCK = 2**18
TESTS = ("dev2010", "TEDX.dev2012", "tst2010", "tst2011", "tst2012")  # in the order of fairseq


def read(path, language):
    """The files of a pair by name, as bytes, out of WIT3's 2014-01.tgz or of a pair's own tgz.

    Raises: CorpusError if the archive is broken or lacks the pair or one of its files.
    """
    pair = f"{language}-en"
    wanted = _names(language)
    try:
        with open(path, "rb") as packed:
            files = _members(packed, os.fstat(packed.fileno()).st_size, wanted | {f"{pair}.tgz"})
        inner = files.pop(f"{pair}.tgz", None)
        if inner is not None:
            files = _members(io.BytesIO(inner), len(inner), wanted)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}: remove it, and it is fetched again") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise CorpusError(
            f"{path}: is no intact archive ({error}): remove it, and it is fetched again"
        ) from None
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


class _Unpacked:
    """A gzip stream that ends in an error where it has more bytes than such an archive has."""

    def __init__(self, packed, size):
        self.stream = gzip.GzipFile(fileobj=packed)
        self.most = self.left = max(LEAST_LIMIT, MAX_RATIO * size)

    def read(self, size):
        block = self.stream.read(min(size, self.left + 1))
        self.left -= len(block)
        if self.left < 0:
            raise CorpusError(f"unpacks to over {self.most:,} bytes, too many to be the corpus")
        return block


def _members(packed, size, wanted):
    """The wanted regular files, whatever folder they are in; nothing is written to disk."""
    files = {}
    unpacked = _Unpacked(packed, size)
    with tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for member in archive:
            name = re.sub(r".*/", "", member.name, flags=re.S)
            if name not in wanted or not member.isfile() or member.issparse():
                continue
            content = archive.extractfile(member).read()
            if files.setdefault(name, content) != content:
                raise CorpusError(f"has two {name} that differ")
    while unpacked.read(BLOCK):  # the checksum is at the end
        pass
    return files
