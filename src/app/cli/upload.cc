#include "app/cli/upload.h"

#include "codec/car.h"

namespace mesh::cli {
namespace {

constexpr std::size_t piece_bytes = std::size_t{16} << 20;  // Of a CAR that is sent: well below what a node takes.

}  // namespace

asset::BlockSink Upload::sink() {
  return [this](const Cid& cid, Bytes block) -> Status {
    if (!sent_.insert(cid).second) return {};
    if (car_.empty()) car_ = car::header(std::span(&cid, 1));
    append(car_, car::section(cid, block));
    bytes_ += block.size();
    return car_.size() < piece_bytes ? Status{} : flush();
  };
}

Status Upload::flush() {
  if (car_.empty()) return {};
  MESH_TRY(send("/api/v1/assets?car=1&declare=0", car_));
  car_.clear();
  return {};
}

Status Upload::declare(const Cid& root) {
  MESH_TRY(flush());
  // A CAR without blocks that names the root makes the node serve it: its blocks are there.
  return send("/api/v1/assets?car=1", car::header(std::span(&root, 1)));
}

Status Upload::send(std::string_view path, ByteView car) const {
  MESH_LET(const http::Response response,
           client_.request("POST", path, car, {{"content-type", "application/octet-stream"}}));
  if (response.status >= 300) return std::unexpected(http::error_of(response));
  return {};
}

}  // namespace mesh::cli
