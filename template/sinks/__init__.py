"""Predictions and dead letters as files and as Pub/Sub messages."""
