"""The verbs of `cdcctl`, one file each for those that belong together."""
