"""The static book."""
