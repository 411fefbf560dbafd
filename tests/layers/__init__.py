"""Layers around models that are scripted; time is a fake clock."""
