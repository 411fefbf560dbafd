"""The core's tests again, in hosts other than CPython."""
