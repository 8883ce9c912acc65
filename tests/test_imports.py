"""The architecture as the linter sees it: who imports whom, and what importing costs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_every_import_contract_holds() -> None:
    """No package imports what its place in the architecture does not allow (``pyproject.toml``)."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module, stays_out",
    [
        # --help and a mistyped flag cost neither an event loop nor numpy.
        ("scalechat.cli", {"trio", "numpy", "hypercorn", "fastapi", "pandas", "prompt_toolkit"}),
        ("scalechat.wire.session", {"trio", "anyio", "asyncio"}),
        ("scalechat.analysis.report", {"trio", "anyio"}),
        # The page's packages are not what load is measured with.
        ("scalechat.load.runner", {"hypercorn", "fastapi", "pandas", "matplotlib"}),
    ],
)
def test_importing_a_part_does_not_load_what_it_has_no_use_for(module: str, stays_out: set[str]) -> None:
    """Seen at run time, third parties included: the contracts above see only what is written down."""
    code = f"import sys, {module}; print(*sorted({stays_out} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", ["wire", "bus", "server", "client", "load", "analysis"])
def test_each_package_says_its_one_job(package: str) -> None:
    """A package's docstring names its job and what it may import, so that the tree can be read."""
    source = (ROOT / "scalechat" / package / "__init__.py").read_text()
    docstring = source.split('"""')[1]
    assert "import" in docstring.lower()
    assert len(docstring.splitlines()) >= 2
