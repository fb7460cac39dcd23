"""Validated values: e-mail address, login, rate, permission, the flows as data. Imports no other wing."""
