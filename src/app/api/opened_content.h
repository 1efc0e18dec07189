// Answers with the content of a sealed file, opened by this node's key as the client takes it.
//
// The answer begins when the first chunk is authenticated, so that what is not for this node, or no sealed file at all, is a
// problem with a name. What is found wrong later cuts the connection: the client sees that the answer is not whole.
//
// Bounds: a leaf, a chunk or two and the open branches of the file's DAG are held.
#pragma once

#include "adapters/http/server.h"
#include "app/api/backend.h"

namespace mesh::app {

/// Whether the file `root` is here and begins as a sealed one. Reads the disk.
[[nodiscard]] bool begins_sealed(const store::BlockStore& blocks, const Cid& root);

/// On the runtime's thread. `backend` outlives the answer.
void answer_opened(Backend& backend, http::Responder responder, const Cid& root);

}  // namespace mesh::app
