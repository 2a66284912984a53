"""Proofs of the hardware: harnesses in Amaranth, solved by SymbiYosys. See docs/proofs.md."""
