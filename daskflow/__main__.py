"""``python -m daskflow`` is the command line."""

from daskflow.cli import main

if __name__ == "__main__":
    main()
