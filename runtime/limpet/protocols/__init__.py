"""How providers are spoken with: one file a wire format, bytes in and values out. Nothing here waits."""
