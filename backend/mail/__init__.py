"""The outbox worker, the mails with a code, the notices, SMTP. Imports protection."""
