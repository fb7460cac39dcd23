"""What several commands need: JSON log lines, errors as one sentence, signals, progress."""
