"""What goes with a machine's Verilog into somebody else's system: bus wrapper, descriptions, projects, driver."""
