"""The dashboard's page against a server of which the test says what it tells."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from scalechat.server.assets import load_assets
from tests.web.browser import SITE

FIGURES = {
    "connections": 1200,
    "publications_per_s": 12.5,
    "deliveries_per_s": 15000.0,
    "fanout_p50_ms": 1.25,
    "fanout_p99_ms": 40.0,
    "queue_bytes": 2_500_000,
    "queue_age_s": 1.5,
    "loop_lag_ms": 3.0,
    "cpu_ratio": 0.42,
    "rss_bytes": 81_000_000,
}
SHOWN = ["1,200", "15,000", "12.5", "1.25 ms", "40 ms", "2.5 MB", "1.5 s", "3 ms", "42 %", "81 MB"]
KEY = "the key"


class Server:
    """Tells the seconds `seconds` with the same figures; `locked` keeps them to who has the key."""

    def __init__(self) -> None:
        self.seconds = list(range(1000, 1030))
        self.locked = self.away = False
        self.client_id = "<b>ada</b>"

    def answer(self, route: Route) -> None:
        if self.away:
            return route.abort()
        named = route.request.headers.get("authorization") == f"Bearer {KEY}"
        if self.locked and not named:
            return route.fulfill(status=403, json={"code": "forbidden", "detail": "locked"})
        asked = parse_qs(urlsplit(route.request.url).query)
        fresh = [second for second in self.seconds if second > int(asked["since"][0])]
        columns = {"unix_s": fresh} | {name: [value] * len(fresh) for name, value in FIGURES.items()}
        who = {"session": "s", "clientId": self.client_id, "address": "203.0.113.9"} if named else None
        slow = {"queue_frames": 12, "queue_bytes": 34_000, "queue_age_s": 0.8, "who": who}
        return route.fulfill(json={"columns": columns, "named": named, "slowest": [slow]})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def board(context: BrowserContext, server: Server) -> Iterator[Page]:
    """The page; its clock stands still until the test passes time."""
    page = context.new_page()
    assets = load_assets()

    def asset(route: Route) -> None:
        found = assets[urlsplit(route.request.url).path.removeprefix("/")]
        route.fulfill(body=found.body, content_type=found.content_type)

    page.route(f"{SITE}/**", asset)
    page.route(f"{SITE}/stats/recent**", server.answer)
    page.clock.install(time=1_030_000)
    page.clock.pause_at(1_040_000)
    yield page
    page.close()


def open_board(page: Page) -> None:
    page.goto(f"{SITE}/dashboard.html")


def test_every_figure_is_shown_with_its_unit_and_only_what_is_new_is_asked_for(board: Page) -> None:
    """Nine cards, each with a curve; the second question begins where the first answer ended."""
    open_board(board)
    expect(board.locator("[data-figure]")).to_have_text(SHOWN)
    expect(board.locator(".figure canvas")).to_have_count(9)
    expect(board.locator("#status")).to_have_text("Live")
    with board.expect_request("**/stats/recent?since=1029&*"):
        board.clock.run_for(2_000)


def test_names_of_slow_clients_are_shown_to_whoever_has_the_key(board: Page) -> None:
    """Without it the queues alone; with it the names, as text whatever they hold; a wrong one is told."""
    open_board(board)
    row = board.locator(".slowest tbody td")
    expect(row).to_have_text(["hidden", "", "34 kB", "12", "0.8 s"])
    board.locator("#show-names").click()
    board.locator("#key").fill("another key")
    board.keyboard.press("Enter")
    expect(board.locator("#unlock-error")).to_contain_text("not this server's API key")
    board.locator("#key").fill(KEY)
    board.keyboard.press("Enter")
    expect(row).to_have_text(["<b>ada</b>", "203.0.113.9", "34 kB", "12", "0.8 s"])
    expect(board.locator("#unlock")).to_be_hidden()


def test_names_fit_a_phone(board: Page, server: Server) -> None:
    """A long name pushes nothing out of the page and no column into another; the keyboard reaches the table."""
    board.set_viewport_size({"width": 360, "height": 740})
    server.client_id = "load-15bfef33-c264-" * 3
    open_board(board)
    board.locator("#show-names").click()
    board.locator("#key").fill(KEY)
    board.keyboard.press("Enter")
    expect(board.locator(".slowest tbody td").first).to_have_text(server.client_id)
    assert board.evaluate("document.documentElement.scrollWidth") == 360
    gaps = board.evaluate(
        """() => {
          const range = document.createRange();
          const boxes = [...document.querySelectorAll(".slowest th")].map((cell) => {
            range.selectNodeContents(cell);
            return range.getBoundingClientRect();
          });
          return boxes.slice(1).map((box, index) => box.left - boxes[index].right);
        }"""
    )
    assert min(gaps) >= 6, gaps
    board.get_by_role("button", name="oldest").focus()
    board.keyboard.press("Shift+Tab")
    board.keyboard.press("Shift+Tab")
    expect(board.get_by_role("group", name="Table, scrolls sideways")).to_be_focused()


def test_a_server_that_keeps_its_figures_to_itself_asks_for_the_key(board: Page, server: Server) -> None:
    """And shows them once it has it."""
    server.locked = True
    open_board(board)
    expect(board.locator("#figures")).to_be_hidden()
    board.locator("#key").fill(KEY)
    board.keyboard.press("Enter")
    expect(board.locator("[data-figure]")).to_have_text(SHOWN)


def test_the_order_of_slow_clients_can_be_chosen(board: Page) -> None:
    """By what is queued or by how long it has been."""
    open_board(board)
    expect(board.locator("#status")).to_have_text("Live")
    with board.expect_request("**/stats/recent?*sort=age"):
        board.get_by_role("button", name="oldest").click()
    expect(board.get_by_role("button", name="oldest")).to_have_attribute("aria-pressed", "true")


def test_a_server_that_is_away_is_told_and_found_again(board: Page, server: Server) -> None:
    """With the time of the last figures, which stay; the curve has a hole where nobody knows what was."""
    open_board(board)
    expect(board.locator("#status")).to_have_text("Live")
    server.away = True
    board.clock.run_for(2_000)
    expect(board.locator("#status")).to_contain_text("Disconnected, last figures of")
    expect(board.locator("[data-figure=connections]")).to_have_text("1,200")
    server.away = False
    server.seconds = list(range(1100, 1110))
    board.clock.run_for(2_000)
    expect(board.locator("#status")).to_have_text("Live")


def test_what_is_older_than_the_server_remembers_is_forgotten(modules: Page) -> None:
    """However long a page stays open; a hole is one empty second, and neighbours stay neighbours."""
    kept = modules.evaluate(
        """async () => {
          const { Lately } = await import("/lately.js");
          const lately = new Lately();
          for (let second = 1; second <= 2000; second += 1) lately.add({ unix_s: [second], connections: [second] });
          lately.add({ unix_s: [], connections: [] });
          const steady = [...lately.column("unix_s")];
          lately.add({ unix_s: [2300], connections: [1] });
          return [steady[0], steady.length, lately.column("unix_s").slice(-3), lately.column("connections").slice(-3)];
        }"""
    )
    assert kept == [1101, 900, [2000, 2001, 2300], [2000, None, 1]]
