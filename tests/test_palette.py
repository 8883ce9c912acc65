"""The colours of the terminal can be seen on any background."""

from __future__ import annotations

import pytest
from rich.color import Color
from rich.style import Style

from scalechat.palette import ACCENT, BAD, GOOD, WARN


@pytest.mark.parametrize("style", [GOOD, BAD, WARN, ACCENT])
@pytest.mark.parametrize("background", ["#ffffff", "#000000"])
def test_every_colour_stands_out_from_white_and_from_black(style: str, background: str) -> None:
    """3 : 1 at least, as WCAG 2 asks for what is drawn and for large or redundant text."""
    colour = Style.parse(style).color
    assert colour is not None
    lighter, darker = sorted((luminance(colour), luminance(Color.parse(background))), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def luminance(colour: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in colour.get_truecolor())
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
