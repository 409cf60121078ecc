"""How `cdcd.fleet.plan` decides: pure functions of what the scheduler has read."""
