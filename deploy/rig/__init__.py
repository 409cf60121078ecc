"""The proving equipment: load, truth, topic reader, checks, worker processes and whole fleets.

It lies beside `deploy/stack` because three users share it (tests/chaos, tests/bench and deploy/demo) and tests may lean
on deploy while deploy never leans on tests. Nothing here imports `cdcd`: what judges the daemon shares no code with it.
"""
