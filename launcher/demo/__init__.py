"""What ``make demo`` and ``make demo-streaming`` run."""
