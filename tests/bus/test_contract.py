from collections.abc import AsyncIterator

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.bus.contract import BusContract
from tests.bus.machine import MACHINE_SETTINGS, BusMachine
from tests.bus.opening import OPENERS, OpenBus, Opener


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    """Opens each bus in turn."""
    return OPENERS[request.param](request.getfixturevalue("redis"))


@pytest.fixture
async def node(opener: Opener) -> AsyncIterator[OpenBus]:
    async with opener() as opened:
        yield opened


class TestEveryBus(BusContract):
    """Every bus keeps every promise."""


def test_every_bus_behaves_like_the_model(opener: Opener) -> None:
    """Any sequence of calls has the answers and deliveries that a model of one page has."""

    class Machine(BusMachine):
        open_bus = staticmethod(opener)

    run_state_machine_as_test(Machine, settings=MACHINE_SETTINGS)
