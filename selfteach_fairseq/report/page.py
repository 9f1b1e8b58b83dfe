"""One HTML page that needs no other file: page.html, filled in. All that is passed in is escaped.

Its Content-Security-Policy keeps browsers from running scripts and from fetching anything.
"""

from base64 import b64encode
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATE = Path(__file__).with_name("page.html")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


class Picture(NamedTuple):
    """A picture as a part of the page: its data as a URL, its text for screen readers."""

    source: str
    alt: str
    caption: str


def picture(path: Path | str, alt: str, caption: str) -> Picture:
    """Read a picture from a file, .svg or .png.

    In an <img>, an SVG runs no scripts and fetches nothing either.

    Raises: OSError if it can't be read.
    """
    path = Path(path)
    data = b64encode(path.read_bytes()).decode()
    return Picture(f"data:{_TYPES[path.suffix]};base64,{data}", alt, caption)


def render(**content: Any) -> str:
    """The page as text.

    Args:
        content: the variables of page.html; its tables are lists of rows that map columns to text
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE.name).render(policy=POLICY, **content)
