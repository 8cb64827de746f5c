"""Claims people make, decided: in the order of the questions they answer."""

PARTS = ("loss", "steps", "multipliers")
