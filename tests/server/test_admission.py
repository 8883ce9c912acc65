from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.server.admission import (
    REFUSALS,
    RETRY_AFTER_MS,
    AcceptAndClose,
    Admission,
    Admit,
    Decision,
    Handshake,
    Refuse,
    TokenBucket,
    is_loopback,
)
from scalechat.wire import closing
from scalechat.wire.messages import Position
from scalechat.wire.session import Dialect
from tests.wire import strategies

SECRET = "a secret of thirty-two characters"
OTHER_SECRET = "another secret of some characters"
V1 = ("scalechat.v1",)
FAR_FUTURE = 4_000_000_000
"""Unix seconds, year 2096."""


def _admission(
    *,
    max_connections: int = 0,
    per_address: int = 0,
    origins: tuple[str, ...] = (),
    token_secret: str | None = None,
) -> Admission:
    return Admission(
        max_connections=max_connections,
        max_connections_per_address=per_address,
        origins=origins,
        token_secret=token_secret,
        max_history=200,
    )


def _decide(
    admission: Admission | None = None,
    query: Mapping[str, str] | str = "",
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: tuple[str, ...] = V1,
    address: str = "192.0.2.1",
) -> Decision:
    text = query if isinstance(query, str) else urlencode(query)
    return (admission or _admission()).decide(Handshake(f"/ws?{text}", headers or {}, subprotocols, address))


def _admitted(decision: Decision) -> Admit:
    assert isinstance(decision, Admit)
    return decision


def _refused(decision: Decision) -> tuple[str, int]:
    assert isinstance(decision, Refuse)
    assert decision.reason in REFUSALS
    assert decision.detail
    return decision.reason, decision.status.value


def _token(secret: str = SECRET, **claims: object) -> str:
    return jwt.encode(claims, secret, algorithm="HS256")


# --- what is asked --------------------------------------------------------------------------------------------------


def test_a_bare_handshake_is_the_global_room_of_somebody_unknown() -> None:
    """Everything has a default."""
    assert _decide() == Admit(Dialect.V1, None, "global", None, 0, False, None, None)


def test_everything_in_the_url_is_understood() -> None:
    """Name, room, where to resume, how much history, whether to be told who comes and goes."""
    query = {
        "clientId": "Åsa",
        "room": "tea",
        "since_epoch": "e 1",
        "since_seq": "41",
        "history": "20",
        "presence": "1",
    }
    assert _decide(query=query) == Admit(Dialect.V1, "Åsa", "tea", Position("e 1", 41), 20, True, None, None)


def test_what_the_url_says_besides_is_ignored() -> None:
    """Load balancers and analytics add what they like."""
    assert _decide(query="utm=1&room=tea&x=%FF&=&&y") == _decide(query="room=tea")


@pytest.mark.parametrize("asked, granted", [("0", 0), ("-5", 0), ("199", 199), ("201", 200), ("9" * 30, 200)])
def test_history_is_as_much_as_is_kept(asked: str, granted: int) -> None:
    """Asking for everything is fine."""
    assert _admitted(_decide(query={"history": asked})).history == granted


@pytest.mark.parametrize(
    "subprotocols, dialect",
    [((), Dialect.PLAIN), (V1, Dialect.V1), (("chat", "scalechat.v1"), Dialect.V1)],
)
def test_the_subprotocol_chooses_the_dialect(subprotocols: tuple[str, ...], dialect: Dialect) -> None:
    """None means the plain one."""
    assert _admitted(_decide(subprotocols=subprotocols)).dialect is dialect


def test_a_subprotocol_nobody_here_speaks_is_refused() -> None:
    """RFC 6455 section 4.2.2: a client that asked for one would have to fail anyway."""
    assert _refused(_decide(subprotocols=("chat", "scalechat.v9"))) == ("subprotocol", 400)


def test_no_room_at_first_is_for_v1_only() -> None:
    """A plain client could never join one later."""
    assert _admitted(_decide(query="room=")).room == ""
    assert _refused(_decide(query="room=", subprotocols=())) == ("bad_name", 400)


@pytest.mark.parametrize("name", ["a/b", ".x", "a b", "x" * 65, "\x00", "\N{GRINNING FACE}"])
@pytest.mark.parametrize("key", ["clientId", "room"])
def test_bad_names_are_refused(key: str, name: str) -> None:
    """Before anything is made of them."""
    assert _refused(_decide(query={key: name})) == ("bad_name", 400)


def test_names_are_taken_in_their_normal_form() -> None:
    """One name, however it is typed."""
    admit = _admitted(_decide(query={"clientId": "A\u030asa", "room": "cafe\u0301"}))
    assert (admit.client_id, admit.room) == ("Åsa", "café")


def test_an_empty_client_id_is_none() -> None:
    """A form that was not filled in."""
    assert _admitted(_decide(query="clientId=")).client_id is None


@pytest.mark.parametrize(
    "query",
    [
        "history=many",
        "history=",
        "history=1.5",
        "history=" + "9" * 5000,
        "presence=yes",
        "since_epoch=e",
        "since_epoch=e&since_seq=x",
    ],
)
def test_numbers_that_are_none_are_refused(query: str) -> None:
    """With one line that says which ones are meant."""
    assert _refused(_decide(query=query)) == ("bad_request", 400)


@given(st.text(st.characters(codec="latin-1"), max_size=60), st.text(st.characters(codec="latin-1"), max_size=30))
def test_no_handshake_is_an_error_of_ours(query: str, origin: str) -> None:
    """Any target and any Origin are decided about."""
    for admission in (_admission(), _admission(token_secret=SECRET)):
        decision = _decide(admission, query, headers={"origin": origin, "host": "localhost"})
        assert isinstance(decision, Admit | Refuse)
        assert isinstance(_decide(admission, query), Admit | Refuse)


# --- origins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin, host, allowed",
    [
        (None, "chat.example", True),  # No browser, so no Origin, and no cookies or network of a victim either.
        ("https://chat.example", "chat.example", True),
        ("https://Chat.Example", "CHAT.example", True),
        ("http://chat.example:8080", "chat.example:8080", True),
        ("https://listed.example", "chat.example", True),
        ("http://localhost:3000", "chat.example", True),
        ("http://127.0.0.1:9", "chat.example", True),
        ("http://127.8.9.10", "chat.example", True),
        ("http://[::1]:8080", "chat.example", True),
        ("http://dev.localhost", "chat.example", True),
        ("https://evil.example", "chat.example", False),
        ("https://chat.example.evil.example", "chat.example", False),
        ("https://evilchat.example", "chat.example", False),
        ("http://chat.example:8080", "chat.example", False),
        ("http://listed.example", "chat.example", False),
        ("https://listed.example:444", "chat.example", False),
        ("http://localhost.evil.example", "chat.example", False),
        ("http://127.0.0.1.evil.example", "chat.example", False),
        ("http://127.0.0.1@evil.example", "chat.example", False),
        ("file://", "chat.example", False),
        ("file://localhost", "chat.example", False),
        ("chrome-extension://localhost", "chat.example", False),
        ("null", "chat.example", False),
        ("", "chat.example", False),
        ("https://", "", False),
        ("//chat.example", "chat.example", False),
        ("http://[::1", "chat.example", False),
    ],
)
def test_pages_of_other_origins_are_kept_out(origin: str | None, host: str, allowed: bool) -> None:
    """Same origin, loopback and those listed; RFC 6455 section 10.2."""
    headers = {"host": host} if origin is None else {"host": host, "origin": origin}
    decision = _decide(_admission(origins=("https://listed.example",)), headers=headers)
    assert isinstance(decision, Admit) if allowed else _refused(decision) == ("origin", 403)


@pytest.mark.parametrize(
    "host, expected",
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("::1", True),
        ("a.localhost", True),
        ("0.0.0.0", False),
        ("192.168.0.1", False),
        ("::", False),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(host: str, expected: bool) -> None:
    """Names and addresses that cannot mean another one."""
    assert is_loopback(host) is expected


# --- tokens ---------------------------------------------------------------------------------------------------------


def _with_token(token: str, **query: str) -> Decision:
    return _decide(_admission(token_secret=SECRET), {"token": token, **query})


def test_the_token_says_who_one_is() -> None:
    """Its `sub`, also in the plain dialect and in its normal form."""
    decision = _with_token(_token(sub="A\u030asa", exp=FAR_FUTURE))
    assert _admitted(decision).client_id == "Åsa"
    assert _admitted(decision).token_expires_unix_s == FAR_FUTURE


@pytest.mark.parametrize("claimed", ["Åsa", "A\u030asa"])
def test_a_client_id_beside_the_token_must_be_the_tokens(claimed: str) -> None:
    """However either is written."""
    for sub in ("Åsa", "A\u030asa"):
        assert _admitted(_with_token(_token(sub=sub), clientId=claimed)).client_id == "Åsa"
    assert _refused(_with_token(_token(sub="bob"), clientId=claimed)) == ("bad_token", 401)


def test_a_token_may_name_its_rooms() -> None:
    """Others are closed to it, and the one in the URL is closed with 4003."""
    token = _token(sub="alice", rooms=["tea", "cafe\u0301"])
    for room in ("tea", "café", "cafe\u0301"):
        assert _admitted(_with_token(token, room=room)).allowed_rooms == frozenset(("tea", "café"))
    assert _with_token(token) == AcceptAndClose("forbidden_room", closing.FORBIDDEN_ROOM, Dialect.V1, None)


def test_a_token_without_rooms_opens_all_and_one_with_none_opens_none() -> None:
    """An empty list is a list."""
    assert _admitted(_with_token(_token(sub="alice"), room="any")).allowed_rooms is None
    assert _admitted(_with_token(_token(sub="alice", rooms=[]), room="")).allowed_rooms == frozenset()


def _unsigned(**claims: object) -> str:
    return jwt.encode(claims, "", algorithm="none")


BAD_TOKENS = {
    "none at all": "",
    "no token": "hello",
    "three empty parts": "..",
    "not Base64": "\xff.\xff.\xff",
    "unsigned": _unsigned(sub="alice"),
    "unsigned, with a signature": _unsigned(sub="alice") + "eA",
    "of another secret": _token(OTHER_SECRET, sub="alice"),
    "of another algorithm": jwt.encode({"sub": "alice"}, SECRET * 2, algorithm="HS512"),
    "expired": _token(sub="alice", exp=1_000_000_000),
    "not yet valid": _token(sub="alice", nbf=FAR_FUTURE),
    "of nobody": _token(exp=FAR_FUTURE),
    "of a number": _token(sub=5),
    "with one room instead of a list": _token(sub="alice", rooms="tea"),
    "with null for rooms": _token(sub="alice", rooms=None),
    "with an endless life": _token(sub="alice", exp=float("inf")),
    "with a life beyond every number": _token(sub="alice", exp=10**400),
    "for somebody else": _token(sub="alice", aud="another service"),
    "with a tail": _token(sub="alice") + ".x",
    "cut": _token(sub="alice")[:-2],
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_token_that_is_not_good_is_refused_before_the_upgrade(token: str) -> None:
    """With 401, whatever is wrong with it, and without a word of it in the answer."""
    decision = _with_token(token)
    assert _refused(decision) == ("bad_token", 401)
    assert not [part for part in token.split(".") if len(part) > 5 and part in repr(decision)]


def test_a_server_without_a_secret_looks_at_no_token() -> None:
    """Whoever sends one comes in as everybody else does."""
    assert _admitted(_decide(query={"token": _token(sub="alice"), "clientId": "bob"})).client_id == "bob"


def test_a_token_expiring_in_quotes_expires_all_the_same() -> None:
    """Some issuers write numbers as text."""
    assert _admitted(_with_token(_token(sub="alice", exp=str(FAR_FUTURE)))).token_expires_unix_s == FAR_FUTURE


@given(
    st.dictionaries(
        st.sampled_from(("sub", "exp", "nbf", "iat", "rooms", "aud", "iss", "jti", "x")),
        strategies.json_values | st.just(FAR_FUTURE) | st.just(str(FAR_FUTURE)),
    )
)
def test_no_claims_are_an_error_of_ours(claims: dict[str, Any]) -> None:
    """Whatever an issuer signs is admitted or refused, and what is admitted can be compared with a clock."""
    try:
        token = _token(**claims)
    except TypeError:  # PyJWT writes no token that it knows to be wrong.
        return
    decision = _with_token(token)
    if isinstance(decision, Admit):
        assert isinstance(decision.token_expires_unix_s, float | None)
    else:
        assert isinstance(decision, Refuse | AcceptAndClose)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_over_the_cap_one_is_told_when_to_come_back() -> None:
    """Accepted and closed: a browser's WebSocket learns nothing from a refused handshake."""
    admission = _admission(max_connections=2)
    for _ in range(2):
        admission.enter("192.0.2.1")
    assert isinstance(_decide(admission), Admit)
    admission.enter("192.0.2.2")
    assert _decide(admission, subprotocols=()) == AcceptAndClose(
        "max_connections", closing.TOO_MANY, Dialect.PLAIN, RETRY_AFTER_MS
    )
    admission.leave("192.0.2.1")
    assert isinstance(_decide(admission), Admit)


def test_one_address_may_not_take_all() -> None:
    """Its own count decides; other addresses are not concerned."""
    admission = _admission(per_address=1)
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        admission.enter(address)
    assert isinstance(_decide(admission, address="192.0.2.1"), AcceptAndClose)
    assert isinstance(_decide(admission, address="192.0.2.2"), Admit)
    admission.leave("192.0.2.1")
    assert admission.over_limit("192.0.2.1") is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=30), st.integers(0, 3), st.integers(0, 2))
def test_counts_are_right_after_any_coming_and_going(steps: list[tuple[bool, str]], cap: int, per_address: int) -> None:
    """Over the limit exactly when so many are there; 0 means no limit."""
    admission = _admission(max_connections=cap, per_address=per_address)
    there: list[str] = []
    for enters, address in steps:
        if enters:
            there.append(address)
            admission.enter(address)
        elif address in there:
            there.remove(address)
            admission.leave(address)
    assert admission.connections == len(there)
    for address in "abc":
        if cap and len(there) > cap:
            assert admission.over_limit(address) == "max_connections"
        elif per_address and there.count(address) > per_address:
            assert admission.over_limit(address) == "max_connections_per_address"
        else:
            assert admission.over_limit(address) is None


def test_a_draining_server_lets_nobody_in() -> None:
    """503, so that a balancer tries another one."""
    admission = _admission()
    admission.draining = True
    assert _refused(_decide(admission)) == ("draining", HTTPStatus.SERVICE_UNAVAILABLE)


# --- rates ----------------------------------------------------------------------------------------------------------


def _takes(bucket: TokenBucket, *moments_s: float) -> list[bool]:
    return [bucket.take(now_s) for now_s in moments_s]


def test_a_burst_of_twice_the_rate_is_let_through() -> None:
    """And one more, so that a rate below one message a second lets the first one through."""
    assert _takes(TokenBucket(2.0, 0.0), *[0.0] * 6) == [True] * 5 + [False]
    assert _takes(TokenBucket(0.1, 0.0), 0.0, 0.0) == [True, False]


def test_the_rate_is_given_back_as_time_passes() -> None:
    """Never more than one burst of it."""
    bucket = TokenBucket(2.0, 0.0)
    _takes(bucket, *[0.0] * 5)
    assert _takes(bucket, 0.5, 0.5, 1000.0) == [True, False, True]
    assert _takes(bucket, *[1000.0] * 5) == [True] * 4 + [False]


def test_whoever_goes_on_while_refused_becomes_hopeless() -> None:
    """After a second burst of debt; before that, waiting helps."""
    bucket = TokenBucket(2.0, 0.0)
    hopeless = []
    for now_s in [0.0] * 11 + [2.0]:
        bucket.take(now_s)
        hopeless.append(bucket.hopeless)
    assert hopeless == [False] * 10 + [True, False]


@given(st.floats(0.1, 50), st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_no_one_speaks_faster_than_the_rate_and_its_burst(rate_per_s: float, gaps_s: list[float]) -> None:
    """Over any time t at most `2·rate + 1 + rate·t` messages, and whoever keeps below the rate is never refused."""
    bucket, patient = TokenBucket(rate_per_s, 0.0), TokenBucket(rate_per_s, 0.0)
    now_s, granted = 0.0, 0
    for at, gap_s in enumerate(gaps_s, 1):
        now_s += gap_s
        granted += bucket.take(now_s)
        assert granted <= 2 * rate_per_s + 1 + rate_per_s * now_s + 1e-6
        assert patient.take(at / rate_per_s)
