"""The model folder: written, verified, loaded."""
