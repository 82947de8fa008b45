"""What a Flex Template is made of beside its image: metadata and container spec."""
