"""Jobs: records, the Dataflow client, waiting, verifying what runs, and why a job failed."""
