"""Downloads, from a server on this machine, whole or not at all."""

import gzip
import hashlib
import http.server
import re
import threading

import iwslt14
import multi30k
import pytest
from download import download
from text import CorpusError

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/absent":
            return self.send_error(404)
        content = self.server.files.get(self.path, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path == "/cut" else content)
        self.server.asked.append(self.path)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server, tmp_path):
    for _ in range(2):
        path = download(f"{server.url}/file", tmp_path / "dl" / "file", "", MD5)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["/file"]
    path.write_bytes(b"damaged")
    download(f"{server.url}/file", path, "", MD5)
    assert path.read_bytes() == CONTENT and len(server.asked) == 2


@pytest.mark.parametrize(
    ("name", "md5", "message"),
    [
        ("cut", None, r"broke off after 640,000 of 1,280,000 bytes; run it again, or set X=copy"),
        ("file", "0" * 32, rf"has md5 {MD5}, expected 0{{32}} .*; set X=copy"),
        ("absent", None, r"cannot download .*/absent \(HTTP Error 404.*\); set X=copy"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_no_file(server, tmp_path, name, md5, message):
    with pytest.raises(CorpusError, match=message):
        download(f"{server.url}/{name}", tmp_path / name, "set X=copy", md5)
    assert not (tmp_path / name).exists()


def test_no_network(tmp_path):
    # Nobody listens on this port.
    with pytest.raises(CorpusError, match=r"cannot download .* set X=copy"):
        download("http://127.0.0.1:9/file", tmp_path / "file", "set X=copy")


def test_a_page_instead_of_the_archive(server, tmp_path):
    """What Google Drive sends when a file has been asked for too often."""
    server.files["/page"] = b"<html>Quota exceeded</html>"
    with pytest.raises(CorpusError, match="something else than an archive; set IWSLT14_ARCHIVE"):
        iwslt14.fetch("fa", tmp_path, ("2014-01.tgz", f"{server.url}/page", None))
    assert not (tmp_path / "2014-01.tgz").exists()


def test_multi30k_is_known_by_its_text(server, tmp_path, monkeypatch, capsys):
    known = {}
    for name in multi30k.SHA256:
        text = f"a sentence of {name}\nano\u0308ther\n".encode()
        server.files[f"/{name}"] = gzip.compress(text)
        known[name] = hashlib.sha256(text).hexdigest()
    monkeypatch.setattr(multi30k, "URL", f"{server.url}/")
    monkeypatch.delenv("MULTI30K_DIR", raising=False)
    folder, out = tmp_path / "dl", tmp_path / "out"
    arguments = ["de", "en", "--download-dir", str(folder), "--out", str(out)]
    assert multi30k.main(arguments, known) == 0
    assert (out / "valid.de").read_text() == "a sentence of val.de.gz\nan\u00f6ther\n"
    assert multi30k.main([*arguments, "--pairs", "1"], known) == 0
    lengths = {path.name: len(path.read_text().splitlines()) for path in out.glob("*.en")}
    assert lengths == {"train.en": 1, "valid.en": 2, "test.en": 2}
    assert multi30k.main([*arguments, "--pairs", "1", "--more-test", "1"], known) == 0
    assert (out / "test1.en").read_text() == "an\u00f6ther\n"
    assert multi30k.main([*arguments, "--more-test", "1"], known) == 1
    assert "the first 2 are for training: lower --pairs" in capsys.readouterr().err

    assert multi30k.main([*arguments, "--dir", str(folder)]) == 1
    error = capsys.readouterr().err
    assert re.search(r"train.de.gz: is not the text of the release \(\w+\): remove it", error)


def test_two_downloads_of_one_file_do_not_mix(server, tmp_path):
    path = tmp_path / "dl" / "file"
    threads = [
        threading.Thread(target=download, args=(f"{server.url}/file", path, "", MD5))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT and list(path.parent.iterdir()) == [path]
