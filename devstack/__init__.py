"""The embedded stack of real servers: PostgreSQL, Valkey and a mailbox, for `make run`, the tests and the bench."""
