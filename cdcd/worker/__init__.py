"""One instance: taking it over, the hot loop from source to sink, and what becomes of errors. wiring.py puts it together."""
