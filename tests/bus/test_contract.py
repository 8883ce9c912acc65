from collections.abc import AsyncIterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.bus.contract import BusContract
from tests.bus.machine import MACHINE_SETTINGS, BusMachine
from tests.bus.opening import OPENERS, OpenBus, Opener


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    """Opens each bus in turn."""
    return OPENERS[request.param](request.getfixturevalue)


@pytest.fixture
async def node(opener: Opener) -> AsyncIterator[OpenBus]:
    async with opener() as opened:
        yield opened


class TestEveryBus(BusContract):
    """Every bus keeps every promise."""


def test_every_bus_behaves_like_the_model(opener: Opener, request: pytest.FixtureRequest) -> None:
    """Any sequence of calls has the answers and deliveries that a model of one page has; fewer over a network."""

    class Machine(BusMachine):
        open_bus = staticmethod(opener)

    examples = MACHINE_SETTINGS.max_examples if "memory" in request.node.name else 30
    run_state_machine_as_test(Machine, settings=settings(MACHINE_SETTINGS, max_examples=examples))
