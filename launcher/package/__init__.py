"""What a Flex Template consists of besides its image: metadata and container spec."""
