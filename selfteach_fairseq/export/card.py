"""The model card of an exported model: card.md, filled in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..checkpoints.checkpoint import Checkpoint
from ..errors import one_line

TEMPLATE = Path(__file__).with_name("card.md")
_SCORES = {  # what the card calls the fields of a record
    "ROUGE-L": "rougeL",
    "ROUGE-L, signature": "rougeL_signature",
    "BLEU": "bleu",
    "BLEU, signature": "bleu_signature",
    "chrF": "chrf",
    "chrF, signature": "chrf_signature",
    "text": "corpus",
    "part of it": "subset",
    "sentences": "sentences",
    "sentences a second": "sentences_per_second",
    "measured with": "engine",
    "numbers": "compute_type",
    "beam": "beam",
    "length penalty": "lenpen",
    "sentences per batch": "batch_size",
    "hardware": "hardware",
}


def render(checkpoint: Checkpoint, record: Mapping[str, Any] | None, **content: Any) -> str:
    """The card as Markdown.

    Args:
        checkpoint: the model's
        record: of `selfteach score`, if there is one
        content: the other variables of card.md
    """
    environment = Environment(  # Markdown is no HTML: nothing is escaped, cells are made safe
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    scores = {name: record[key] for name, key in _SCORES.items() if key in record} if record else {}
    template = environment.get_template(TEMPLATE.name)
    return template.render(
        parameters=f"{checkpoint.parameters:,}",
        scores={name: _cell(value) for name, value in scores.items()},
        training={name: _cell(value) for name, value in _training(checkpoint, record or {})},
        **content,
    )


def _training(checkpoint, record):
    """(name, value) of what is known of how the model was made."""
    yield "updates", checkpoint.updates
    seconds = record.get("training_seconds", checkpoint.training_seconds)
    if seconds:
        yield "time", f"{seconds / 60:.0f} minutes"
    if "system" in record:
        yield "system", record["system"]
    for name in ("seed", "corpus"):
        if name in record:
            yield name, record[name]
    yield from record.get("versions", {}).items()


def _cell(value):
    return one_line(value).replace("|", "\\|")
