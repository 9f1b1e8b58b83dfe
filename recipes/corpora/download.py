"""Files from the network, whole or not at all."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from text import CorpusError
from tqdm import tqdm

TIMEOUT = 60  # seconds without a byte
BLOCK = 2**18  # bytes


def download(url: str, path: Path, way_out: str, md5: str | None = None) -> Path:
    """Return path, fetched from url unless it is there already.

    Args:
        way_out: what to do instead, a clause that ends the error's line
        md5: in hex; a file that is there but has another is fetched anew

    Raises: CorpusError if there is no network, no such file, a part of it only, or another md5;
    OSError if it can't be written.
    """
    if path.exists() and (md5 is None or _md5(path) == md5):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    print(f"downloading {url}", flush=True)
    try:
        answer = urllib.request.urlopen(url, timeout=TIMEOUT)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as why:
        raise CorpusError(f"cannot download {url} ({why}); {way_out}") from None
    with answer, fresh.open("wb") as file:
        size = int(answer.headers["Content-Length"] or 0)
        with tqdm(total=size or None, unit="B", unit_scale=True, disable=None) as bar:
            while block := _read(answer, url, way_out):
                file.write(block)
                bar.update(len(block))
    if size and fresh.stat().st_size != size:
        got = f"{fresh.stat().st_size:,} of {size:,} bytes"
        raise CorpusError(f"{url}: broke off after {got}; run it again, or {way_out}")
    if md5 is not None and (got := _md5(fresh)) != md5:
        raise CorpusError(f"{url} has md5 {got}, expected {md5} (kept as {fresh}); {way_out}")
    fresh.replace(path)
    return path


def _read(answer, url, way_out):
    try:
        return answer.read(BLOCK)
    except (http.client.HTTPException, OSError) as why:
        raise CorpusError(f"{url}: the connection broke off ({why}); {way_out}") from None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
