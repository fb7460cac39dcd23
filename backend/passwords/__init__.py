"""The password policy, and hashes, our own and imported ones, computed in a bounded pool. Imports no other wing."""
