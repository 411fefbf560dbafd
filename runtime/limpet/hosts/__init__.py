"""Where Limpet runs: one file a host, each building the `Host` that the core is given."""
