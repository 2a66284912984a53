// Behaviour of the Gowin primitives that hw/ instantiates, written from Gowin's guides
// (DSP: UG287, memory: UG285). Yosys ships them as black boxes without behaviour.
// Only the modes in use are modelled; any other stops the simulation.

module MULT18X18 #(
  parameter AREG = 1'b0, BREG = 1'b0, OUT_REG = 1'b0, PIPE_REG = 1'b0, ASIGN_REG = 1'b0, BSIGN_REG = 1'b0,
  parameter SOA_REG = 1'b0, MULT_RESET_MODE = "SYNC"
) (
  input [17:0] A, SIA, B, SIB, input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
  output [35:0] DOUT, output [17:0] SOA, SOB
);
  reg signed [18:0] a, b;  // one bit more: the sign, or a zero for unsigned operands
  reg signed [37:0] product;
  wire signed [18:0] a_next = {ASIGN & A[17], A}, b_next = {BSIGN & B[17], B};
  wire signed [18:0] a_used = AREG ? a : a_next, b_used = BREG ? b : b_next;
  wire signed [37:0] exact = a_used * b_used;
  always @(posedge CLK) begin
    if (ASEL || BSEL || PIPE_REG || ASIGN_REG || BSIGN_REG) $fatal(1, "MULT18X18: mode is not modelled");
    if (RESET) begin
      a <= 0; b <= 0; product <= 0;
    end else if (CE) begin
      a <= a_next; b <= b_next; product <= exact;
    end
  end
  assign DOUT = OUT_REG ? product[35:0] : exact[35:0];
  assign {SOA, SOB} = 36'd0;
endmodule
