"""The CPU limit is found in control groups of either version, in a container and outside of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalechat.cpu_quota import CpuQuota, read_cpu_quota

V1_STAT = "nr_periods 118\nnr_throttled 10\nthrottled_time 438487297\n"
V2_STAT = "usage_usec 5\nnr_periods 118\nnr_throttled 10\nthrottled_usec 438487\n"


def v1(group: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {
        f"cpu/{group}cpu.cfs_quota_us": f"{quota}\n",
        f"cpu/{group}cpu.cfs_period_us": f"{period}\n",
        f"cpu/{group}cpu.stat": V1_STAT,
    }


def v2(group: str, limit: str) -> dict[str, str]:
    return {f"{group}cpu.max": f"{limit}\n", f"{group}cpu.stat": V2_STAT}


@pytest.mark.parametrize(
    "own, files, expected",
    [
        pytest.param("0::/\n", v2("", "30000 100000"), CpuQuota(0.3, 0.438487), id="container"),
        pytest.param("0::/a/b\n", v2("a/b/", "max 100000"), CpuQuota(0.0, 0.0), id="no limit"),
        pytest.param("0::/a/b\n", v2("a/b/", "max 100000") | v2("a/", "150 100"), CpuQuota(1.5, 0.438487), id="around"),
        pytest.param("0::/a/b\n", v2("a/b/", "300 100") | v2("a/", "50 100"), CpuQuota(0.5, 0.438487), id="tightest"),
        pytest.param("3:cpu,cpuacct:/a\n", v1("a/", 20_000), CpuQuota(0.2, 0.438487297), id="version 1"),
        pytest.param("3:cpu:/docker/1f\n", v1("", 20_000), CpuQuota(0.2, 0.438487297), id="container, version 1"),
        pytest.param("3:cpu:/a\n", v1("a/", -1), CpuQuota(0.0, 0.0), id="no limit, version 1"),
        pytest.param("3:cpu:/a\n2:memory:/b\n0::/\n", v1("a/", 999, 1000), CpuQuota(0.999, 0.438487297), id="hybrid"),
        pytest.param("7:memory:/a\n", {}, CpuQuota(0.0, 0.0), id="no controller"),
    ],
)
def test_the_tightest_limit_around_us_counts(
    own: str, files: dict[str, str], expected: CpuQuota, tmp_path: Path
) -> None:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert read_cpu_quota(root, tmp_path / "own") == expected


def test_a_system_without_control_groups_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_cpu_quota(tmp_path, tmp_path / "own")
