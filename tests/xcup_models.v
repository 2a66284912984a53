// Behaviour of DSP48E2 as hw/dsp.py instantiates it, written from AMD's user guide UG579. Yosys ships it as a black box
// without behaviour, and models its forerunner DSP48E1. Only the modes in use are modelled; any other stops the simulation.

module DSP48E2 #(
  parameter AREG = 1, BREG = 1, ACASCREG = 1, BCASCREG = 1, MREG = 1, PREG = 1, ADREG = 1, ALUMODEREG = 1, CREG = 1,
  parameter CARRYINREG = 1, CARRYINSELREG = 1, DREG = 1, INMODEREG = 1, OPMODEREG = 1,
  parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
  parameter A_INPUT = "DIRECT", B_INPUT = "DIRECT"
) (
  input [29:0] A, ACIN, input [17:0] B, BCIN, input [47:0] C, PCIN, input [26:0] D, input [3:0] ALUMODE,
  input [4:0] INMODE, input [8:0] OPMODE, input [2:0] CARRYINSEL, input CARRYIN, CARRYCASCIN, MULTSIGNIN, CLK,
  input CEA1, CEA2, CEB1, CEB2, CEM, CEP, CEAD, CEALUMODE, CEC, CECARRYIN, CECTRL, CED, CEINMODE,
  input RSTA, RSTB, RSTM, RSTP, RSTALLCARRYIN, RSTALUMODE, RSTC, RSTCTRL, RSTD, RSTINMODE,
  output reg [47:0] P
);
  reg signed [26:0] a;
  reg signed [17:0] b;
  reg signed [44:0] m;
  wire signed [44:0] product = a * b, used = MREG ? m : product;
  // The two partial products of the multiplier come through X and Y together.
  wire [47:0] xy = OPMODE[3:0] == 4'b0101 ? {{3{used[44]}}, used} : 48'd0;
  wire [47:0] z = OPMODE[6:4] == 3'b010 ? P : 48'd0;
  always @(posedge CLK) begin
    if (AREG != 1 || BREG != 1 || PREG != 1 || INMODEREG || OPMODEREG || ALUMODEREG || CARRYINSELREG || CARRYINREG)
      $fatal(1, "DSP48E2: registers are not modelled");
    if (ALUMODE || INMODE || CARRYINSEL || CARRYIN || OPMODE[8:7] || !(OPMODE[3:0] inside {4'b0101, 4'b0000})
        || !(OPMODE[6:4] inside {3'b010, 3'b000}))
      $fatal(1, "DSP48E2: mode is not modelled");
    if (RSTA) a <= 0; else if (CEA2) a <= A[26:0];
    if (RSTB) b <= 0; else if (CEB2) b <= B;
    if (RSTM) m <= 0; else if (CEM) m <= product;
    if (RSTP) P <= 0; else if (CEP) P <= xy + z;
  end
endmodule
