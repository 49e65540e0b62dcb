#include "kernels/reference/kv_row.h"
#include "kernels/reference/reference.h"

namespace qnext::reference {

void KvAppend(const KvAppendArgs& args, Range tokens) {
  const int64_t heads = args.layout.kv_heads, size = args.layout.head_dim;
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const int64_t position = args.start + t;
    std::byte* page = args.pages[position / kKvPageTokens];
    const int64_t slot = position % kKvPageTokens;
    for (int64_t h = 0; h < heads; ++h) {
      StoreKvRow(args.k + (t * heads + h) * size, args.layout, h, slot, /*values=*/false, page);
      StoreKvRow(args.v + (t * heads + h) * size, args.layout, h, slot, /*values=*/true, page);
    }
  }
}

}  // namespace qnext::reference
