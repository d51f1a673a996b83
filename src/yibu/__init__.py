"""yibu (一步, "one step"): from raw domain data and a base model to a tuned, measured model under control."""

__version__ = "0.1.0"
