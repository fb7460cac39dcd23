"""The command line, one file a command; imports every package but ``api``, and loads ``application`` on demand."""
