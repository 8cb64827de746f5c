"""Reading a SPEC: text in, one of our rules with its numbers out, and code back in the framework of the SPEC."""
