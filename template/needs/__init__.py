"""What a model declares where it is defined: the images, the columns and the options it needs."""
