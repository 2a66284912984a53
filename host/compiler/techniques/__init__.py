"""Training shortcuts as commands: for each policy of :mod:`golden.techniques` what it changes in a step's program."""
