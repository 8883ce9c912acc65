"""The promises of a whole chat, over each bus, while nodes are killed in the middle of it."""

from contextlib import AbstractAsyncContextManager

from hypothesis.stateful import run_state_machine_as_test

from tests.bus.chat import Chat, opener
from tests.bus.chat_machine import CHAT_SETTINGS, ChatMachine
from tests.bus.redis_server import RedisServer


def test_two_nodes_on_one_redis_are_one_chat(redis: RedisServer) -> None:
    """One order for all, nothing acknowledged is lost, an id is one message, and `recovered` is true exactly when the
    log reaches back: whichever node is killed, and whoever comes back to which."""

    class Machine(ChatMachine):
        nodes = ("one", "other")
        logs_outlive_nodes = True

        @staticmethod
        def open_chat() -> AbstractAsyncContextManager[Chat]:
            redis.cli("flushall")
            return opener(redis.url, Machine.nodes)()

    run_state_machine_as_test(Machine, settings=CHAT_SETTINGS)


def test_a_node_without_redis_forgets_with_its_end_and_says_so() -> None:
    """The same for the bus of one process: killed, it has other epochs, and nobody who comes back is `recovered`."""

    class Machine(ChatMachine):
        open_chat = staticmethod(opener("memory", ("only",)))
        nodes = ("only",)
        logs_outlive_nodes = False

    run_state_machine_as_test(Machine, settings=CHAT_SETTINGS)
