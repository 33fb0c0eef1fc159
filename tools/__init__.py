"""The commands: `python -m tools` in a checkout, `keras-vae` when installed."""
