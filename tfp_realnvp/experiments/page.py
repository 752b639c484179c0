"""Pages of HTML that need no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfp_realnvp.files import replacing

__all__ = ["paragraph", "picture", "table", "write"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
figure { margin: 1rem 0; break-inside: avoid } figcaption { color: #555; font-size: .9rem }
img { max-width: 100%; display: block } img.pixels { width: 100%; image-rendering: pixelated }
div.table { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; white-space: nowrap }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } tr.chosen td { font-weight: 600 } small { color: #555 }
@media print { body { max-width: none; margin: 0 } h2 { break-after: avoid } }
"""


def write(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page.

    Args:
      path: of the file, which is replaced.
      title: of the page; it is its first headline, too.
      parts: HTML, what `paragraph`, `picture` and `table` return among it.
    """
    title = html.escape(title)
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>\n<h1>{title}</h1>\n{chr(10).join(parts)}\n</body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(text)


def paragraph(text: str, tag: str = "p") -> str:
    """Text in a tag."""
    return f"<{tag}>{html.escape(text)}</{tag}>"


def picture(path: Path, caption: str, *, crisp: bool = True) -> str:
    """A PNG file, whole, with its caption; `crisp` shows the pixels of small images as squares."""
    content = base64.b64encode(path.read_bytes()).decode()
    kind = ' class="pixels"' if crisp else ""
    return (
        f'<figure><img{kind} alt="{html.escape(caption)}" src="data:image/png;base64,{content}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def table(columns: Iterable[Any], rows: Iterable[Iterable[Any]], chosen: int | None = None) -> str:
    """A table; the row number `chosen` is bold."""

    def line(values, tag):
        return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)

    body = "\n".join(
        f"<tr{' class=chosen' if number == chosen else ''}>{line(row, 'td')}</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="table"><table><tr>{line(columns, "th")}</tr>\n{body}</table></div>'
