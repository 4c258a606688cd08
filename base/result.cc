#include "base/result.h"

namespace strata {

const char* name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid: return "invalid";
    case ErrorCode::kNotFound: return "not found";
    case ErrorCode::kConflict: return "conflict";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kDamaged: return "damaged";
    case ErrorCode::kTooLarge: return "too large";
    case ErrorCode::kInternal: return "internal";
  }
  return "unknown";
}

}  // namespace strata
