"""The commands `cdcd` and `cdcctl`: parse, call, print. No logic."""
