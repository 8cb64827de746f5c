"""Units read from the code of a torch optimizer."""
