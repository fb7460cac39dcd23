"""The context of a request: client, signed-in user, actor, records of the audit log. Imports responses."""
