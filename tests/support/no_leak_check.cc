// Linked into strata-guard where the address sanitizer is on. The search for leaks stops a process
// by SIGSTOP at its end; a worker that lets its guards go sends each a SIGCONT just then, which
// takes that SIGSTOP away, and both wait for ever.

extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
