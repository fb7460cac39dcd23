"""Limits on attackers: rates, code attempts, code lengths, known devices, mails. Imports no other wing."""
