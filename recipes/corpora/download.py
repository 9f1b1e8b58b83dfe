"""Files from the network, whole or not at all."""

import hashlib
import http.client
import secrets
import time
import urllib.error
import urllib.request
from pathlib import Path

from text import CorpusError
from tqdm import tqdm

TIMEOUT = 60  # seconds without a byte
BLOCK = 2**18  # bytes
SAY_EVERY = 10  # seconds


def download(url: str, path: Path, way_out: str, md5: str | None = None) -> Path:
    """Return path, fetched from url unless it is there already.

    Args:
        way_out: what to do instead, a clause that ends the error's line
        md5: in hex; a file that is there but has another is fetched anew

    Raises: CorpusError if there is no network, no such file, a part of it only, or another md5;
    OSError if it can't be written.
    """
    if path.exists() and (md5 is None or md5_of(path) == md5):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"downloading {url}", flush=True)
    try:
        answer = urllib.request.urlopen(url, timeout=TIMEOUT)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as why:
        raise CorpusError(f"cannot download {url} ({why}); {way_out}") from None
    # A file of its own, for another download may be under way; open to whom the umask says.
    fresh = path.with_name(f"{path.name}{secrets.token_hex(4)}")
    with answer, open(fresh, "xb") as file:
        try:
            _copy(answer, file, url, way_out)
            if md5 is not None and (got := md5_of(fresh)) != md5:
                kept = fresh.replace(path.with_name(path.name + ".new"))
                raise CorpusError(
                    f"{url} has md5 {got}, expected {md5} (kept as {kept}); {way_out}"
                )
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    return path


def _copy(answer, file, url, way_out):
    size, done, said = int(answer.headers["Content-Length"] or 0), 0, time.monotonic()
    with tqdm(total=size or None, unit="B", unit_scale=True, disable=None) as bar:
        while block := _read(answer, url, way_out):
            file.write(block)
            done += len(block)
            bar.update(len(block))
            if bar.disable and time.monotonic() - said > SAY_EVERY:  # no terminal: in lines
                print(f"{done / 1e6:.0f} MB" + f" of {size / 1e6:.0f}" * bool(size), flush=True)
                said = time.monotonic()
    file.flush()
    if size and done != size:
        got = f"{done:,} of {size:,} bytes"
        raise CorpusError(f"{url}: broke off after {got}; run it again, or {way_out}")


def _read(answer, url, way_out):
    try:
        return answer.read(BLOCK)
    except (http.client.HTTPException, OSError) as why:
        raise CorpusError(f"{url}: the connection broke off ({why}); {way_out}") from None


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
