#include "app/api/opened_content.h"

#include <limits>

#include "domain/asset/unixfs.h"

namespace mesh::app {
namespace {

constexpr int max_steps = 256;  // At a time, so that a file of tiny leaves holds up nobody else.

class OpenedContent : public std::enable_shared_from_this<OpenedContent> {
 public:
  OpenedContent(Backend& backend, http::Responder responder, const Cid& root)
      : backend_(backend),
        responder_(std::move(responder)),
        opener_(backend.opener([this](ByteView content) -> Status {
          pending_ += as_text(content);
          return {};
        })),
        next_{root} {}

  void pump() {
    if (stream_ ? !stream_->is_open() : !responder_.is_open()) return close();
    if (!pending_.empty()) {
      if (!stream_->write(pending_)) return;  // on_ready calls again.
      pending_.clear();
    }
    if (is_read_) {
      stream_->finish();
      return close();
    }
    backend_.post_bulk([self = shared_from_this()]() mutable {
      Status status;
      for (int i = 0; i < max_steps && status && !self->is_read_ && self->pending_.empty(); ++i) status = self->step();
      Backend& backend = self->backend_;
      backend.post([self = std::move(self), status = std::move(status)] { self->go_on(status); });
    });
  }

 private:
  /// One block further, or to the end.
  Status step() {
    if (next_.empty()) {
      is_read_ = true;
      return opener_.finish();
    }
    const Cid cid = next_.back();
    next_.pop_back();
    MESH_LET(const store::BlockBytes block, backend_.blocks().get(cid, store::From::anywhere));
    MESH_LET(const asset::Node node, asset::parse_node(cid, *block));
    if (node.kind == asset::NodeKind::raw) return opener_.feed(*block);
    for (auto link = node.links.rbegin(); link != node.links.rend(); ++link) next_.push_back(link->cid);
    return opener_.feed(node.inline_data);
  }

  void go_on(const Status& status) {
    if (!status) {
      // Without an answer yet it is this; else the last copy of the stream goes, and the client sees a cut.
      if (!stream_) responder_.answer(http::problem(status.error()));
      return close();
    }
    if (!stream_ && (is_read_ || !pending_.empty())) {
      http::Response head;
      head.content_type = "application/octet-stream";
      stream_ = responder_.stream(std::move(head));
      if (!stream_) return;
      stream_->on_ready([self = shared_from_this()] { self->pump(); });
    }
    pump();
  }

  void close() {
    if (!stream_) return;
    stream_->on_ready({});
    stream_->on_close({});
  }

  Backend& backend_;
  http::Responder responder_;
  std::optional<http::BodyStream> stream_;
  std::string pending_;
  sealing::Opener opener_;
  std::vector<Cid> next_;  // A stack: what comes first is last.
  bool is_read_ = false;
};

}  // namespace

bool begins_sealed(const store::BlockStore& blocks, const Cid& root) {
  Bytes beginning;
  const Status read = blocks.read_dag_file(
      root, std::numeric_limits<std::uint64_t>::max(),
      [&](ByteView part) -> Status {
        append(beginning, part.first(std::min(part.size(), sealing::magic.size() - beginning.size())));
        if (beginning.size() < sealing::magic.size()) return {};
        return fail(ErrorCode::conflict, "enough is read");
      },
      store::From::anywhere);
  return !read && sealing::is_sealed(beginning);
}

void answer_opened(Backend& backend, http::Responder responder, const Cid& root) {
  std::make_shared<OpenedContent>(backend, std::move(responder), root)->pump();
}

}  // namespace mesh::app
