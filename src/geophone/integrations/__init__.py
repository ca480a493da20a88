"""Callbacks for training frameworks; each imports its guest when it is used."""
