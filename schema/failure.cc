#include "schema/failure.h"

namespace strata {

Charge charge_of(FailureClass cause) {
  switch (cause) {
    case FailureClass::kUser: return Charge::kTask;
    case FailureClass::kInvalid: return Charge::kTask;
    case FailureClass::kMemory: return Charge::kTask;
    case FailureClass::kInfra: return Charge::kInfrastructure;
    case FailureClass::kData: return Charge::kInfrastructure;
    case FailureClass::kNode: return Charge::kInfrastructure;
    case FailureClass::kStorage: return Charge::kInfrastructure;
    case FailureClass::kScheduled: return Charge::kNobody;
  }
  return Charge::kTask;
}

const char* name_of(FailureClass cause) {
  switch (cause) {
    case FailureClass::kUser: return "user";
    case FailureClass::kInvalid: return "invalid";
    case FailureClass::kInfra: return "infra";
    case FailureClass::kData: return "data";
    case FailureClass::kMemory: return "memory";
    case FailureClass::kNode: return "node";
    case FailureClass::kStorage: return "storage";
    case FailureClass::kScheduled: return "scheduled";
  }
  return "unknown";
}

const char* name_of(LogAction action) {
  switch (action) {
    case LogAction::kNone: return "none";
    case LogAction::kStop: return "stop";
    case LogAction::kAvoidWorker: return "avoid-worker";
    case LogAction::kQuarantineWorker: return "quarantine-worker";
  }
  return "unknown";
}

const char* name_of(StopKind kind) {
  switch (kind) {
    case StopKind::kHold: return "hold";
    case StopKind::kPreempt: return "preempt";
    case StopKind::kCancel: return "cancel";
  }
  return "unknown";
}

}  // namespace strata
