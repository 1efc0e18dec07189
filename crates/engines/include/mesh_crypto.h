/* SHA-256 and Ed25519 (ZIP-215) from the Rust engines. Plain C, never throws, never unwinds.
 * Callers in src/ use codec/hash.h and codec/ed25519.h; nothing else includes this. */
#ifndef MESH_CRYPTO_H
#define MESH_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void mesh_sha256(const uint8_t* bytes, size_t length, uint8_t out[32]);

/* Incremental: new, update..., then finish (which frees) or free. */
typedef struct mesh_sha256_state mesh_sha256_state;
mesh_sha256_state* mesh_sha256_new(void);
void mesh_sha256_update(mesh_sha256_state* state, const uint8_t* bytes, size_t length);
void mesh_sha256_finish(mesh_sha256_state* state, uint8_t out[32]);
void mesh_sha256_free(mesh_sha256_state* state);

void mesh_ed25519_public(const uint8_t seed[32], uint8_t out[32]);
void mesh_ed25519_sign(const uint8_t seed[32], const uint8_t* message, size_t length, uint8_t out[64]);
/* ZIP-215 verification; false also for a key or signature that does not decode. */
bool mesh_ed25519_verify(const uint8_t key[32], const uint8_t* message, size_t length, const uint8_t signature[64]);
/* Whether mesh_ed25519_verify holds for each of them, by one equation for all. */
struct mesh_signed_message {
  const uint8_t* key;
  const uint8_t* message;
  size_t length;
  const uint8_t* signature;
};
bool mesh_ed25519_verify_all(const struct mesh_signed_message* items, size_t count);
/* Whether the key decodes to a point that is not of small order. */
bool mesh_ed25519_can_be_identity(const uint8_t key[32]);
bool mesh_ed25519_is_small_order(const uint8_t key[32]);

#ifdef __cplusplus
}
#endif
#endif
