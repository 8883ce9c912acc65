"""Every knob, once: its name, type, default, unit, help text and what it accepts.

A field's annotation is read by the command line (``cli.py``): ``queue_age_s`` named "queue-age" becomes the flag
``--queue-age``, the variable ``SCALECHAT_QUEUE_AGE`` and the TOML key ``queue_age``. A field with ``repr=False`` is a
secret. Values are checked where they come from outside; code that builds a config itself is trusted.
"""

from scalechat.config.capacity import CapacityConfig
from scalechat.config.errors import OperationalError, ScaleChatError, UsageError, told_to_the_user
from scalechat.config.load import LoadConfig
from scalechat.config.others import ChatConfig, CompareConfig, DemoConfig, ExperimentConfig, ReportConfig
from scalechat.config.public import SECRETS, PlainValue, public_values
from scalechat.config.serve import ServeConfig
from scalechat.config.shared import Arrivals, Fanout, HeartbeatPhase, LogFormat, LogLevel, SlowConsumer, Target, Vary

__all__ = [
    "SECRETS",
    "Arrivals",
    "CapacityConfig",
    "ChatConfig",
    "CompareConfig",
    "DemoConfig",
    "ExperimentConfig",
    "Fanout",
    "HeartbeatPhase",
    "LoadConfig",
    "LogFormat",
    "LogLevel",
    "OperationalError",
    "PlainValue",
    "ReportConfig",
    "ScaleChatError",
    "ServeConfig",
    "SlowConsumer",
    "Target",
    "UsageError",
    "Vary",
    "public_values",
    "told_to_the_user",
]
