#include "app/runtime/sealed_inputs.h"

#include <fmt/format.h>

namespace mesh::app {

namespace {

/// The header of a sealed file. Of what is none, an `invalid`.
Result<Bytes> header_of(const store::BlockStore& blocks, const Cid& input) {
  Bytes header;
  std::optional<Error> none;
  bool is_whole = false;
  const Status read = blocks.read_dag_file(input, ~std::uint64_t{0}, [&](ByteView part) -> Status {
    // It ends within the first chunk, which is the first leaf; another layout may cut it anywhere.
    append(header, part.first(std::min(part.size(), sealing::header_bytes(sealing::max_recipients))));
    if (header.size() < sealing::prelude_bytes) return {};
    const Result<std::size_t> length = sealing::header_length(header);
    if (!length) {
      none = length.error();
    } else if (header.size() >= *length) {
      header.resize(*length);
      is_whole = true;
    } else {
      return {};
    }
    return fail(ErrorCode::conflict, "enough was read");
  });
  if (is_whole) return header;
  if (none) return std::unexpected(std::move(*none));
  if (!read) return std::unexpected(read.error());
  return fail(ErrorCode::invalid, sealing::is_sealed(header) ? "the sealed content is damaged: it is cut off"
                                                             : "the content is not sealed");
}

}  // namespace

Status SealedInputs::check(const store::BlockStore& blocks, const Cid& input, const identity::NodeId& node) {
  if (input.codec() == Multicodec::dag_cbor) return fail(ErrorCode::invalid, "it is a record, not a sealed file");
  MESH_LET(const Bytes header, header_of(blocks, input));
  if (sealing::is_recipient(header, node)) return {};
  return fail(ErrorCode::invalid, fmt::format("it is sealed, but not for this node ({})", identity::did_of(node)));
}

Result<sealing::ContentKey> SealedInputs::unwrap(const Cid& intent, std::uint32_t shard,
                                                 const verification::WrappedKey& wrapped) {
  if (!parcel_ || parcel_->intent != intent || parcel_->point != wrapped.point) {
    sealing::KeyPoint point{};
    std::ranges::copy(wrapped.point.view(), point.begin());
    const auto context = intent.binary();
    Result<sealing::KeyUnwrapper> unwrapper = sealing::KeyUnwrapper::start(own_, point, context);
    if (!unwrapper) return fail(ErrorCode::denied, unwrapper.error().message);
    parcel_.emplace(Parcel{.intent = intent, .point = wrapped.point, .unwrapper = std::move(*unwrapper)});
  }
  return parcel_->unwrapper.unwrap(wrapped.key.view().first<verification::WrappedKeyBytes::size>(), shard);
}

Result<sealing::ContentKey> SealedInputs::own_key(const Cid& input) {
  if (const auto known = keys_.find(input); known != keys_.end()) return known->second;
  MESH_LET(const Bytes header, header_of(blocks_, input));
  Result<sealing::ContentKey> key = sealing::content_key(own_, header);
  // To a publisher its own input that it cannot read is a broken one, whoever else could.
  if (!key)
    return fail(key.error().code == ErrorCode::denied ? ErrorCode::invalid : key.error().code, key.error().message);
  keys_.emplace(input, *key);
  key_order_.push_back(input);
  if (key_order_.size() > cached_keys) {
    keys_.erase(key_order_.front());
    key_order_.pop_front();
  }
  return key;
}

Result<Bytes> SealedInputs::open(const Cid& input, const sealing::ContentKey& key, std::uint64_t max_bytes) const {
  Bytes content;
  sealing::Opener opener(key, [&](ByteView part) -> Status {
    append(content, part);
    return {};
  });
  MESH_TRY(blocks_.read_dag_file(input, max_bytes, [&](ByteView part) { return opener.feed(part); }));
  MESH_TRY(opener.finish());
  return content;
}

}  // namespace mesh::app
