"""The dashboard in real Chromium against a real server of several workers."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ServeProcess
from tests.web.browser import open_chromium

PATIENCE_MS = 20_000
"""For a busy machine; every wait ends as soon as what it waits for is there."""
# Two people in one room, one of whom talks until the page is left.
_TALK = """async () => {
  const { connect } = await import("/chat.js");
  const url = new URL("ws", location.href.replace("http", "ws"));
  const [ada, bob] = ["ada", "bob"].map((clientId) => connect(url, { clientId }));
  await Promise.all([ada.join("lab"), bob.join("lab")]);
  setInterval(() => ada.send("lab", "hello"), 50);
}"""
MOVING = re.compile("[1-9]")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def board(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 360, "height": 740})
    yield page
    page.close()


def test_figures_move_under_load_and_the_end_of_the_server_is_told(
    serve_process: ServeProcess, board: Page, require_binary: Callable[[str, str], str]
) -> None:
    """Those of the whole site; nothing is complained about while the server is there, and 360 px are wide enough."""
    require_binary("redis-server", "apt install redis-server")
    server = serve_process("--workers", "2")
    complaints: list[str] = []
    board.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    board.on("pageerror", lambda error: complaints.append(error.message))
    response = board.goto(f"{server.url}/dashboard")
    assert response is not None
    assert "script-src 'self';" in response.headers["content-security-policy"]
    figure = {
        name: board.locator(f"[data-figure={name}]") for name in ("connections", "deliveries_per_s", "fanout_p99_ms")
    }
    expect(figure["connections"]).to_have_text("0", timeout=PATIENCE_MS)
    board.evaluate(_TALK)
    expect(figure["connections"]).to_have_text("2", timeout=PATIENCE_MS)
    expect(figure["deliveries_per_s"]).to_have_text(MOVING, timeout=PATIENCE_MS)
    expect(figure["fanout_p99_ms"]).to_have_text(MOVING, timeout=PATIENCE_MS)
    expect(board.locator("#status")).to_have_text("Live")
    assert board.evaluate("document.documentElement.scrollWidth") == 360
    assert complaints == []
    server.stop()
    expect(board.locator("#status")).to_contain_text("Disconnected", timeout=PATIENCE_MS)
