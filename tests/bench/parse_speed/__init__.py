"""What reading a streamed answer costs, beside the official SDKs and litellm; see `__main__.py`."""
