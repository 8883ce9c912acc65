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
def modules(chromium: Browser) -> Iterator[Page]:
    """A page in which the page's pure modules can be imported."""
    context = chromium.new_context()
    yield open_modules(context)
    context.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser's profile of its own, in virtual time."""
    context = chromium.new_context()
    context.clock.install(time=0)
    context.clock.pause_at(1000)
    yield context
    context.close()


@pytest.fixture
def peer(context: BrowserContext) -> Peer:
    """What the WebSockets of `page` are connected to instead of a server."""
    return Peer(context)


@pytest.fixture
def page(context: BrowserContext, peer: Peer) -> Page:
    """A page that stands still until the test passes time."""
    return open_modules(context)
