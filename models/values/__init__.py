"""Values with a meaning: an e-mail address, a login, a rate, a permission, the flows as data. Imports no other wing."""
