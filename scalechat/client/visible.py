"""Other people's text, made harmless: what reaches the terminal moves no cursor and hides nothing.

A chat message is any Unicode, so it may hold escape sequences (retitle the window, paste into the
shell), bidirectional overrides (show another text than the one sent), a carriage return (overwrite
somebody's name) or a hundred accents on one letter. The rules below keep every letter of every
script and replace what acts instead of being read.
"""

import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: A screenful. 64 KiB of "\n" from one person must not scroll away everybody else.
MAX_LINES = 40
MAX_CHARS = 4_000

#: Vietnamese and Hebrew stack two or three marks on a letter; text that paints over its
#: neighbours stacks dozens.
MAX_MARKS = 5

# Format characters (category Cf) with a task inside words: Persian and Indic joining, emoji
# sequences, and the Arabic and Kaithi number signs, which are visible.
_KEPT_FORMAT = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
# Marks without width or effect on their neighbours; dropping them changes nothing a reader sees.
_DROPPED_FORMAT = frozenset("\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff")
_LINE_BREAKS = str.maketrans({"\x85": "\n", "\u2028": "\n", "\u2029": "\n"})


def visible_lines(text: str, *, max_lines: int = MAX_LINES, max_chars: int = MAX_CHARS) -> tuple[str, ...]:
    """Return `text` as lines without any control character, cut to a screenful.

    Always at least one line. When something was cut, the last line says how much.
    """
    cut = text[:max_chars]
    lines = cut.replace("\r\n", "\n").translate(_LINE_BREAKS).rstrip("\n").split("\n")
    shown = [visible(line) for line in lines[:max_lines]]
    lost_lines, lost_chars = len(lines) - len(shown), len(text) - len(cut)
    if lost_lines:
        shown.append(f"… {lost_lines} more lines")
    elif lost_chars:
        shown.append(f"… {lost_chars} more characters")
    return tuple(shown)


def visible(text: str) -> str:
    """Return `text` as one line without any control character; its meaning stays readable."""
    if text.isascii() and text.isprintable():
        return text  # nearly every message
    shown: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks <= MAX_MARKS:
            shown.append(_visible_char(char, category))
    return "".join(shown)


def _visible_char(char: str, category: str) -> str:
    if char == "\t":
        return "    "
    code = ord(char)
    if category == "Cc":
        if code < 0x20:
            return chr(0x2400 + code)  # ␛ for ESC, ␇ for BEL: seen, not obeyed
        return "\N{SYMBOL FOR DELETE}" if code == 0x7F else REPLACEMENT
    if category == "Cf":
        if char in _KEPT_FORMAT:
            return char
        return "" if char in _DROPPED_FORMAT else REPLACEMENT
    if category in {"Zl", "Zp"}:
        return " "
    # A lone surrogate cannot be encoded, so printing it would raise; noncharacters are nobody's.
    if category == "Cs" or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return REPLACEMENT
    return char
