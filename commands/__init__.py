"""The command line, a door like the API; one file a command."""
