"""One Chromium for all, one page a module for what is pure, one page a test for what is not."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.web.browser import open_chromium, open_modules
from tests.web.peer import Peer


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    yield context
    context.close()


@pytest.fixture(scope="module")
def modules(context: BrowserContext) -> Page:
    """A page in which the page's pure modules can be imported."""
    return open_modules(context)


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of its own that stands still until the test passes time."""
    page = open_modules(context)
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    yield page
    page.close()


@pytest.fixture
def peer(page: Page) -> Peer:
    """What the WebSockets of `page` are connected to instead of a server."""
    return Peer(page)
