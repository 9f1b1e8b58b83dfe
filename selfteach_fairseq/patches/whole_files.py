"""fairseq's checkpoints are on the disk whole, or not at all."""

import os
import shutil
from pathlib import Path

from fairseq.file_io import PathManager


def rename_synced(source: Path | str, target: Path | str) -> None:
    """PathManager.rename, after the file's content has reached the disk.

    fairseq renames what may still be in the system's memory alone: after a power cut the new name
    can stand for an empty file.
    """
    _sync(source)
    os.replace(source, target)


def copy_whole(src_path: Path | str, dst_path: Path | str, overwrite: bool = False) -> bool:
    """PathManager.copy, except that a local file is there whole or not at all.

    fairseq copies checkpoint_last.pt in place, which a crash leaves torn.
    """
    if PathManager.path_requires_pathmanager(dst_path):
        return _copy(src_path, dst_path, overwrite=overwrite)
    partial = f"{dst_path}.tmp"
    try:
        shutil.copyfile(src_path, partial)
        rename_synced(partial, dst_path)
    except OSError:  # such as of a full disk, which the part would fill
        Path(partial).unlink(missing_ok=True)
        raise
    return True


def _sync(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


_copy = PathManager.copy


def apply() -> None:
    PathManager.copy = staticmethod(copy_whole)
    PathManager.rename = staticmethod(rename_synced)
