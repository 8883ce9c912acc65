"""Who comes, who goes, who is turned away, and whether a crowd comes back faster than the door can take it."""

from __future__ import annotations

from typing import Final

from configs.grafana.model import Bars, Limit, Lines, Page, Row, Series, Stat
from configs.grafana.overview import WEBSOCKETS
from configs.grafana.queries import CHOSEN, choices_of, rate, total, within_range

ARRIVALS: Final = f'{CHOSEN},kind="websocket"'
ERRORS: Final = "scalechat_connection_errors_total"
BUG: Final = f'{CHOSEN},kind="bug"'
LOST: Final = f'{CHOSEN},reason!~"normal|going_away"'

GLANCE = Row(
    "At a glance",
    [
        Stat("Connections", "short", "Open WebSockets.", total("scalechat_connections", where=WEBSOCKETS)),
        Stat("Arrivals", "cps", "WebSockets that ask to come in.", rate("scalechat_accepts_total", where=ARRIVALS)),
        Stat("Departures", "cps", "WebSockets that end, for whatever reason.", rate("scalechat_closes_total")),
        Stat(
            "Ended badly",
            "short",
            "Connections lost or closed for a fault in the time shown: neither end had asked for it.",
            within_range("scalechat_closes_total", LOST),
        ),
        Stat(
            "Refused",
            "short",
            "Connections turned away in the time shown.",
            within_range("scalechat_refusals_total"),
            warn=1,
            bad=100,
        ),
        Stat(
            "Dropped by the kernel",
            "short",
            "Connections that the full accept queue lost in the time shown: these clients wait 1, 3, 7 s.",
            within_range("scalechat_accept_drops_total"),
            warn=1,
            bad=10,
        ),
        Stat(
            "Our own faults",
            "short",
            "Connections that ended in a bug of ours in the time shown. The log has the traceback of each.",
            within_range(ERRORS, BUG),
            warn=1,
            bad=1,
        ),
        Stat(
            "Draining",
            "short",
            "Servers that are going away and send their clients elsewhere.",
            total("scalechat_draining"),
            warn=1,
        ),
    ],
)

STORMS = Row(
    "Storms: does a crowd come back at once?",
    [
        Lines(
            "Arrivals and departures",
            "cps",
            "Departures and then arrivals in a peak are a reconnect storm; above the dashed line those inside feel it.",
            [
                Series(rate("scalechat_accepts_total", where=ARRIVALS), "arrivals"),
                Series(rate("scalechat_closes_total"), "departures"),
                Limit(total("scalechat_accept_rate_per_second"), "taken with ease so far"),
            ],
            docs="scale-problems/reconnect-storm.md",
        ),
        Bars(
            "Closes by reason",
            "cps",
            "How did connections end? 'lost' is the network or a client that died; 'internal' a Redis that is away.",
            [Series(rate("scalechat_closes_total", "reason"), "{{reason}}")],
            docs="reference/protocol.md",
        ),
        Bars(
            "Accept queue overflows",
            "cps",
            "Does the kernel drop connections before the server sees them? Then arrivals above are too low.",
            [Series(rate("scalechat_accept_drops_total", "instance"), "{{instance}}")],
            docs="scale-problems/accept-queue.md",
        ),
        Lines(
            "What clients ask for",
            "mps",
            "Do those who come back ask for the past? Joins and histories rise with a storm; 'bad' was refused.",
            [Series(rate("scalechat_messages_in_total", "kind"), "{{kind}}")],
            docs="scale-problems/join-and-leave.md",
        ),
    ],
)

DOOR = Row(
    "The door: who is turned away, and who is sent off?",
    [
        Bars(
            "Refusals by reason",
            "cps",
            "Why did handshakes fail? Limits, token, origin, name, time, drain.",
            [Series(rate("scalechat_refusals_total", "reason"), "{{reason}}")],
            docs="how-to/operate.md",
        ),
        Bars(
            "Evictions by reason",
            "cps",
            "Whom did the server end? queue_… are slow clients, heartbeat silent ones, rate_limit talkative ones.",
            [Series(rate("scalechat_evictions_total", "reason"), "{{reason}}")],
            docs="scale-problems/slow-consumer-memory.md",
        ),
        Bars(
            "Connection errors by kind",
            "cps",
            "What did peers do that no protocol allows? Each cost only its own connection; 'bug' is ours.",
            [Series(rate(ERRORS, "kind"), "{{kind}}")],
            docs="discussion/faults.md",
        ),
    ],
)

ROOM = Row(
    "Room: how many more fit?",
    [
        Lines(
            "Connections and their limit",
            "short",
            "How many more may come? By server, and the lowest limit.",
            [
                Series(total("scalechat_connections", "instance", where=WEBSOCKETS), "{{instance}}"),
                Limit(f'min(scalechat_limit{{{CHOSEN},name="max_connections"}})', "limit"),
            ],
            docs="scale-problems/open-file-limit.md",
        ),
        Lines(
            "File descriptors",
            "short",
            "One for each connection. At the lowest limit the server refuses new ones.",
            [
                Series(total("process_open_fds", "instance"), "{{instance}}"),
                Limit(f"min(process_max_fds{{{CHOSEN}}})", "limit"),
            ],
            docs="scale-problems/open-file-limit.md",
        ),
        Lines(
            "Memory for each connection",
            "bytes",
            "What does one more cost? Resident memory over connections; with few of them it is the process itself.",
            [
                Series(
                    f"{total('process_resident_memory_bytes')}"
                    f" / ({total('scalechat_connections', where=WEBSOCKETS)} > 0)",
                    "resident",
                )
            ],
            docs="scale-problems/memory-limit.md",
        ),
        Lines(
            "Tasks",
            "short",
            "Does something leak? Trio tasks that stay when their connections have left.",
            [Series(total("scalechat_tasks", "instance"), "{{instance}}")],
        ),
    ],
)

CONNECTIONS = Page(
    uid="scalechat-connections",
    title="Scale-Chat connections and storms",
    description="Who comes, who goes, who is turned away, and whether a crowd comes back too fast.",
    choices=choices_of("scalechat_build_info"),
    rows=[GLANCE, STORMS, DOOR, ROOM],
)
