"""The password policy, and password hashes, ours and imported ones, computed in a bounded pool. Imports no wing."""
