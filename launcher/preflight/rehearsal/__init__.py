"""The rehearsal: the launcher phase and a sample of the input, on a local Dataflow."""
