"""Where bytes are kept: one file a store, each a `host.Storage`."""
