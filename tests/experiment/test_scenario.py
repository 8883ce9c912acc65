"""What an experiment's TOML says of the load arrives in the load client's scenario file unchanged."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from scalechat.experiment.scenario import scenario_text

# Surrogates are no text in either format; TOML's integers have 64 bits
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_what_a_toml_reader_finds(settings: dict[str, object]) -> None:
    assert tomllib.loads(scenario_text(settings)) == settings
