"""The command line, one file a command; imports every room but ``api``, and loads ``application`` on demand."""
