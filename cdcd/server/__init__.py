"""The process around instances: signals, /status and /metrics."""
