/* WebAssembly components and the typed surface of WASI 0.2 that they import, which wasmtime offers in Rust alone. What the
 * calls mean is the caller's: every question goes through mesh_wasi_host. Plain C, never throws, never unwinds. */
#ifndef MESH_COMPONENT_H
#define MESH_COMPONENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct wasm_engine_t;
struct wasmtime_store;
struct wasmtime_error;

typedef struct mesh_slice {
  const uint8_t* data; /* may be null where size is 0 */
  size_t size;
} mesh_slice;

/* A file or folder of the guest's tree; the host alone knows what it means. */
typedef struct mesh_place {
  const void* node;
  bool in_program;
} mesh_place;

typedef struct mesh_stat {
  bool is_folder;
  uint64_t size, device, inode;
} mesh_stat;

/* What answers the guest's calls. `run` is what mesh_wasi_new was given. A function that answers bool says with false that
 * the run is over; the guest is then ended and nothing else is asked. Slices stay as they are until the run is over. */
typedef struct mesh_wasi_host {
  bool (*charge)(void* run, uint64_t units);
  uint64_t (*now)(void* run); /* ns since the start of the run */
  void (*sleep)(void* run, uint64_t ns);
  bool (*random)(void* run, uint8_t* at, size_t size);
  bool (*read_input)(void* run, uint64_t position, uint64_t size, mesh_slice* out); /* empty at the end */
  bool (*write)(void* run, bool to_log, mesh_slice bytes);
  void (*exit)(void* run, uint32_t code);
  uint32_t (*open)(void* run, const mesh_place* folder, mesh_slice path, mesh_place* out); /* an errno of preview 1 */
  void (*stat)(void* run, const mesh_place* place, mesh_stat* out);
  bool (*read_file)(void* run, const mesh_place* place, uint64_t position, uint64_t size, mesh_slice* out);
  bool (*list)(void* run, const mesh_place* folder, void* to,
               void (*entry)(void* to, mesh_slice name, const mesh_place* place)); /* in byte order of names */
  size_t (*text_count)(void* run, bool environment); /* of arguments, or of NAME=value */
  mesh_slice (*text)(void* run, bool environment, size_t index); /* UTF-8 */
} mesh_wasi_host;

/* The handles of one run; the data of its store. */
typedef struct mesh_wasi mesh_wasi_t;
mesh_wasi_t* mesh_wasi_new(const mesh_wasi_host* host, void* run, uint32_t open_files, uint64_t epoch_seconds);
void mesh_wasi_delete(mesh_wasi_t* wasi);

/* Whether the bytes are a component that every engine of this configuration takes: null, or why not (for the guest's
 * author; the same on every machine). Reads everything, compiles nothing. */
char* mesh_component_check(mesh_slice component);
/* Compiled code, to be freed with mesh_bytes_delete; or an error. */
struct wasmtime_error* mesh_component_compile(const struct wasm_engine_t* engine, mesh_slice component,
                                              mesh_slice* code);
/* Whether compiled code is of a component or of a module. */
bool mesh_is_component_code(mesh_slice code);
void mesh_bytes_delete(mesh_slice bytes);
void mesh_text_delete(char* text);

/* Compiled code, linked. */
typedef struct mesh_component mesh_component_t;
/* `refusal` (to be freed) is set, and *out null, if the component can never run here; an error is this machine's. The code
 * must be what mesh_component_compile made: it is trusted. */
struct wasmtime_error* mesh_component_load(const struct wasm_engine_t* engine, mesh_slice code, mesh_component_t** out,
                                           char** refusal);
void mesh_component_delete(mesh_component_t* component);

/* Instantiates and finds the entry; the store's data must be a mesh_wasi_t, and outlive the store. */
struct wasmtime_error* mesh_component_instantiate(const mesh_component_t* component, struct wasmtime_store* store);
/* Calls the entry of what was instantiated last; *code is the exit code. */
struct wasmtime_error* mesh_component_run(const mesh_component_t* component, struct wasmtime_store* store,
                                          uint32_t* code);
/* Whether the error is a trap, and which: a wasmtime_trap_code_t. */
bool mesh_error_trap_code(const struct wasmtime_error* error, uint8_t* code);

#ifdef __cplusplus
}
#endif
#endif
