"""The same runs in other frameworks, and what differs: evidence for what lrtheory states."""
