"""One family of FPGAs and its parts a file; :mod:`synth.targets` finds them by itself."""
