"""The outbox of mails: jobs that wait, what an administrator sees of them, and the listener that wakes the workers.

It imports `database` and `models` alone.
"""
