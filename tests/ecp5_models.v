// Behaviour of the ECP5 primitives that hw/ instantiates, written from Lattice's usage guides
// (sysDSP: FPGA-TN-02205, memory: FPGA-TN-02204). Yosys ships them as black boxes without behaviour.
// Only the modes in use are modelled; any other stops the simulation.

module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0",
  parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0",
  parameter REG_PIPELINE_CLK = "NONE",
  parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0",
  parameter GSR = "ENABLED", SOURCEB_MODE = "B_SHIFT"
) (
  input CLK0, CE0, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
  input B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
  input C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
  output P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17,
  output P18, P19, P20, P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
  wire [17:0] a_pins = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b_pins = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  reg [18:0] a, b;  // one bit more: the sign, or a zero for unsigned operands
  reg [37:0] pipeline, product;
  wire signed [18:0] a_next = {SIGNEDA & A17, a_pins}, b_next = {SIGNEDB & B17, b_pins};
  wire signed [18:0] a_used = REG_INPUTA_CLK == "NONE" ? a_next : a;
  wire signed [18:0] b_used = REG_INPUTB_CLK == "NONE" ? b_next : b;
  wire [37:0] exact = {{19{a_used[18]}}, a_used} * {{19{b_used[18]}}, b_used};
  wire [37:0] exact_used = REG_PIPELINE_CLK == "NONE" ? exact : pipeline;
  always @(posedge CLK0) begin
    if (SOURCEA || SOURCEB) $fatal(1, "MULT18X18D: the shift chain is not modelled");
    if (CE0) begin
      a <= RST0 ? 19'd0 : a_next;
      b <= RST0 ? 19'd0 : b_next;
      pipeline <= RST0 ? 38'd0 : exact;
      product <= RST0 ? 38'd0 : exact_used;
    end
  end
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
          P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0}
       = REG_OUTPUT_CLK == "NONE" ? exact_used[35:0] : product[35:0];
endmodule

// Port A writes, port B reads, both at one width. A read of the word being written gives its
// complement here: the guide promises nothing, and nobody may rely on it.
module DP16KD #(
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG", GSR = "ENABLED"
) (
  input CLKA, CEA, WEA, OCEA, RSTA, CSA0, CSA1, CSA2, CLKB, CEB, WEB, OCEB, RSTB, CSB0, CSB1, CSB2,
  input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
  input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
  input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15,
  input DIA16, DIA17,
  input DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15,
  input DIB16, DIB17,
  output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15,
  output DOA16, DOA17,
  output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15,
  output DOB16, DOB17
);
  localparam W = DATA_WIDTH_A;
  localparam SKIP = W == 1 ? 0 : W == 2 ? 1 : W == 4 ? 2 : W == 9 ? 3 : W == 18 ? 4 : 5;
  reg [35:0] words [0:16383];
  reg [35:0] latch, out;
  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [35:0] di = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
                    DIB3, DIB2, DIB1, DIB0,
                    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
                    DIA3, DIA2, DIA1, DIA0};
  wire [3:0] bytes = W == 36 ? ada[3:0] : W == 18 ? {2'b00, ada[1:0]} : 4'b0001;
  wire [35:0] enabled = {{9{bytes[3]}}, {9{bytes[2]}}, {9{bytes[1]}}, {9{bytes[0]}}};
  wire write = WEA && CEA && !CSA0 && !CSA1 && !CSA2;
  always @(posedge CLKA) begin
    if (DATA_WIDTH_B != W || RSTA || RSTB || WEB || REGMODE_A != REGMODE_B) $fatal(1, "DP16KD: mode is not modelled");
    if (write) words[ada >> SKIP] <= di & enabled | words[ada >> SKIP] & ~enabled;
  end
  always @(posedge CLKB) begin
    if (CEB && !CSB0 && !CSB1 && !CSB2)
      latch <= write && ada >> SKIP == adb >> SKIP ? ~words[adb >> SKIP] : words[adb >> SKIP];
    if (OCEB && OCEA) out <= latch;
  end
  wire [35:0] data = REGMODE_B == "OUTREG" ? out : latch;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
          DOA3, DOA2, DOA1, DOA0} = W == 36 ? data[17:0] : 18'd0;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
          DOB3, DOB2, DOB1, DOB0} = W == 36 ? data[35:18] : data[17:0];
endmodule
