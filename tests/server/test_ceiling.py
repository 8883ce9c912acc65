from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalechat.server.ceiling import CONNECTION_BYTES, MOST, RESERVED_FDS, Ceiling, ceiling, memory_limit_bytes

MIB = 1024 * 1024


def test_without_a_memory_limit_open_files_decide() -> None:
    """All but those that are kept for what is no client."""
    allowed = ceiling(file_limit=1_024, memory_limit_bytes=None, held_bytes=50 * MIB)
    assert allowed == Ceiling(1_024 - RESERVED_FDS, "open files")


def test_no_limit_at_all_is_still_a_number() -> None:
    allowed = ceiling(file_limit=2**63 - 1, memory_limit_bytes=None, held_bytes=0)
    assert allowed == Ceiling(MOST - RESERVED_FDS, "open files")


def test_a_small_box_lets_in_what_its_memory_can_hold() -> None:
    """64 MiB, of which the server itself takes 48 and an eighth is kept: 8 MiB for connections."""
    allowed = ceiling(file_limit=65_536, memory_limit_bytes=64 * MIB, held_bytes=48 * MIB)
    assert allowed == Ceiling(8 * MIB // CONNECTION_BYTES, "memory")


@given(
    files=st.integers(1, 2**63 - 1), memory_bytes=st.none() | st.integers(0, 2**50), held_bytes=st.integers(0, 2**40)
)
def test_whatever_the_limits_are_one_may_come_in_and_neither_limit_is_passed(
    files: int, memory_bytes: int | None, held_bytes: int
) -> None:
    """A server that lets nobody in could not even say so."""
    allowed = ceiling(file_limit=files, memory_limit_bytes=memory_bytes, held_bytes=held_bytes).connections
    assert allowed >= 1
    if allowed > 1:
        assert allowed + RESERVED_FDS <= files
        assert memory_bytes is None or held_bytes + allowed * CONNECTION_BYTES < memory_bytes


@pytest.mark.parametrize(
    "groups, files, limit_bytes",
    [
        pytest.param("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1_000, id="the group above has one"),
        pytest.param("0::/a", {"a/memory.max": "3000", "memory.max": "max"}, 3_000, id="the group itself"),
        pytest.param("0::/", {"memory.max": "2000"}, 2_000, id="a container that sees its own group as the top"),
        pytest.param("0::/a", {"a/memory.max": "max"}, None, id="no limit"),
        pytest.param(
            "5:cpu:/x\n4:memory:/docker/1", {"memory/memory.limit_in_bytes": "4000"}, 4_000, id="version 1, container"
        ),
        pytest.param(
            "4:memory:/a", {"memory/a/memory.limit_in_bytes": str(2**63 - 4096)}, None, id="version 1, no limit"
        ),
        pytest.param("3:cpu:/a", {"memory/memory.limit_in_bytes": "4000"}, None, id="not in a memory group"),
    ],
)
def test_the_memory_limit_is_that_of_the_narrowest_group_around_us(
    tmp_path: Path, groups: str, files: dict[str, str], limit_bytes: int | None
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert memory_limit_bytes(tmp_path / "sys/fs/cgroup", tmp_path / "proc/self/cgroup") == limit_bytes


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path, tmp_path / "cgroup") is None
