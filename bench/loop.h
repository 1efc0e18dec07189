// Commands of mesh_bench that run one module as bench/run.py asks: what the same shards cost without a mesh.
#pragma once

#include <span>

namespace mesh::bench {

/// `loop MODULE JOBS THREADS PREFIX`: JOBS runs of a `call` module (binary or text) through the sandbox on that many
/// threads, many a submission; the input of run k is PREFIX followed by k. Prints one JSON object: seconds, those of CPU
/// time of all threads together, and the first output in hexadecimal. Returns the exit code; 1 with words on stderr if a run fails, 2 for words that it does not know.
[[nodiscard]] int loop_main(std::span<char* const> words);

/// `compile MODULE FILE`: compiled code for `shard`. `shard FILE INPUT OUTPUT`: one process for one run of a `call` module
/// in bare wasmtime, unmetered, which leaves its output in a file: what a system that starts a process for each task runs.
/// Both return the exit code, as above.
[[nodiscard]] int compile_main(std::span<char* const> words);
[[nodiscard]] int shard_main(std::span<char* const> words);

}  // namespace mesh::bench
