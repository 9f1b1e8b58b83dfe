"""One HTML page that needs no other file: tables, pictures, text. Everything is escaped.

It asks browsers to run nothing and fetch nothing (its Content-Security-Policy).
"""

from base64 import b64encode
from html import escape
from pathlib import Path

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_STYLE = """
:root { color-scheme: light; }
body {
  max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem;
  font: 1rem/1.5 system-ui, "Liberation Sans", "DejaVu Sans", sans-serif;
  color: #1a1a1a; background: #fff;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ccc; }
.lead { color: #555; margin: .3rem 0 1.6rem; }
.pictures { display: grid; gap: 1.2rem; }
figure { margin: 0; break-inside: avoid; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.two img { width: 100%; }
figcaption { font-size: .875rem; color: #555; margin-top: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td {
  padding: .3rem 1.2rem .3rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums;
}
thead th { border-bottom: 2px solid #888; }
th:first-child { text-align: left; }
tbody th { font-weight: normal; }
.facts th { color: #555; vertical-align: top; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
@media print {
  @page { margin: 15mm; }
  :root { font-size: 10pt; }
  body { max-width: none; padding: 0; }
  .two { grid-template-columns: 1fr 1fr; }
  .wide { overflow: visible; }
  th, td { padding-right: .8rem; white-space: normal; }
  h2 { break-after: avoid; }
}
"""


def document(title, lead, *parts):
    """A whole page.

    Args:
        title, lead: text; the lead says below the title what it is about
        parts: HTML, of the functions below
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
</header>
<main>
{"".join(parts)}</main>
</body>
</html>
"""


def heading(text):
    return f"<h2>{escape(text)}</h2>\n"


def table(rows, caption):
    """Rows that map columns to text, all with the same columns; the first names the row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows[0])
    body = "".join(f"<tr>{_cells(row.values())}</tr>\n" for row in rows)
    return (
        f'<figure><div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}'
        f"</tbody>\n</table></div>\n<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def facts(named):
    """What is known, by name: a table of two columns without a head."""
    body = "".join(f"<tr>{_cells(pair)}</tr>\n" for pair in named.items())
    return f'<table class="facts">\n<tbody>\n{body}</tbody>\n</table>\n'


def pictures(*figures):
    """Figures, two in a row if they are two and the screen is wide."""
    kind = "pictures two" if len(figures) > 1 else "pictures"
    return f'<div class="{kind}">\n{"".join(figures)}</div>\n'


def figure(path, alt, caption):
    """A picture from a file, .svg or .png, which becomes part of the page.

    As an <img> an SVG runs no scripts and fetches nothing either.

    Args:
        alt: what those read who don't see it

    Raises: OSError if it can't be read.
    """
    data = b64encode(Path(path).read_bytes()).decode()
    source = f"data:{_TYPES[Path(path).suffix]};base64,{data}"
    return (
        f'<figure><img src="{source}" alt="{escape(alt)}">\n'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def _cells(texts):
    first, *others = map(escape, texts)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{text}</td>" for text in others)
