"""`selfteach importance`: how much each layer matters, through training."""

import glob
import os
from pathlib import Path

from .. import pictures
from ..arguments import Commands, positive
from ..errors import one_line
from ..files import write_json
from ..importance import pictures as importance_pictures
from ..importance import run as importance_run
from ..importance.importance import ALL

_TABLE, _ZEROING = "importance.tsv", "zeroing.json"


def add(commands: Commands) -> None:
    command = commands.add_parser(
        "importance", help="how much each layer matters, through the checkpoints of a run"
    )
    command.add_argument("data", help="folder of fairseq-preprocess")
    command.add_argument(
        "--path",
        metavar="CHECKPOINT",
        nargs="+",
        required=True,
        help="files, or patterns in quotes, such as 'checkpoints/checkpoint*.pt'",
    )
    command.add_argument("--subset", default="valid", help="valid (the default), train, ...")
    command.add_argument(
        "--batches",
        metavar="N",
        type=positive,
        default=importance_run.BATCHES,
        help="sum gradients over N batches, or all if there are fewer; default: %(default)s",
    )
    command.add_argument(
        "--max-tokens",
        metavar="N",
        type=positive,
        default=importance_run.MAX_TOKENS,
        help="of a batch, padding included; default: %(default)s",
    )
    command.add_argument(
        "--sub-layers", action="store_true", help="also of attention and feed-forward apart"
    )
    command.add_argument(
        "--zeroing",
        action="store_true",
        help="compare with the loss when a layer is set to zero, at the last checkpoint",
    )
    command.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write")
    command.add_argument(
        "--force", action="store_true", help="write into a folder that is not empty"
    )
    command.set_defaults(run=_run)


def _run(args):
    output = Path(args.output)
    _check_folder(output, args.force)
    pictures.new()  # fails without matplotlib, and not only once all is computed
    found = importance_run.measure(
        _expanded(args.path),
        args.data,
        args.subset,
        args.batches,
        args.max_tokens,
        sub_layers=args.sub_layers,
        zeroing=args.zeroing,
    )
    correlations = importance_run.correlations(found.rows)
    output.mkdir(exist_ok=True)
    importance_run.write_tsv(found.rows, output / _TABLE)
    written = {_TABLE}
    if args.zeroing:
        _write_zeroing(found, correlations, output / _ZEROING)
        written.add(_ZEROING)
    for name in importance_pictures.draw(found.rows, output):
        written |= {f"{name}.png", f"{name}.svg"}
    _remove_older(output, written)
    print(_summary(found, args.subset))
    print(_table(found.rows))
    for line in correlations:
        print(_correlation(line))


def _check_folder(folder, force):
    """Raises: ValueError, before the work, if its results could not be written there."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is no folder: choose another name")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise ValueError(f"{folder}: is not empty: choose another folder, or add --force")
    writable = folder if folder.is_dir() else folder.parent
    if not writable.is_dir() or not os.access(writable, os.W_OK):
        raise ValueError(f"{folder}: can't be written: choose one in a writable folder")


def _expanded(patterns):
    paths = []
    for pattern in patterns:
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern))
        if not found:
            raise ValueError(f"--path {pattern}: no such file: name checkpoints, or a pattern")
        paths += found
    return list(dict.fromkeys(paths))


def _write_zeroing(found, correlations, path):
    last = found.rows[-1]
    content = {
        "checkpoint": last.checkpoint,
        "updates": last.updates,
        "loss": found.losses[-1],
        "unit": f"nats per {found.unit}",
        "correlations": correlations,
    }
    write_json(content, path)


def _remove_older(folder, written):
    """What an earlier run has left there, and this one has no like of."""
    pictured = {f"{name}.{kind}" for name in importance_pictures.NAMES for kind in ("png", "svg")}
    for name in {_TABLE, _ZEROING, *pictured} - written:
        (folder / name).unlink(missing_ok=True)


def _summary(found, subset):
    checkpoints = len(found.losses)
    lines = [
        f"{checkpoints} checkpoint{'s' if checkpoints > 1 else ''}, {found.sentences:,} sentences "
        f"of {subset} ({found.units:,} {found.unit}s)"
    ]
    if found.copies:
        lines.append(f"left out: {found.copies} with as many updates as another (copies)")
    if found.too_long:
        lines.append(f"left out: {found.too_long:,} sentences too long for model or --max-tokens")
    last = found.rows[-1]
    name = one_line(last.checkpoint)
    lines.append(f"{name}, {last.updates:,} updates, {found.losses[-1]:.3f} nats per {found.unit}:")
    return "\n".join(lines)


def _table(rows):
    """The last checkpoint's importance and rank, and what they were at the first."""
    first, last = rows[0].updates, rows[-1].updates
    before = {row[2:5]: row for row in rows if row.updates == first}
    head = f"{'side':8}{'layer':>6}  {'part':15}{'importance':>11}{'rank':>6}"
    if first != last:
        head += f"{f'at {first:,}':>16}{'rank':>6}{'change':>10}"
    if rows[-1].loss_change is not None:
        head += f"{'loss, zeroed':>16}"
    lines = [head]
    for row in rows:
        if row.updates != last:
            continue
        line = f"{row.side:8}{row.layer:>6}  {row.part:15}{row.importance:>11.3e}{row.rank:>6}"
        if first != last:
            old = before[row[2:5]]
            change = f"{row.importance / old.importance:.2f} x" if old.importance else "-"
            line += f"{old.importance:>16.3e}{old.rank:>6}{change:>10}"
        if row.loss_change is not None:
            line += f"{row.loss_change:>+16.4f}"
        lines.append(line)
    return "\n".join(lines)


def _correlation(line):
    side = "encoder and decoder" if line["side"] == "both" else line["side"]
    part = "layers" if line["part"] == ALL else f"{line['part']} sub-layers"
    values = [
        f"{name} {'-' if line[name] is None else format(line[name], '.2f')}"
        for name in ("pearson", "spearman")
    ]
    return f"zeroing, {side}, {line['layers']} {part}: {', '.join(values)}"
