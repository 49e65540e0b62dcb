#include <fmt/format.h>

#include "entries.h"
#include "probes.h"

namespace qnext::workbench {

// How much of the read rate a kernel can reach that only reads: launch and first loads cost the same microseconds
// whatever the size.
void MeasureReadRate(Workbench& bench) {
  for (const int64_t kib : {1056, 2112, 6336, 12288, 25344, 51200}) {
    const std::string name = fmt::format("read/{}KiB", kib);
    if (!bench.Wanted(name)) continue;
    const Ring ring = bench.MakeRing(kib << 10);
    uint32_t* sink = bench.Zeros<uint32_t>(1);
    bench.Measure({.name = name, .bytes = kib << 10, .launches = ring.turns}, [&](int64_t turn, cuda::Stream stream) {
      return LaunchRead(ring.at(turn), kib << 10, sink, stream);
    });
    bench.Release();
  }
}

}  // namespace qnext::workbench
