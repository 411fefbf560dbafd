"""What the loop costs: a turn with two tool calls, a switch of tasks, a streamed token from the wire to the page."""
