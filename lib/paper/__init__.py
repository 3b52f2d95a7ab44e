"""The paper's own measurements and settings."""
