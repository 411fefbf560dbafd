"""What is measured, never judged."""
