"""Many sessions in one interpreter: what an idle one weighs, and whether running ones starve."""
