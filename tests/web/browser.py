"""A real Chromium, driven by Playwright, and the page's own files without any server.

Chromium is the system's, never a downloaded one. Playwright's sync interface runs an asyncio loop of its own in
this thread: whoever opens Chromium closes it before tests that are not about the page.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from scalechat.server.assets import load_assets

SITE = "http://chat.test"  # Never resolved: every request to it is answered from the package's files.
_FLAGS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start the system's Chromium; without one the test is skipped, in CI it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        message = "needs Chromium (apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def open_modules(context: BrowserContext) -> Page:
    """A page with nothing on it but the logo, from which `import("/backoff.js")` and its like work."""
    assets = load_assets()

    def answer(route: Route) -> None:
        asset = assets[route.request.url.removeprefix(f"{SITE}/")]
        route.fulfill(body=asset.body, content_type=asset.content_type)

    page = context.new_page()
    page.route(f"{SITE}/**", answer)
    page.goto(f"{SITE}/icon.svg")
    return page
