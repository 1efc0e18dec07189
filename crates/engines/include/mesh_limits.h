/* A limiter for a wasmtime store that says what it refused. Plain C, never throws, never unwinds. */
#ifndef MESH_LIMITS_H
#define MESH_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wasmtime_store;

typedef struct mesh_limits {
  uint64_t memory_limit_bytes;   /* in: of all linear memories together */
  uint64_t table_limit_elements; /* in: of each table */
  uint64_t memory_bytes;         /* out: start at 0; the sum of the linear memories' sizes */
  bool refused;                  /* out: a growth (or a declared minimum) went past the limits */
  bool host_failed;              /* out: a growth was within the limits and the system could not give it */
} mesh_limits;

/* `limits` must outlive the store, and be left alone while the store runs code. */
void mesh_limit_store(struct wasmtime_store* store, mesh_limits* limits);

#ifdef __cplusplus
}
#endif
#endif
