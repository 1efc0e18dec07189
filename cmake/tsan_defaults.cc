// What the thread sanitizer of our test programs does where TSAN_OPTIONS says nothing. It is part of the programs, because
// the process that compiles modules is started without any environment.

extern "C" const char* __tsan_default_suppressions();  // NOLINT: the sanitizer's names
extern "C" const char* __tsan_default_options();  // NOLINT

/// What is reported although it is in order; each line with its reason.
const char* __tsan_default_suppressions() {
  return
      // Rust orders its threads with atomics and futexes of its own, which the sanitizer does not see, while it does see
      // their malloc, free and memcpy: every vector that wasmtime's compiler hands from thread to thread would be a race.
      // Locks and descriptors still count, and so does everything that our own code does with what it gets from there.
      "called_from_lib:libmesh_engines.so\n";
}

const char* __tsan_default_options() {
  // Without the second's wait at each exit, which is for races with what ends the process: hundreds of tests end one each.
  // And without the reports of malloc in a signal handler: a guest's trap is a signal, whose handler wasmtime leaves for
  // good by changing the context that it returns to, so that for the sanitizer it never ends. These programs have no other.
  return "second_deadlock_stack=1:atexit_sleep_ms=50:report_signal_unsafe=0";
}
