"""The smallest agent that answers without a network: the local model of a few kilobytes, and one tool."""

from limpet import Agent, tool


@tool
def set_timer(minutes: int) -> str:
    """Set a kitchen timer.

    Args:
        minutes: How long, in minutes.
    """
    return f"timer set for {minutes} minutes"


agent = Agent(name="kitchen timer", model="local:needle", tools=[set_timer])
