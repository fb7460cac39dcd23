"""What tests stand on: the real service beside its real servers, and people who use it."""
