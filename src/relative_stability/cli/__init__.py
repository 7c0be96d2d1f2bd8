"""The verbs of the command `relative-stability`, a module each. They read options and print; others do the work."""
