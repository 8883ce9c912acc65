"""The parts of one node, built and connected: who is passed to whom, readable top to bottom.

No part looks another one up. Where two need each other (the room wakes the sweeper, the sweeper serves rooms) one of
them gets a plain function.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import cast

import structlog
import trio
from hypercorn.typing import ASGIFramework

from scalechat.bus.base import BusError
from scalechat.bus.opening import make_bus
from scalechat.config import ServeConfig
from scalechat.server.admission import Admission, is_loopback
from scalechat.server.comeback import AcceptRate, slots_ms
from scalechat.server.connection import WebSocketService
from scalechat.server.conversation import ConversationLimits
from scalechat.server.eviction import Evictor
from scalechat.server.fanout import Sweeper
from scalechat.server.figures import SAMPLE_S, Figures, Rates
from scalechat.server.heartbeat import Heartbeat
from scalechat.server.http import build_app
from scalechat.server.http_access import Access
from scalechat.server.http_service import HttpService
from scalechat.server.hub import Hub
from scalechat.server.listener import MAX_HEAD_BYTES, Listener
from scalechat.server.metrics import Counters, Gauges, Metrics
from scalechat.server.outbox import Backlog, QueueLimits
from scalechat.server.presence import PresenceBoard
from scalechat.server.pump import open_pump
from scalechat.server.recent import Recent
from scalechat.server.resync import Resync
from scalechat.server.site import Here, Site, Stats
from scalechat.server.slow_consumer import RoomPolicies
from scalechat.server.strategies import STRATEGIES
from scalechat.server.vitals import LoopLag
from scalechat.wire import closing

CATCH_UP_S = 5.0
"""For publications under way to have an answer and for what other nodes have acknowledged to arrive. A bus that is away
does not hold up the goodbyes: clients resume from their position."""

log = structlog.get_logger("scalechat.server")


class Node:
    """One server process's parts. `most_connections`: what the process has room for, unless the configuration says.

    `site_around` makes of this process's site the one that the HTTP side tells about, when others share the port.
    """

    def __init__(
        self, config: ServeConfig, most_connections: int, *, site_around: Callable[[Here], Site] | None = None
    ) -> None:
        self._config = config
        counters = Counters()
        self.counters = counters
        self._backlog = Backlog()
        evictor = Evictor(counters)
        self.bus = make_bus(
            config.bus, history_messages=config.history_messages, observe_publish_s=self._observe_publish
        )
        self.sweeper = Sweeper(
            STRATEGIES[config.fanout](),
            counters=counters,
            backlog=self._backlog,
            evict=evictor.queue_full,
            pause=Resync(counters=counters, evict=evictor.left_behind).pause,
            observe=self._observe_sweep,
            more_to_read=lambda: self._pump is not None and self._pump.in_round,
        )
        self._presence = PresenceBoard(
            debounce_s=config.presence_debounce_s,
            limit=config.presence_limit,
            population=self.bus.population,
            tell=lambda room, frame: self.hub.tell_watchers(room, frame),  # noqa: PLW0108  The hub comes next.
        )
        self.hub = Hub(
            self.bus,
            history_messages=config.history_messages,
            history_bytes=config.queue_bytes // 2,  # As much as one replay may hold, see ConversationLimits.
            counters=counters,
            wake=self.sweeper.wake,
            evict=evictor.queue_full,
            policy_of=RoomPolicies(config.slow_consumer, config.room_policies).of,
            kick=evictor.kicked,
            note_presence=self._presence.note,
            log_reset=evictor.log_reset,
        )
        self.heartbeat = Heartbeat(
            period_s=config.heartbeat_s,
            queue_age_s=config.queue_age_s,
            backlog=self._backlog,
            evictor=evictor,
            spread=config.heartbeat_phase == "spread",
        )
        self.admission = Admission(
            max_connections=config.max_connections or most_connections,
            max_connections_per_address=config.max_connections_per_address,
            origins=config.origins,
            token_secret=config.token_secret,
            max_history=config.history_messages,
        )
        self._metrics = Metrics(
            counters,
            self._backlog,
            read_gauges=self._gauges,
            limits=self._limits(),
            bus="redis" if self.bus.spans_nodes else "memory",
        )
        self.loop_lag = LoopLag(self._metrics.loop_lag_s.observe)
        self._accept_rate = AcceptRate()
        self.figures = Figures(
            counters,
            self._backlog,
            read_gauges=self._gauges,
            loop_lag_p99_s=lambda: self.loop_lag.recent_p99_s,
            note=self.note_second,
            log_period_s=config.log_period_s,
        )
        self._recent = Recent(
            self._metrics.fanout_duration_s,
            connections=lambda: len(self.hub.members),
            queue_bytes=lambda: self._backlog.bytes,
            queue_age_s=lambda: self._backlog.oldest_age_s(trio.current_time()),
            worst_lag_s=lambda: self.loop_lag.worst_s(SAMPLE_S),
        )
        self.here = Here(
            self.hub,
            self._metrics,
            self._recent,
            read_stats=self._stats,
            not_ready=self._not_ready,
            knows_all_nodes=not self.bus.spans_nodes,
            now_s=trio.current_time,
        )
        self.app = build_app(
            hub=self.hub,
            bus=self.bus,
            site=site_around(self.here) if site_around else self.here,
            presence_limit=config.presence_limit,
            access=Access(config.api_key, open_pages=config.public_pages or is_loopback(config.host)),
        )
        self._http = HttpService(
            cast("ASGIFramework", self.app),
            max_body_bytes=config.max_message_size_bytes + 1024,
            max_head_bytes=MAX_HEAD_BYTES,
        )
        self._websockets = WebSocketService(
            admission=self.admission,
            hub=self.hub,
            bus=self.bus,
            heartbeat=self.heartbeat,
            counters=counters,
            evictor=evictor,
            backlog=self._backlog,
            queue_limits=QueueLimits(config.queue_frames, config.queue_bytes),
            limits=ConversationLimits(
                message_size_bytes=config.max_message_size_bytes,
                message_rate_per_s=config.message_rate_per_s,
                heartbeat_s=config.heartbeat_s,
                replay_bytes=config.queue_bytes // 2,
                presence_limit=config.presence_limit,
            ),
            handshake_timeout_s=config.handshake_timeout_s,
        )
        self._pump = open_pump()
        self._listener: Listener | None = None

    def listen_on(self, sockets: list[socket.socket]) -> Listener:
        """The listener over these bound sockets."""
        self._listener = Listener(
            sockets,
            websockets=self._websockets,
            serve_http=self._http.serve,
            pump=self._pump,
            admission=self.admission,
            counters=self.counters,
            head_timeout_s=self._config.handshake_timeout_s,
        )
        return self._listener

    @property
    def services(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What runs beside bus and listener, each until it is cancelled."""
        runs = [self.sweeper.run, self.heartbeat.run, self.loop_lag.run, self.figures.run, self._presence.run]
        return runs if self._pump is None else [self._pump.run, *runs]

    async def drain(self, others_quiet: Callable[[], Awaitable[None]] | None = None) -> None:
        """Acknowledge nothing more, offer everything acknowledged, then tell every client when to come back."""
        self.admission.draining = self.hub.draining = True
        with trio.move_on_after(CATCH_UP_S):
            await self.hub.wait_published()
            if others_quiet is not None:
                await others_quiet()
            with suppress(BusError):
                await self.bus.wait_caught_up()
        members = list(self.hub.members.values())
        await self.sweeper.wait_idle()
        per_s = self._accept_rate.per_s
        log.info("draining", connections=len(members), drain_s=self._config.drain_s, back_per_s=round(per_s))
        random.shuffle(members)  # Whoever came first is not the first to wait each time.
        for slot, (member, after_ms) in enumerate(zip(members, slots_ms(len(members), per_s), strict=True)):
            member.end(closing.DRAINING, retry_after_ms=after_ms)
            if slot % 100 == 99:
                await trio.lowlevel.checkpoint()
        await self._http.drain()

    def note_second(self, rates: Rates) -> None:
        """A second is over, and these were its rates."""
        self._accept_rate.note(rates.accepts_per_s, self.loop_lag.worst_s(SAMPLE_S))
        self._recent.note(rates)

    def _observe_sweep(self, seconds: float) -> None:
        self._metrics.fanout_duration_s.observe(seconds)

    def _observe_publish(self, seconds: float) -> None:
        self._metrics.bus_publish_s.observe(seconds)

    def observe_collection(self, generation: int, seconds: float) -> None:
        """Note one garbage collection."""
        self._metrics.gc_pause_s.labels(str(generation)).observe(seconds)

    # --- snapshots --------------------------------------------------------------------------------------------------

    def _gauges(self) -> Gauges:
        by_dialect = {"plain": 0, "v1": 0}
        for member in self.hub.members.values():
            by_dialect[member.session.dialect.value] += 1
        return Gauges(
            connections=by_dialect | {"http": self._listener.http_connections if self._listener else 0},
            rooms=len(self.hub.rooms),
            members=sum(len(room.members) for room in self.hub.rooms.values()),
            queue_age_s=self._backlog.oldest_age_s(trio.current_time()),
            queues=[(outbox.frames, outbox.bytes) for outbox in self._backlog.outboxes],
            tasks=trio.lowlevel.current_statistics().tasks_living,
            draining=self.admission.draining,
            accept_rate_per_s=self._accept_rate.per_s,
            bus=self.bus.statistics(),
            accept_drops=self._listener.dropped if self._listener else 0,
        )

    def _stats(self) -> Stats:
        rates = self.figures.rates
        return Stats(
            connections=len(self.hub.members),
            rooms=len(self.hub.rooms),
            publications_total=self.counters.publications,
            deliveries_total=self.counters.deliveries,
            publications_per_s=round(rates.publications_per_s, 1),
            deliveries_per_s=round(rates.deliveries_per_s, 1),
            loop_lag_p99_ms=round(self.loop_lag.recent_p99_s * 1000, 3),
            queue_bytes=self._backlog.bytes,
            cpu_ratio=round(rates.cpu_ratio, 4),
            rss_bytes=rates.rss_bytes,
            uptime_s=round(self.figures.uptime_s, 1),
            draining=self.admission.draining,
        )

    def _not_ready(self) -> str | None:
        if self.admission.draining:
            return "draining"
        if self.admission.connections > self.admission.max_connections:  # The connection that asks is counted too.
            return "at the connection limit"
        return self.bus.not_ready

    def _limits(self) -> dict[str, float]:
        config = self._config
        return {
            "max_connections": self.admission.max_connections,
            "max_connections_per_address": config.max_connections_per_address,
            "message_rate_per_s": config.message_rate_per_s,
            "max_message_size_bytes": config.max_message_size_bytes,
            "queue_frames": config.queue_frames,
            "queue_bytes": config.queue_bytes,
            "queue_age_s": config.queue_age_s,
            "history_messages": config.history_messages,
        }
