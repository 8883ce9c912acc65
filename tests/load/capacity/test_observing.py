"""What a finished run says about its level."""

from __future__ import annotations

from pathlib import Path

from scalechat.load.capacity.observing import observe
from scalechat.load.conclusion import RunOutcome
from scalechat.load.results import read_run

THROTTLED = Path(__file__).parents[2] / "analysis" / "recorded" / "loadquota"


def test_what_several_reasons_have_in_common_is_said_once() -> None:
    """A load client without a core sends late and gets to less: the core is missing only once."""
    run = read_run(THROTTLED)
    assert run.manifest is not None
    assert run.summary is not None
    seen = observe(400, RunOutcome(THROTTLED, run.manifest.exit_code, run.summary, run.manifest), ())
    assert seen.outcome == "generator"
    assert seen.reason is not None
    assert seen.reason.count("it waited for its core") == 1
    assert all(reason.text.split("; ")[0] in seen.reason for reason in run.manifest.validity.reasons)
