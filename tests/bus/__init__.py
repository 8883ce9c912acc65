import pytest

pytest.register_assert_rewrite("tests.bus.contract", "tests.bus.machine")
