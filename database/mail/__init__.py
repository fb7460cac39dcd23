"""The outbox: jobs that wait, the view of administrators, and the listener that wakes the workers. Imports models."""
