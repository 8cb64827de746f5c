"""Units with unknowns, the equations between them, and their solution: nothing here knows what program they come from."""
