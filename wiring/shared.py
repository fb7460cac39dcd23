"""What services and the mail worker share: each part is built once in a process."""

from __future__ import annotations

from backend.counters import Counters
from backend.derived_keys import Keys
from backend.mail.enqueue import MailQueue
from backend.protection.mail_limits import MailLimits
from config import Settings
from database.engine import Database
from redis_tools.flow_store import FlowStore
from redis_tools.pipeline import Valkey
from redis_tools.thermostat import thermostats


class Shared:
    """The settings, the connections, and every part that has more than one user."""

    def __init__(self, settings: Settings, database: Database, valkey: Valkey) -> None:
        self.settings = settings
        self.database = database
        self.valkey = valkey
        self.keys = Keys(settings.secrets)
        self.counters = Counters(valkey)
        self.flow_store = FlowStore(valkey)
        self.thermostats = thermostats(settings.thermostat, settings.rungs(device=False))
        self.mail_limits = MailLimits(settings.limit.mails, settings.limit.device_mails)
        self.mail_queue = MailQueue(database, has_local_worker=settings.mail.worker)
