"""A launch, written for another tool: one module for each."""
