"""Dashboards, and a way to draw them where there is no Grafana."""
