"""RTE or CoLA as GLUE has it, for fairseq's task of classes.

    python recipes/corpora/glue.py rte GLUE --out DIR

reads GLUE/RTE/{train,dev}.tsv or GLUE/CoLA/{train,dev}.tsv. GLUE's test labels are not public: its
dev text is valid and test here, as in the paper's tables.
"""

import argparse
from pathlib import Path

from labelled import Row, check_row, write_all
from text import CorpusError, complain, read_lines, tidy_line

TASKS = {"rte": "RTE", "cola": "CoLA"}


def read_task(folder: Path, task: str, name: str) -> list[Row]:
    """Raises: CorpusError, with the line, for what is not that task's; OSError without the file."""
    path = folder / TASKS[task] / f"{name}.tsv"
    lines = read_lines(path)
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = [tidy_line(cell) for cell in line.split("\t")]
        if task == "rte" and number == 1:  # its head
            continue
        if len(cells) != 4:
            raise CorpusError(f"{path}, line {number}: {len(cells) - 1} tabs, expected three")
        row = (cells[3], cells[1], cells[2]) if task == "rte" else (cells[1], cells[3])
        check_row(row, f"{path}, line {number}")
        rows.append(row)
    return rows


@complain
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path, help="of GLUE's tasks")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    args = parser.parse_args(argv)
    train, dev = (read_task(args.folder, args.task, name) for name in ("train", "dev"))
    write_all({"train": train, "valid": dev, "test": dev}, args.out)


if __name__ == "__main__":
    raise SystemExit(main())
