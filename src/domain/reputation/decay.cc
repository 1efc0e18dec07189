#include "domain/reputation/decay.h"

#include "base/check.h"

namespace mesh::reputation {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr unsigned point = 116;  // Times lambda it still fits into 128 bits.

std::uint64_t factor_of(std::uint32_t lambda) {
  Wide term = Wide{1} << point;
  Wide added = 0;
  Wide taken = 0;
  for (std::uint32_t k = 1; term != 0; ++k) {
    (k % 2 == 1 ? added : taken) += term;
    term = term * lambda / (Wide{1000} * k);
  }
  constexpr unsigned below = point - 64;
  return static_cast<std::uint64_t>((added - taken + (Wide{1} << (below - 1))) >> below);
}

}  // namespace

Decay::Decay(std::uint32_t lambda) : lasting_(lambda == 0) {
  MESH_CHECK(lambda <= 1000, "decay-lambda");  // policy::validate
  if (!lasting_) factor_ = factor_of(lambda);
}

std::uint64_t Decay::after(std::uint64_t x, std::uint64_t epochs) const {
  if (lasting_) return x;
  for (; epochs > 0 && x > 0; --epochs) x = static_cast<std::uint64_t>(static_cast<Wide>(x) * factor_ >> 64);
  return x;
}

}  // namespace mesh::reputation
