"""Rate limits, counted code attempts, code lengths, known devices, mail limits. Imports no other wing."""
