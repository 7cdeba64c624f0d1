// Where a function's registers lie in a frame.
#pragma once
#include "code.h"

namespace sim {

struct RegisterMap {
  std::vector<Slot> slots;  // of each register of the text
  uint32_t bytes = 0;       // of the frame
  uint32_t words = 0;       // 32-bit registers live at once, at most: an estimate of what ptxas will need
  bool reads_unset = false;
};
// Which registers an instruction reads and writes; those it may leave as they are it reads, too.
struct Uses {
  std::vector<uint32_t> read, written;
};
Uses uses_of(const ptx::Instruction&);
RegisterMap place_registers(const ptx::Function&);

}  // namespace sim
