// Settings that every program of ours which uses torch makes once, first thing in main().
#pragma once

#include "base/result.h"

namespace strata {

// `threads` intra-op threads (default one a rank: two spinning threads on two shared cores cost up
// to eight times), one inter-op thread, denormals flushed, deterministic algorithms. kUnsupported
// where the loaded library has another version than the one compiled against.
Status set_up_torch(int threads);

}  // namespace strata
