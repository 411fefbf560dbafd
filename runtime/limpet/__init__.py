"""Limpet: a Python agent runtime that lives at the edge of things."""
