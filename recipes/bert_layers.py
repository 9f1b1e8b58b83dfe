"""Print how many layers a BERT has, and how many positions: recipes/bert_layers.py FOLDER_OR_ZIP

Settings are read again and again, so it imports nothing that takes long.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

CONFIG = "config.json"


def config(path: Path) -> bytes | None:
    """What config.json has, of a folder, or of a zip or one within it; None without."""
    if path.is_dir():
        return (path / CONFIG).read_bytes() if (path / CONFIG).is_file() else None
    return packed(path)


def packed(file: Path | io.BytesIO, depth: int = 2) -> bytes | None:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.split("/")[-1] == CONFIG and b"num_hidden_layers" in archive.read(name):
                return archive.read(name)
            if not name.endswith(".zip") or depth == 1:
                continue
            if found := packed(io.BytesIO(archive.read(name)), depth - 1):
                return found
    return None


if __name__ == "__main__":
    try:
        found = json.loads(config(Path(sys.argv[1])) or b"{}")
        print(int(found["num_hidden_layers"]), int(found.get("max_position_embeddings", 512)))
    except Exception:  # whatever a damaged zip breaks; import-bert says what
        raise SystemExit(
            f"bert_layers.py: error: {sys.argv[1]}: no config.json of a BERT"
        ) from None
