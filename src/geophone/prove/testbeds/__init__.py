"""The testbeds, a module each."""
