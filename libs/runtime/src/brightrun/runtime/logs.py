"""Structured logs: one JSON object a line on standard output; a fact as `event`, ids as fields.

Logging never raises: what a full disk or a closed pipe does not take is lost and counted. Repeated warnings and errors
are throttled.
"""

import logging
import os
import sys
import threading
import time
from typing import Any, TextIO, cast

import structlog
from prometheus_client import Counter

THROTTLE_SECONDS = 60.0
THROTTLE_BURST = 5
"""Warnings and errors of one kind that are written within `THROTTLE_SECONDS`."""
MAX_KINDS = 1000

LOST = Counter("brightrun_log_lines_lost_total", "Log lines that standard output did not take.")
THROTTLED = Counter("brightrun_log_lines_throttled_total", "Repeated warnings and errors that were not written.")


class Output:
    """A file descriptor as the text file that loggers write to. A line is whole or lost; nothing raises."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._is_broken_line = False

    def write(self, text: str) -> int:
        """Write without a buffer. A line that was cut off is ended before the next begins."""
        with self._lock:
            rest = (b"\n" if self._is_broken_line else b"") + text.encode(errors="backslashreplace")
            try:
                while rest:
                    written = os.write(self._descriptor, rest)
                    self._is_broken_line = rest[written - 1 : written] != b"\n"
                    rest = rest[written:]
            except OSError:
                LOST.inc()
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered."""


class Throttle:
    """Lets `THROTTLE_BURST` lines of one kind pass in each `THROTTLE_SECONDS`, and counts the others."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], tuple[float, int]] = {}

    def admit(self, *kind: object) -> int | None:
        """How many lines of the kind were left out before this one; None when this one is left out too."""
        now = time.monotonic()
        began, count = self._kinds.get(kind, (now, 0))
        left_out = 0
        if now - began >= THROTTLE_SECONDS:
            left_out, began, count = max(count - THROTTLE_BURST, 0), now, 0
        if len(self._kinds) >= MAX_KINDS and kind not in self._kinds:
            self._kinds.clear()
        self._kinds[kind] = (began, count + 1)
        if count >= THROTTLE_BURST:
            THROTTLED.inc()
            return None
        return left_out

    def __call__(self, _: Any, method: str, event_dict: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """As a processor of structlog: the kind of a line is its event, with its loop or topic."""
        if method not in ("warning", "error", "exception"):
            return event_dict
        left_out = self.admit(event_dict.get("event"), event_dict.get("loop"), event_dict.get("topic"))
        if left_out is None:
            raise structlog.DropEvent
        if left_out:
            event_dict["repeats_left_out"] = left_out
        return event_dict

    def filter(self, record: logging.LogRecord) -> bool:
        """As a filter of the standard library: the kind of a line is its logger, and its text before formatting."""
        if record.levelno < logging.WARNING or record.levelno >= logging.CRITICAL:
            return True
        return self.admit(record.name, record.msg) is not None


def configure(service: str, level: str = "INFO") -> None:
    """Send this process's logs, the libraries' included, through one JSON renderer."""
    output, throttle = Output(sys.stdout.fileno()), Throttle()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_json = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[throttle, *shared, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", output)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(output)
    handler.addFilter(throttle)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_json],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("aiokafka", "httpx", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
