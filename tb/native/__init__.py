"""The Verilog as a shared library, called through ctypes."""
