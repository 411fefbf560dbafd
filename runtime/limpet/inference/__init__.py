"""What stands between a conversation and a local model's tokens; nothing in here waits."""
