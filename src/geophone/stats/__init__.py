"""Resampling, effect sizes and tests: arrays in, records out."""
