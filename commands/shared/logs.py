"""Log records as JSON, one a line, with the id of the request that they belong to."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from models.context.request_id import request_id


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object; escaped line ends keep a client from forging a line (row 60)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # A handler runs in the context of the record: this is its request, or the request of the mail being sent.
        if id_ := request_id.get():
            line["request_id"] = id_
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up() -> None:
    """Send every log record to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
