"""What a model's class declares: the images, columns and options that it needs."""
