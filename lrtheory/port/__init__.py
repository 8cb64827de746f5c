"""An optimizer moved to another framework: its configuration as code, and its state in mid-run."""
