// Behaviour of the Nexus block RAM that hw/block_ram.py instantiates, written from Lattice's guide (FPGA-TN-02094). Yosys
// ships it as a black box without behaviour. Only the modes in use are modelled; any other stops the simulation.

// Both ports at one width. A read of the word being written gives its complement: nobody may rely on it.
module PDPSC16K #(
  parameter DATA_WIDTH_W = "X36", DATA_WIDTH_R = "X36", OUTREG = "BYPASSED", RESETMODE = "SYNC",
  parameter ASYNC_RST_RELEASE = "SYNC", CSDECODE_W = "000", CSDECODE_R = "000", ECC = "DISABLED", GSR = "ENABLED"
) (
  input [35:0] DI, input [13:0] ADW, ADR, input CLK, CER, CEW, input [2:0] CSW, CSR, input RST,
  output [35:0] DO, output ONEBITERR, TWOBITERR
);
  localparam SKIP = DATA_WIDTH_W == "X1" ? 0 : DATA_WIDTH_W == "X2" ? 1 : DATA_WIDTH_W == "X4" ? 2
                  : DATA_WIDTH_W == "X9" ? 3 : DATA_WIDTH_W == "X18" ? 4 : 5;
  reg [35:0] words [0:16383];
  reg [35:0] latch, out;
  wire [3:0] bytes = SKIP == 5 ? ADW[3:0] : SKIP == 4 ? {2'b00, ADW[1:0]} : 4'b0001;
  wire [35:0] enabled = {{9{bytes[3]}}, {9{bytes[2]}}, {9{bytes[1]}}, {9{bytes[0]}}};
  wire write = CEW && CSW == 3'b111;
  always @(posedge CLK) begin
    if (DATA_WIDTH_R != DATA_WIDTH_W || RST || OUTREG != "USED" || CSDECODE_W != "111" || CSDECODE_R != "111")
      $fatal(1, "PDPSC16K: mode is not modelled");
    if (write) words[ADW >> SKIP] <= DI & enabled | words[ADW >> SKIP] & ~enabled;
    if (CER && CSR == 3'b111) begin
      latch <= write && ADW >> SKIP == ADR >> SKIP ? ~words[ADR >> SKIP] : words[ADR >> SKIP];
      out <= latch;
    end
  end
  assign DO = out;
endmodule
