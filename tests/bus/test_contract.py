from collections.abc import AsyncIterator

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.bus.contract import BusContract
from tests.bus.machine import MACHINE_SETTINGS, BusMachine
from tests.bus.opening import OPENERS, OpenBus


@pytest.fixture(params=OPENERS)
async def node(request: pytest.FixtureRequest) -> AsyncIterator[OpenBus]:
    async with OPENERS[request.param]() as opened:
        yield opened


class TestEveryBus(BusContract):
    """Every bus keeps every promise."""


@pytest.mark.parametrize("name", OPENERS)
def test_every_bus_behaves_like_the_model(name: str) -> None:
    """Any sequence of calls has the answers and deliveries that a model of one page has."""

    class Machine(BusMachine):
        open_bus = staticmethod(OPENERS[name])

    run_state_machine_as_test(Machine, settings=MACHINE_SETTINGS)
