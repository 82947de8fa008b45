"""The parts of a Flex Template besides its image: metadata and container spec."""
