"""An agent behind HTTP, without a server: requests as values in, replies as values and streams out.

The entry point of a host reads the request and sends the reply; what is in between is here, and runs on every host.
"""
