"""Log lines as JSON, one a line, with the request they belong to and no secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from models.context.request_id import request_id


class JsonLines(logging.Formatter):
    """One JSON object a record; line ends in a message are escaped, so that nobody forges a line (row 60)."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # A handler runs where the record is written: this is the request that wrote it, or whose mail is in hand.
        if name := request_id.get():
            line["request_id"] = name
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up() -> None:
    """Send every log record to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
