"""What may be shown of a URL. The rules for values are tested where users meet them: ``test_cli.py``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.values import redact_url

WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~%", min_size=1, max_size=12)


@pytest.mark.parametrize(
    "url, shown",
    [
        ("ws://h:1/ws", "ws://h:1/ws"),
        ("ws://h/ws?room=a%20b", "ws://h/ws?room=a%20b"),
        ("ws://h/ws?token=abc&room=a", "ws://h/ws?token=***&room=a"),
        ("redis://:pw@h:6379/0", "redis://***@h:6379/0"),
        ("rediss://user:pw@h", "rediss://***@h"),
        ("not a url [", "not a url ["),
    ],
)
def test_a_url_is_shown_without_what_opens_the_door(url: str, shown: str) -> None:
    """Passwords and tokens go, everything else stays as it was written."""
    assert redact_url(url) == shown


@given(
    secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1).map("s3cret-{}".format),
    room=WORD,
    before=st.booleans(),
    with_password=st.booleans(),
)
def test_no_secret_is_left_and_hiding_twice_changes_nothing(
    secret: str, room: str, before: bool, with_password: bool
) -> None:
    """Wherever in the URL the secret stands, whatever stands beside it."""
    pairs = [f"token={secret}", f"room={room}"]
    query = "&".join(pairs if before else reversed(pairs))
    shown = redact_url(f"wss://{f'user:{secret}@' if with_password else ''}host:8080/ws?{query}")
    assert "s3cret" not in shown
    assert redact_url(shown) == shown
    assert shown.startswith("wss://")
