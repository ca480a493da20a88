"""Digging: what the units of a layer do before, during and after a moment."""
