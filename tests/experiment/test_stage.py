"""What an experiment's server runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalechat.config import OperationalError
from scalechat.experiment.limits import Held
from scalechat.experiment.spec import Side
from scalechat.experiment.stage import raised


async def test_network_settings_without_root_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started, and not in the words of a program that the user did not call."""
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho unshare: unshare failed: Operation not permitted >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(OperationalError, match=r"its network settings need a network namespace .* that needs root"):
        async with raised(Side(about="before"), {}, {"net.core.somaxconn": "16"}, Held([], [], [])):
            pytest.fail("it was raised")
