"""What the READMEs take from elsewhere."""
