"""Tests of what stands between a conversation and a local model's tokens."""
