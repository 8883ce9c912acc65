"""The page in real Chromium against a real server."""

import re
from collections.abc import Callable, Iterator

import jwt
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect

from tests.conftest import ServeProcess
from tests.web.browser import open_chromium
from tests.web.proxy import Proxy

# Counts what a page must never do: break its content policy, or run what somebody wrote.
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", ({ blockedURI, violatedDirective }) =>
  violations.push(`${violatedDirective} ${blockedURI}`));
"""
_HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
# Many messages quickly, by the page's own client module; the server under it has no rate limit.
_FILL = """async ({ room, count, text }) => {
  const { connect } = await import("/chat.js");
  const chat = connect(new URL("ws", location.href.replace("http", "ws")), { clientId: "filler" });
  await chat.join(room);
  for (let n = 1; n <= count; n += 1) chat.send(room, text.replace("%", n));
  await chat.send(room, "that was all");
  chat.close();
}"""

# Patience for a busy machine; every wait ends as soon as what it waits for is there.
expect.set_options(timeout=20_000)

Visit = Callable[..., "Person"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


class Person:
    """One browser profile with the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(error.message))

    def say(self, text: str) -> None:
        self.page.locator("#text").fill(text)
        self.page.keyboard.press("Enter")

    def fill_room(self, room: str, count: int, text: str = "message %") -> None:
        self.page.evaluate(_FILL, {"room": room, "count": count, "text": text})

    def hide(self, hidden: bool) -> None:
        """As when the person looks at another tab."""
        self.page.evaluate(_HIDE, hidden)

    @property
    def texts(self) -> Locator:
        return self.page.locator(".message .text")

    @property
    def banner(self) -> Locator:
        return self.page.locator("#banner")

    @property
    def is_live(self) -> Locator:
        return self.page.locator("html[data-link=open]")


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """``visit(url, "ada")`` opens the page as ada in the room `lab`; every page must end without a broken policy."""
    people: list[Person] = []

    def open_page(url: str, name: str, at: str = "#lab", viewport: ViewportSize | None = None) -> Person:
        context = chromium.new_context(viewport=viewport or {"width": 1100, "height": 700})
        context.add_init_script(_WATCH)
        context.set_default_timeout(20_000)
        person = Person(context.new_page())
        people.append(person)
        response = person.page.goto(f"{url}/?name={name}{at}")
        assert response is not None
        assert "script-src 'self';" in response.headers["content-security-policy"]
        expect(person.page.locator("#link-mark")).to_have_text("Live")
        return person

    yield open_page
    for person in people:
        violations = person.page.evaluate("window.violations")
        person.page.context.close()
        assert violations == []


def test_two_people_talk(serve_process: ServeProcess, visit: Visit) -> None:
    """Each sees what the other says, once, and their own as their own; nothing is complained about."""
    url = serve_process().url
    ada, bob = visit(url, "ada"), visit(url, "bob")
    ada.say("hello bob")
    expect(bob.texts).to_have_text(["hello bob"])
    bob.say("hello ada")
    for person in (ada, bob):
        expect(person.texts).to_have_text(["hello bob", "hello ada"])
    expect(ada.page.locator(".message.own .text")).to_have_text(["hello bob"])
    expect(ada.page.locator("#member-list .name")).to_have_text(["ada", "bob"])
    expect(bob.page.locator("#member-list .name")).to_have_text(["bob", "ada"])
    expect(ada.page.locator("#stats [data-stat=connections]")).to_have_text("2")
    assert ada.complaints == bob.complaints == []


def test_a_first_visit_asks_who_one_is_and_remembers_it(serve_process: ServeProcess, chromium: Browser) -> None:
    """Name and room are asked once; a reload and a later visit need nothing more. The keyboard is enough."""
    url = serve_process().url
    context = chromium.new_context()
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#enter-name")).to_be_focused()
    page.keyboard.type("no spaces")
    page.keyboard.press("Enter")
    expect(page.locator("#enter-error")).to_contain_text("A name has")
    page.locator("#enter-name").fill("grace")
    page.keyboard.press("Tab")
    page.keyboard.type("tea")
    page.keyboard.press("Enter")
    expect(page).to_have_title("#tea · Scale-Chat")
    page.goto(url)
    expect(page.locator("#me-name")).to_have_text("grace")
    expect(page).to_have_title("#tea · Scale-Chat")
    context.close()


def test_who_is_cut_off_comes_back_without_loss_or_duplicates(serve_process: ServeProcess, visit: Visit) -> None:
    """The loss is seen, what was said meanwhile arrives in order, what was written meanwhile is said once."""
    server = serve_process()
    with Proxy(server.port) as network:
        ada, bob = visit(network.url, "ada"), visit(server.url, "bob")
        bob.say("before")
        expect(ada.texts).to_have_text(["before"])
        network.cut()
        expect(ada.banner).to_contain_text("The connection was lost. Trying again in")
        for text in ("one", "two", "three"):
            bob.say(text)
        ada.say("written in the dark")
        expect(ada.page.locator(".message.pending")).to_contain_text("Waits for the connection")
        expect(ada.banner).to_be_visible()
        network.restore()
        expect(ada.is_live).to_be_attached()
        expect(ada.banner).to_contain_text("caught up with 3 messages, nothing missed")
        everything = ["before", "one", "two", "three", "written in the dark"]
        expect(ada.texts).to_have_text(everything)
        expect(bob.texts).to_have_text(everything)
        expect(ada.page.locator(".message.pending")).to_have_count(0)


def test_a_message_whose_acknowledgement_was_lost_is_said_once(serve_process: ServeProcess, visit: Visit) -> None:
    """The server had it, the page does not know: it repeats under the same id, and nobody sees it twice."""
    server = serve_process()
    with Proxy(server.port) as network:
        ada, bob = visit(network.url, "ada"), visit(server.url, "bob")
        network.mute()
        ada.say("did you get this?")
        expect(bob.texts).to_have_text(["did you get this?"])
        expect(ada.page.locator(".message.pending")).to_have_count(1)
        network.cut()
        expect(ada.banner).to_be_visible()
        network.restore()
        expect(ada.page.locator(".message.own.kept")).to_have_count(1)
        bob.say("yes, once")
        for person in (ada, bob):
            expect(person.texts).to_have_text(["did you get this?", "yes, once"])


def test_a_restarted_server_is_found_and_the_loss_is_told(
    serve_process: ServeProcess, visit: Visit, free_port: int
) -> None:
    """With its memory gone, the page says that something may be missing, and goes on."""
    server = serve_process("--port", str(free_port))
    ada = visit(server.url, "ada")
    ada.say("remember this")
    expect(ada.page.locator(".message.own.kept")).to_have_count(1)
    server.stop()
    expect(ada.banner).to_be_visible()
    serve_process("--port", str(free_port))
    expect(ada.is_live).to_be_attached()
    expect(ada.page.locator(".rule.gap")).to_contain_text("Some messages may be missing here")
    ada.say("and on we go")
    expect(ada.texts).to_have_text(["remember this", "and on we go"])


def test_hostile_text_stays_text(serve_process: ServeProcess, visit: Visit) -> None:
    """What somebody writes is shown as written: no element of theirs, no request, no script, no broken policy."""
    url = serve_process().url
    ada, bob = visit(url, "ada"), visit(url, "bob")
    requests: list[str] = []
    bob.page.on("request", lambda request: requests.append(request.url))
    hostile = [
        '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>',
        "<a href='javascript:window.pwned=3'>click</a> javascript:window.pwned=4",
        "`<style>*{display:none}</style>` </li></ol><h1>big</h1> &lt;b&gt; {{7*7}}",
        "\u202egnirts desrever\u202c \u2066\u0000 \u200b",
    ]
    for text in hostile:
        ada.say(text)
    expect(bob.texts).to_have_count(len(hostile))
    shown = bob.texts.evaluate_all("(elements) => elements.map(({ textContent }) => textContent)")
    assert shown[:2] == hostile[:2]
    assert shown[2] == hostile[2].replace("`", "")
    assert bob.page.locator(".messages :is(img, script, style, h1, a, iframe)").count() == 0
    assert bob.page.evaluate("window.pwned") is None
    assert all(one.startswith(url) for one in requests)
    for address in ("#<img src=x onerror=window.pwned=5>", "#@<b>", "#%E2%80%AE"):
        bob.page.evaluate("(hash) => { location.hash = hash; }", address)
        expect(bob.page.locator("#error")).to_contain_text("The address names no room")
    assert bob.page.evaluate("window.pwned") is None
    assert ada.complaints == bob.complaints == []


def test_a_link_is_a_link_and_nothing_else_is(serve_process: ServeProcess, visit: Visit) -> None:
    """Only http and https, opened apart and without a referrer; the full stop is not part of it."""
    ada = visit(serve_process().url, "ada")
    ada.say("see https://example.org/a?b=c. and ftp://example.org, data:text/html,x and `https://not.example`")
    links = ada.texts.locator("a")
    expect(links).to_have_text(["https://example.org/a?b=c"])
    expect(links).to_have_attribute("rel", "noopener noreferrer")
    expect(ada.texts.locator("code")).to_have_text(["https://not.example"])


def test_a_private_message_reaches_its_two_parties_only(serve_process: ServeProcess, visit: Visit) -> None:
    """By a click on a member or by `/msg`; a third person in the same room sees nothing of it."""
    url = serve_process().url
    ada, bob, eve = visit(url, "ada"), visit(url, "bob"), visit(url, "eve")
    ada.page.locator("#member-list").get_by_text("bob", exact=True).click()
    expect(ada.page.locator("#subtitle")).to_have_text("in #lab now")
    ada.say("between us")
    expect(ada.page.locator(".message.own.kept .text")).to_have_text(["between us"])
    badge = bob.page.locator("#people").get_by_label("1 unread")
    expect(badge).to_be_visible()
    expect(bob.page).to_have_title(re.compile(r"^\(1\) "))
    bob.page.locator("#people a").click()
    expect(bob.texts).to_have_text(["between us"])
    expect(badge).to_be_hidden()
    bob.page.goto(f"{url}/?name=bob#lab")
    bob.say("/msg ada and back")
    expect(ada.texts).to_have_text(["between us", "and back"])
    ada.page.locator("#rooms a").click()
    ada.say("to everybody")
    expect(eve.texts).to_have_text(["to everybody"])
    expect(eve.page.locator("#people-section")).to_be_hidden()
    expect(eve.page).to_have_title("#lab · Scale-Chat")


def test_what_came_while_one_was_away_is_counted_and_marked(serve_process: ServeProcess, visit: Visit) -> None:
    """The title counts it, a divider stands above it, and looking at it settles it."""
    url = serve_process().url
    ada, bob = visit(url, "ada"), visit(url, "bob")
    bob.say("seen")
    expect(ada.texts).to_have_text(["seen"])
    ada.hide(True)
    bob.say("not seen yet")
    bob.say("nor this")
    expect(ada.page).to_have_title("(2) #lab · Scale-Chat")
    ada.hide(False)
    expect(ada.page.locator("#messages > :is(.message, .rule.new)")).to_have_text(
        [re.compile("seen$"), "New", re.compile("not seen yet$"), re.compile("nor this$")]
    )
    expect(ada.page).to_have_title("#lab · Scale-Chat")


def test_another_rooms_messages_are_counted_beside_its_name(serve_process: ServeProcess, visit: Visit) -> None:
    """One hears all one's rooms and reads one at a time."""
    url = serve_process().url
    ada, bob = visit(url, "ada"), visit(url, "bob", "#tea")
    ada.say("/join tea")
    expect(ada.page).to_have_title("#tea · Scale-Chat")
    ada.page.locator("#rooms").get_by_text("lab").click()
    expect(ada.page).to_have_title("#lab · Scale-Chat")
    bob.say("tea is ready")
    expect(ada.page.locator("#rooms li", has_text="tea").locator(".badge")).to_have_text("1")
    ada.page.go_back()
    expect(ada.texts).to_have_text(["tea is ready"])
    expect(ada.page).to_have_title("#tea · Scale-Chat")


def test_scrolling_back_brings_history_and_the_page_stays_small(serve_process: ServeProcess, visit: Visit) -> None:
    """From the newest to the first message and back; never more than 500 messages are in the page."""
    url = serve_process("--history", "1000", "--message-rate", "0").url
    filler = visit(url, "setup", "#other")
    filler.fill_room("lab", 700)
    ada = visit(url, "ada")
    expect(ada.texts.last).to_have_text("that was all")
    scroller, rows = ada.page.locator("#scroller"), ada.page.locator(".message")
    assert rows.count() < 200

    def scroll_until(found: Locator, to: str) -> None:
        for _ in range(600):
            if found.is_visible():
                return
            scroller.evaluate(f"(element) => {{ element.scrollTop = {to}; }}")
            ada.page.evaluate("() => new Promise(requestAnimationFrame)")
        pytest.fail("scrolling did not get there")

    first, last = ada.texts.get_by_text("message 1", exact=True), ada.texts.get_by_text("that was all")
    scroll_until(first, "0")
    expect(ada.page.locator(".top")).to_contain_text("This is the beginning")
    assert rows.count() <= 500
    expect(last).to_have_count(0)
    filler.fill_room("lab", 1, "news")
    expect(ada.page.locator("#jump")).to_have_text("2 new")
    scroll_until(ada.texts.get_by_text("news"), "element.scrollHeight")
    assert rows.count() <= 500
    numbers = [int(text) for text in ada.texts.all_inner_texts() if text.isdecimal()]
    assert numbers == sorted(set(numbers))


def test_a_narrow_screen_never_scrolls_sideways(serve_process: ServeProcess, visit: Visit) -> None:
    """Long names, words without end, 64 KiB, code and both drawers fit; the drawers open and close."""
    url = serve_process("--message-rate", "0").url
    long_name = "n" * 64
    visit(url, long_name)
    ada = visit(url, "a" * 64, viewport={"width": 360, "height": 640})
    endless = ("W" * 300, f"`{'c' * 300}`", f"https://example.org/{'p' * 300}")
    for text in (*endless, "x" * 60_000, "many\n" * 100, "שלום " * 90):
        ada.say(text)
    expect(ada.page.locator(".message.own.kept")).to_have_count(6)

    def overflow() -> list[str]:
        wide: list[str] = ada.page.evaluate(
            """() => [document.scrollingElement, ...document.querySelectorAll("#scroller, #sidebar, #members, .head")]
              .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
              .map(({ id, className }) => id || className || "page")"""
        )
        return wide

    assert overflow() == []
    ada.page.get_by_role("button", name="Show all 60,000 characters").click()
    assert overflow() == []
    ada.page.set_viewport_size({"width": 320, "height": 568})
    assert overflow() == []
    for button, panel in (("#show-sidebar", "#sidebar"), ("#show-members", "#members")):
        ada.page.locator(button).click()
        expect(ada.page.locator(panel)).to_be_in_viewport()
        assert overflow() == []
        ada.page.keyboard.press("Escape")
        expect(ada.page.locator(panel)).to_be_hidden()
        expect(ada.page.locator(button)).to_be_focused()
    assert ada.complaints == []


def test_the_keyboard_is_enough(serve_process: ServeProcess, visit: Visit) -> None:
    """Write with line breaks, scroll, find a member by Tab, write privately, come back by Escape."""
    url = serve_process().url
    visit(url, "bob")
    ada = visit(url, "ada")
    page = ada.page
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("two")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("lines")
    page.keyboard.press("Enter")
    expect(ada.texts).to_have_text(["two\nlines"])
    expect(page.locator("#text")).to_have_value("")
    focused = page.locator(":focus")
    for _ in range(10):
        page.keyboard.press("Tab")
        if "person" in (focused.get_attribute("class") or ""):
            break
    expect(focused).to_contain_text("bob")
    page.keyboard.press("Enter")
    expect(page).to_have_title("bob · Scale-Chat")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("psst")
    page.keyboard.press("Enter")
    expect(page.locator(".message.own.kept .text")).to_have_text(["psst"])


def test_what_the_server_would_refuse_is_said_in_one_line(serve_process: ServeProcess, visit: Visit) -> None:
    """A text that is too long stays in the box; a command that cannot be meant is explained. Escape clears it."""
    ada = visit(serve_process("--max-message-size", "2000").url, "ada")
    error = ada.page.locator("#error")
    ada.say("x" * 3000)
    expect(error).to_contain_text("Too long")
    expect(ada.page.locator("#text")).to_have_value("x" * 3000)
    expect(ada.page.locator("#size")).to_have_text("3.0 of 2 KiB")
    ada.page.keyboard.press("Escape")
    expect(error).to_be_hidden()
    ada.say("/fly away")
    expect(error).to_contain_text("There is no /fly")
    ada.say("/msg ada hello me")
    expect(error).to_have_text("That is you.")
    assert ada.texts.count() == 0


def test_a_server_that_wants_a_token_says_so_and_takes_it(serve_process: ServeProcess, chromium: Browser) -> None:
    """The page finds out that it is refused, not cut off; the token brings its name and stays out of the address."""
    secret = "no secret at all, but long enough to be one"
    url = serve_process(env={"SCALECHAT_TOKEN_SECRET": secret}).url
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{url}/?name=ada#lab")
    expect(page.locator("#banner")).to_contain_text("It may want an access token")
    page.get_by_role("button", name="Change name or token").click()
    page.get_by_text("I have an access token").click()
    token = jwt.encode({"sub": "grace", "exp": 2**31}, secret, algorithm="HS256")
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#link-mark")).to_have_text("Live")
    expect(page.locator("#me-name")).to_have_text("grace")
    assert token not in page.url
    context.close()


def test_numbers_that_are_not_public_are_not_shown(serve_process: ServeProcess, chromium: Browser) -> None:
    """Where `/stats` is refused, its line is not there and is not asked for again."""
    url = serve_process().url
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=403)

    page.route("**/stats", refuse)
    page.clock.install()
    page.goto(f"{url}/?name=ada#lab")
    expect(page.locator("#link-mark")).to_have_text("Live")
    page.clock.run_for(30_000)
    expect(page.locator("#stats")).to_be_hidden()
    assert len(asked) == 1
    context.close()
