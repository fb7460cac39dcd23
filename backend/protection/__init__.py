"""Limits what attackers can do: rate limits, code attempts, code lengths, known devices, mails. Imports no wing."""
