"""The colours of the terminal, each with one meaning everywhere. They only repeat what words and signs say.

Each stands out at least 3 : 1 from white and from black, so dark and light terminals need no setting, and the common
kinds of colour blindness tell them apart. Rich finds the nearest one where a terminal has fewer colours, and leaves
them out with ``NO_COLOR``.
"""

from typing import Final

GOOD: Final = "#009e73"
"""It holds."""
BAD: Final = "bold #d7301f"
"""It does not."""
WARN: Final = "#b58900"
"""Worth a look; or it cannot be said."""
ACCENT: Final = "#0a84d0"
"""A quantity drawn: bars and curves."""
FAINT: Final = "dim"
"""Labels, and what does not count."""

SIGNS: Final[dict[bool | None, tuple[str, str]]] = {True: ("✓", GOOD), False: ("✗", BAD), None: ("?", WARN)}
"""An objective that is met, missed, or cannot be judged."""
