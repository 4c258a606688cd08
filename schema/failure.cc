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

const char* charged_to(FailureClass cause) {
  switch (charge_of(cause)) {
    case Charge::kTask: return "the task (retry.failures)";
    case Charge::kInfrastructure: return "the infrastructure (retry.lost)";
    case Charge::kNobody: return "nobody";
  }
  return "unknown";
}

std::string what_follows(FailureClass cause, LogAction action) {
  if (action == LogAction::kStop) return "the task fails: no retry";
  std::string next = [&] {
    switch (cause) {
      case FailureClass::kUser: return "tried again from its last checkpoint after a pause";
      case FailureClass::kInvalid: return "the task fails: a retry gives the same answer";
      case FailureClass::kInfra: return "tried again from its last checkpoint, elsewhere if it can";
      case FailureClass::kData:
        return "what could not be read is asked for again, then tried again";
      case FailureClass::kMemory: return "tried again in the next of its fallbacks, else it fails";
      case FailureClass::kNode: return "the worker is quarantined, the task goes on elsewhere";
      case FailureClass::kStorage: return "the worker is quarantined, the task goes on elsewhere";
      case FailureClass::kScheduled: return "goes on from its last checkpoint";
    }
    return "unknown";
  }();
  if (action == LogAction::kAvoidWorker) next += "; it avoids this worker";
  if (action == LogAction::kQuarantineWorker && cause != FailureClass::kNode &&
      cause != FailureClass::kStorage)
    next += "; the worker is quarantined";
  return next;
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
