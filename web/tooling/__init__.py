"""What `build.py` runs once its virtual environment stands: steps, site, server, generator.

`build.py` itself needs nothing but a bare Python; this package may use what `pyproject.toml` pins in its `dev` extra.
"""
