"""What codes are good for, measured."""
