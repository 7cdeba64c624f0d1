// A step recorded once, to be issued again as one entry of the stream: commands with their addresses, and the memory
// that those addresses need. On CUDA it becomes a graph: the same commands between begin and end of a stream capture,
// the same arena as the graph's memory pool.
#pragma once
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "allocator.h"
#include "command.h"

namespace shakti {

// Where the random numbers of a thread stand (ops/random).
struct RandomState {
  double seed_lo = 0, seed_hi = 0, offset = 0;
};

struct Capture {
  // A command that draws: its attributes from `at` on are seed_lo, seed_hi, offset. A replay draws on from where the
  // random numbers stand then, as the step itself would.
  struct Draw {
    double* at;
    double distance;  // of its offset from that of `start`
  };

  std::vector<Command::Ptr> commands;
  double nanoseconds = 0;  // estimated, of all of them
  RandomState start;
  std::vector<Draw> draws;
  double farthest = 0;  // of the draws
  double begun = 0;     // the offset that the draws were last set to go on from

  // What the storages made inside have in common.
  struct Origin {
    // Captures may share one: each then takes for its temporaries what those of the others have left free.
    std::shared_ptr<Allocator::Arena> arena;
    bool filled = false;  // a replay has been issued
  };
  std::shared_ptr<Origin> origin = std::make_shared<Origin>();
  uint64_t bytes = 0;  // that it added to the arena

  // What a device made of the commands: a CUDA graph.
  std::shared_ptr<void> made;
  bool seen = false;  // replayed once already

  // Storages from outside that the commands use, by index: each counts this capture among its pins.
  std::unordered_set<uint32_t> pinned;

  // On the thread that runs commands, before they run.
  void draw_from(const RandomState& now) {
    begun = now.offset;
    for (const Draw& d : draws) {
      d.at[0] = now.seed_lo;
      d.at[1] = now.seed_hi;
      d.at[2] = now.offset + d.distance;
    }
  }
};

}  // namespace shakti
