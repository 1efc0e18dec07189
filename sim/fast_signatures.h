// Signatures for a simulated hour of a thousand nodes: on demand a keyed hash takes the place of Ed25519, in this process
// and for all of it. Whoever knows a key can then sign for it, so nothing that is run so says anything about forgers.
//
// Linked into mesh_sim alone: its definitions are found before codec's, which nothing else then needs. Until
// use_fast_signatures() is called they are Ed25519, each checked once: what holds for one simulated node holds for all.
#pragma once

namespace mesh::sim {

void use_fast_signatures();

}  // namespace mesh::sim
