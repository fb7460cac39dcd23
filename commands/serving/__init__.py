"""How requests are served: a listening socket, one server in each process, a supervisor of several processes."""
