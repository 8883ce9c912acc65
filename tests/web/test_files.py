"""The page's files as they are shipped."""

import re

import pytest

from scalechat.server.assets import load_assets

_IMPORT = re.compile(r'^import .* from "\./([\w-]+\.js)";$', re.MULTILINE)
_PRELOAD = re.compile(r'<link rel="modulepreload" href="([^"]+)">')
# Ways from a string to markup or to code, and markup that the content policy would refuse.
_FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function"
    r"|setAttribute\(\"style\"|<style|<script(?![^>]* src=)| style=| on\w+=\"|https?://(?!www\.w3\.org)"
)


def text_of(name: str) -> str:
    return load_assets()[name].body.decode()


def imports_of(name: str) -> set[str]:
    """Every module that `name` needs, and what those need."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        new = set(_IMPORT.findall(text_of(waiting.pop()))) - found
        found |= new
        waiting |= new
    return found


@pytest.mark.parametrize("page, module", [("index.html", "page.js"), ("dashboard.html", "dashboard.js")])
def test_the_head_announces_exactly_the_modules_that_the_page_imports(page: str, module: str) -> None:
    """All come in one round trip; none that is not needed."""
    assert sorted(_PRELOAD.findall(text_of(page))) == sorted(imports_of(module))


def test_the_client_module_needs_nothing_of_the_page() -> None:
    """`chat.js` can be taken elsewhere with the few modules under it."""
    assert imports_of("chat.js") == {"backoff.js", "link.js", "outbox.js", "resume.js"}


def test_no_file_of_the_page_makes_markup_from_text_or_asks_others() -> None:
    """No innerHTML and its kin, no inline script or style, no other site."""
    page = {"index.html", "style.css", "page.js", *imports_of("page.js")}
    page |= {"dashboard.html", "dashboard.css", "dashboard.js", *imports_of("dashboard.js")}
    found = {name: _FORBIDDEN.findall(text_of(name)) for name in sorted(page)}
    assert {name: hits for name, hits in found.items() if hits} == {}
