"""Valkey: open flows, rate limits, the thermostat, rescue codes, counters and the user cache. Imports models."""
