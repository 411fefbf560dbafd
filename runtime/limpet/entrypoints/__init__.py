"""Where a program begins: each chooses a host, connects it to an agent, and carries the events out."""
