"""Requests and responses of /admin, and the lines of a user import.

Imports context, requests, responses and values.
"""
