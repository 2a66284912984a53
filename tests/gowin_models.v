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

// Port A writes, port B reads, both at one width. A read of the word being written gives its complement: nobody may
// rely on it.
module SDPB #(
  parameter READ_MODE = 1'b0, BIT_WIDTH_0 = 32, BIT_WIDTH_1 = 32, BLK_SEL_0 = 3'b000, BLK_SEL_1 = 3'b000,
  parameter RESET_MODE = "SYNC"
) (
  input CLKA, CEA, CLKB, CEB, OCE, RESETA, RESETB, input [13:0] ADA, ADB, input [31:0] DI,
  input [2:0] BLKSELA, BLKSELB, output [31:0] DO
);
  localparam SKIP = $clog2(BIT_WIDTH_0);
  reg [31:0] words [0:16383];
  reg [31:0] latch, out;
  always @(posedge CLKA) begin
    if (BIT_WIDTH_0 != BIT_WIDTH_1 || BIT_WIDTH_0 > 8 || !READ_MODE || RESETA || RESETB || BLKSELA != BLK_SEL_0
        || BLKSELB != BLK_SEL_1) $fatal(1, "SDPB: mode is not modelled");
    if (CEA) words[ADA >> SKIP] <= DI;
  end
  always @(posedge CLKB) begin
    if (CEB) latch <= CEA && ADA >> SKIP == ADB >> SKIP ? ~words[ADB >> SKIP] : words[ADB >> SKIP];
    if (OCE) out <= latch;
  end
  assign DO = out;
endmodule

module SDPX9B #(
  parameter READ_MODE = 1'b0, BIT_WIDTH_0 = 36, BIT_WIDTH_1 = 36, BLK_SEL_0 = 3'b000, BLK_SEL_1 = 3'b000,
  parameter RESET_MODE = "SYNC"
) (
  input CLKA, CEA, CLKB, CEB, OCE, RESETA, RESETB, input [13:0] ADA, ADB, input [35:0] DI,
  input [2:0] BLKSELA, BLKSELB, output [35:0] DO
);
  localparam SKIP = BIT_WIDTH_0 == 9 ? 3 : BIT_WIDTH_0 == 18 ? 4 : 5;
  reg [35:0] words [0:2047];
  reg [35:0] latch, out;
  wire [3:0] bytes = SKIP == 5 ? ADA[3:0] : SKIP == 4 ? {2'b00, ADA[1:0]} : 4'b0001;
  wire [35:0] enabled = {{9{bytes[3]}}, {9{bytes[2]}}, {9{bytes[1]}}, {9{bytes[0]}}};
  always @(posedge CLKA) begin
    if (BIT_WIDTH_0 != BIT_WIDTH_1 || BIT_WIDTH_0 % 9 || !READ_MODE || RESETA || RESETB || BLKSELA != BLK_SEL_0
        || BLKSELB != BLK_SEL_1) $fatal(1, "SDPX9B: mode is not modelled");
    if (CEA) words[ADA >> SKIP] <= DI & enabled | words[ADA >> SKIP] & ~enabled;
  end
  always @(posedge CLKB) begin
    if (CEB) latch <= CEA && ADA >> SKIP == ADB >> SKIP ? ~words[ADB >> SKIP] : words[ADB >> SKIP];
    if (OCE) out <= latch;
  end
  assign DO = out;
endmodule
