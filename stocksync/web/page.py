"""The page at `/`: one HTML document, put together once, and a policy that lets nothing else in."""

import base64
import hashlib
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path

from stocksync.web.answers import Answer, Refusal
from stocksync.web.routes import Call

FILE = Path(__file__).parent / "page" / "page.html"

_STYLE = re.compile(r'<link rel="stylesheet" href="(\w+\.css)">')
_SCRIPT = re.compile(r'<script src="(\w+\.js)"></script>')


async def page(_: Call) -> Answer:
    """The document. Raises `Refusal`: 404, this installation has none.

    Its scripts and styles are what stands in its own `<script>` and `<style>` elements, known by
    their hashes; attributes `style=` and `onclick=` do nothing. It may ask this server, no other.
    """
    try:
        text = _text()
    except FileNotFoundError:
        raise Refusal(HTTPStatus.NOT_FOUND, "this installation has no page") from None
    return Answer(
        body=text.encode(),
        content_type="text/html",
        headers={"Content-Security-Policy": policy(text)},
    )


@cache
def _text() -> str:
    # Read once: an upgrade may replace the files under a running daemon.
    text = FILE.read_text("utf-8")
    text = _STYLE.sub(lambda found: f"<style>\n{_beside(found[1])}</style>", text)
    return _SCRIPT.sub(lambda found: f"<script>\n{_beside(found[1])}</script>", text)


def _beside(name: str) -> str:
    return FILE.with_name(name).read_text("utf-8")


def policy(text: str) -> str:
    """The Content-Security-Policy of a self-contained document."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes('script', text)}",
            f"style-src {_hashes('style', text)}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # No text becomes HTML or a script, whatever an order is called.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hashes(element: str, text: str) -> str:
    found = re.findall(rf"<{element}\b[^>]*>(.*?)</{element}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
