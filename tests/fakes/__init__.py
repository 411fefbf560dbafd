"""Small stand-ins for what a host brings, shared by the tests."""
