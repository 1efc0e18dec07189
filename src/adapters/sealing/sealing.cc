#include "adapters/sealing/sealing.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <set>

namespace mesh::sealing {
namespace {

using identity::NodeId;

constexpr std::uint8_t version = 1;
constexpr std::size_t count_at = magic.size() + 1;
constexpr std::size_t prelude_bytes = count_at + 2;  // Magic, version, number of recipients.
constexpr std::size_t key_bytes = 32;
constexpr std::size_t wrapped_bytes = key_bytes + crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t recipient_bytes = NodeId::size + wrapped_bytes;
constexpr std::size_t stream_header_bytes = crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr std::size_t tag_bytes = 32;
constexpr std::size_t shown_recipients = 3;
constexpr std::string_view wrap_domain = "mesh sealing 1: wrapped key";
constexpr const char* derive_context = "meshseal";
constexpr std::uint64_t stream_subkey = 1;
constexpr std::uint64_t tag_subkey = 2;

static_assert(chunk_overhead == crypto_secretstream_xchacha20poly1305_ABYTES);
static_assert(header_bytes(1) == prelude_bytes + key_bytes + recipient_bytes + stream_header_bytes + tag_bytes);
static_assert(header_bytes(max_recipients) + chunk_overhead < chunk_bytes);
static_assert(key_bytes == crypto_scalarmult_BYTES && key_bytes == crypto_scalarmult_SCALARBYTES &&
              key_bytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES && key_bytes == crypto_kdf_KEYBYTES &&
              key_bytes == crypto_secretstream_xchacha20poly1305_KEYBYTES && key_bytes == crypto_generichash_KEYBYTES);

/// A secret of 32 bytes that is wiped when it goes.
class Key {
 public:
  Key() = default;
  ~Key() { sodium_memzero(bytes_.data(), bytes_.size()); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  [[nodiscard]] const std::uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] std::uint8_t* data() { return bytes_.data(); }

 private:
  std::array<std::uint8_t, key_bytes> bytes_{};
};
using PublicPoint = std::array<std::uint8_t, key_bytes>;

/// Again and again is as once; any thread.
bool is_ready() { return sodium_init() >= 0; }
std::unexpected<Error> no_randomness() {
  return fail(ErrorCode::internal, "libsodium cannot start: the system gives no random bytes");
}
std::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::invalid, fmt::format("the sealed content is damaged: {}", what));
}

/// The key that wraps the content's for one recipient; false for a point of low order, which gives no secret.
bool wrapping_key(Key& key, const Key& own_secret, const PublicPoint& other, const PublicPoint& ephemeral,
                  const PublicPoint& recipient) {
  Key shared;
  if (crypto_scalarmult(shared.data(), own_secret.data(), other.data()) != 0) return false;
  crypto_generichash_state state;
  crypto_generichash_init(&state, shared.data(), key_bytes, key_bytes);
  crypto_generichash_update(&state, as_bytes(wrap_domain).data(), wrap_domain.size());
  crypto_generichash_update(&state, ephemeral.data(), ephemeral.size());
  crypto_generichash_update(&state, recipient.data(), recipient.size());
  crypto_generichash_final(&state, key.data(), key_bytes);
  sodium_memzero(&state, sizeof state);
  return true;
}

/// A wrapping key is used once, so its nonce need not differ.
constexpr std::array<std::uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES> wrap_nonce{};

/// What only those know who know the content key: it says that they all have the same one, and that the header is whole.
std::array<std::uint8_t, tag_bytes> header_tag(const Key& content_key, ByteView header) {
  Key tag_key;
  crypto_kdf_derive_from_key(tag_key.data(), key_bytes, tag_subkey, derive_context, content_key.data());
  std::array<std::uint8_t, tag_bytes> tag{};
  crypto_generichash(tag.data(), tag.size(), header.data(), header.size(), tag_key.data(), key_bytes);
  return tag;
}

/// The content of a chunk that the header leaves so much of.
constexpr std::size_t capacity(std::size_t header) { return chunk_bytes - chunk_overhead - header; }

}  // namespace

bool is_sealed(ByteView beginning) {
  return beginning.size() >= magic.size() && equal(beginning.first(magic.size()), magic);
}

// ---- Sealer.

struct Sealer::Impl {
  explicit Impl(Sink to) : sink(std::move(to)) {}
  ~Impl() { sodium_memzero(&stream, sizeof stream); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Sink sink;
  crypto_secretstream_xchacha20poly1305_state stream{};
  Bytes header;  ///< until the first chunk is sealed
  Bytes content;  ///< of the chunk that is being filled
  Bytes sealed;
  Status status;

  Status begin(std::span<const NodeId> recipients);
  Status seal_chunk(std::uint8_t tag) {
    sealed.resize(content.size() + chunk_overhead);
    crypto_secretstream_xchacha20poly1305_push(&stream, sealed.data(), nullptr, content.data(), content.size(),
                                               header.data(), header.size(), tag);
    header.clear();
    content.clear();
    return sink(sealed);
  }
  Status take(ByteView bytes) {
    while (!bytes.empty()) {
      const std::size_t room = capacity(header.size()) - content.size();
      // Sealed when more comes, since the last one is marked.
      if (room == 0) {
        MESH_TRY(seal_chunk(crypto_secretstream_xchacha20poly1305_TAG_MESSAGE));
        continue;
      }
      const std::size_t count = std::min(room, bytes.size());
      append(content, bytes.first(count));
      bytes = bytes.subspan(count);
    }
    return {};
  }
};

Status Sealer::Impl::begin(std::span<const NodeId> recipients) {
  if (recipients.empty()) return fail(ErrorCode::invalid, "nobody is named for whom the content is to be sealed");
  if (recipients.size() > max_recipients)
    return fail(ErrorCode::invalid,
                fmt::format("content is sealed for {} recipients at most, not {}", max_recipients, recipients.size()));
  if (std::set(recipients.begin(), recipients.end()).size() != recipients.size())
    return fail(ErrorCode::invalid, "a recipient is named twice");
  Key content_key;
  Key ephemeral_secret;
  PublicPoint ephemeral{};
  crypto_kdf_keygen(content_key.data());
  randombytes_buf(ephemeral_secret.data(), key_bytes);
  crypto_scalarmult_base(ephemeral.data(), ephemeral_secret.data());

  append(header, magic);
  append(header, std::array{version, static_cast<std::uint8_t>(recipients.size() >> 8U),
                            static_cast<std::uint8_t>(recipients.size())});
  append(header, ephemeral);
  for (const NodeId& recipient : recipients) {
    PublicPoint point{};
    Key key;
    if (crypto_sign_ed25519_pk_to_curve25519(point.data(), recipient.data()) != 0 ||
        !wrapping_key(key, ephemeral_secret, point, ephemeral, point))
      return fail(ErrorCode::invalid, fmt::format("nothing can be sealed for the key {}", identity::did_of(recipient)));
    std::array<std::uint8_t, wrapped_bytes> wrapped{};
    crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped.data(), nullptr, content_key.data(), key_bytes, nullptr, 0,
                                               nullptr, wrap_nonce.data(), key.data());
    append(header, recipient.view());
    append(header, wrapped);
  }
  std::array<std::uint8_t, stream_header_bytes> stream_header{};
  Key stream_key;
  crypto_kdf_derive_from_key(stream_key.data(), key_bytes, stream_subkey, derive_context, content_key.data());
  crypto_secretstream_xchacha20poly1305_init_push(&stream, stream_header.data(), stream_key.data());
  append(header, stream_header);
  append(header, header_tag(content_key, header));
  content.reserve(chunk_bytes);
  sealed.reserve(chunk_bytes);
  return sink(header);
}

Result<Sealer> Sealer::start(std::span<const NodeId> recipients, Sink sink) {
  if (!is_ready()) return no_randomness();
  auto impl = std::make_unique<Impl>(std::move(sink));
  MESH_TRY(impl->begin(recipients));
  return Sealer(std::move(impl));
}

Status Sealer::feed(ByteView content) {
  if (impl_->status) impl_->status = impl_->take(content);
  return impl_->status;
}

Status Sealer::finish() {
  if (impl_->status) impl_->status = impl_->seal_chunk(crypto_secretstream_xchacha20poly1305_TAG_FINAL);
  return impl_->status;
}

Sealer::Sealer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sealer::~Sealer() = default;
Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;

// ---- Opener.

struct Opener::Impl {
  Impl(const Seed& seed, Sink to) : node(public_key_of(seed)), sink(std::move(to)) {
    if (!is_ready()) {
      status = no_randomness();
      return;
    }
    std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> pair{};
    std::ranges::copy(seed.view(), pair.begin());
    std::ranges::copy(node.view(), pair.begin() + Seed::size);
    crypto_sign_ed25519_sk_to_curve25519(secret.data(), pair.data());
    sodium_memzero(pair.data(), pair.size());
    crypto_scalarmult_base(point.data(), secret.data());
  }
  ~Impl() { sodium_memzero(&stream, sizeof stream); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  enum class Part : std::uint8_t { prelude, header, chunks, end };

  NodeId node;
  Key secret;
  PublicPoint point{};
  Sink sink;
  Part part = Part::prelude;
  std::size_t wanted = prelude_bytes;  ///< of `sealed`, for the next step
  std::uint64_t chunks_opened = 0;
  crypto_secretstream_xchacha20poly1305_state stream{};
  Bytes header;  ///< until the first chunk is opened
  Bytes sealed;
  Bytes content;
  Status status;

  Status read_prelude();
  Status read_header();
  Status open_chunk();

  Status step() {
    switch (part) {
      case Part::prelude:
        return read_prelude();
      case Part::header:
        return read_header();
      case Part::chunks:
        return open_chunk();
      case Part::end:
        break;
    }
    return damaged("bytes follow its end");
  }
  Status take(ByteView bytes) {
    while (!bytes.empty()) {
      if (part == Part::end) return step();
      const std::size_t count = std::min(wanted - sealed.size(), bytes.size());
      append(sealed, bytes.first(count));
      bytes = bytes.subspan(count);
      if (sealed.size() == wanted) MESH_TRY(step());
    }
    return {};
  }
  Status end() {
    if (part == Part::prelude && !is_sealed(sealed)) return read_prelude();
    if (part == Part::chunks && sealed.size() >= chunk_overhead) MESH_TRY(open_chunk());
    return part == Part::end ? Status{} : damaged("it is cut off");
  }
};

Status Opener::Impl::read_prelude() {
  if (!is_sealed(sealed)) return fail(ErrorCode::invalid, "the content is not sealed");
  if (sealed[magic.size()] != version)
    return fail(ErrorCode::unsupported,
                fmt::format("the content is sealed in version {} of the format, of which only {} "
                            "is known here: update this node",
                            sealed[magic.size()], version));
  const std::size_t recipients = std::size_t{sealed[count_at]} << 8U | sealed[count_at + 1];
  if (recipients == 0 || recipients > max_recipients) return damaged("its number of recipients is out of bounds");
  part = Part::header;
  wanted = header_bytes(recipients);
  return {};
}

Status Opener::Impl::read_header() {
  const ByteView all = sealed;
  const ByteView recipients =
      all.subspan(prelude_bytes + key_bytes, all.size() - prelude_bytes - key_bytes - stream_header_bytes - tag_bytes);
  ByteView wrapped;
  std::string others;
  const std::size_t count = recipients.size() / recipient_bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const ByteView entry = recipients.subspan(i * recipient_bytes, recipient_bytes);
    const NodeId recipient = *NodeId::from(entry.first(NodeId::size));
    if (recipient == node) {
      wrapped = entry.subspan(NodeId::size);
      break;
    }
    if (i < shown_recipients) others += (i > 0 ? ", " : "") + identity::did_of(recipient);
  }
  if (wrapped.empty()) {
    if (count > shown_recipients) others += fmt::format(" and {} more", count - shown_recipients);
    return fail(ErrorCode::denied,
                fmt::format("the content is sealed for {}, not for this node ({})", others, identity::did_of(node)));
  }
  PublicPoint ephemeral{};
  std::ranges::copy(all.subspan(prelude_bytes, key_bytes), ephemeral.begin());
  Key key;
  if (!wrapping_key(key, secret, ephemeral, ephemeral, point)) return damaged("its public key is of low order");
  Key content_key;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(content_key.data(), nullptr, nullptr, wrapped.data(), wrapped.size(),
                                                 nullptr, 0, wrap_nonce.data(), key.data()) != 0)
    return damaged("its key for this node does not open");
  const ByteView tag = all.last(tag_bytes);
  if (sodium_memcmp(header_tag(content_key, all.first(all.size() - tag_bytes)).data(), tag.data(), tag_bytes) != 0)
    return damaged("its header was altered");
  const ByteView stream_header = all.subspan(all.size() - tag_bytes - stream_header_bytes, stream_header_bytes);
  Key stream_key;
  crypto_kdf_derive_from_key(stream_key.data(), key_bytes, stream_subkey, derive_context, content_key.data());
  crypto_secretstream_xchacha20poly1305_init_pull(&stream, stream_header.data(), stream_key.data());
  header = std::move(sealed);
  sealed.clear();
  sealed.reserve(chunk_bytes);
  content.reserve(chunk_bytes);
  part = Part::chunks;
  wanted = chunk_bytes - header.size();
  return {};
}

Status Opener::Impl::open_chunk() {
  std::uint8_t tag = 0;
  content.resize(sealed.size() - chunk_overhead);
  if (crypto_secretstream_xchacha20poly1305_pull(&stream, content.data(), nullptr, &tag, sealed.data(), sealed.size(),
                                                 header.data(), header.size()) != 0)
    return damaged(fmt::format("chunk {} is altered, cut off or out of place", chunks_opened + 1));
  const bool is_whole = sealed.size() == wanted;
  if (tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL) {
    part = Part::end;
  } else if (tag != crypto_secretstream_xchacha20poly1305_TAG_MESSAGE || !is_whole) {
    return damaged(fmt::format("chunk {} is not what may stand there", chunks_opened + 1));
  }
  if (content.empty() && chunks_opened > 0) return damaged("its last chunk is empty");
  ++chunks_opened;
  header.clear();
  sealed.clear();
  wanted = chunk_bytes;
  return sink(content);
}

Opener::Opener(const Seed& key, Sink sink) : impl_(std::make_unique<Impl>(key, std::move(sink))) {}
Opener::~Opener() = default;
Opener::Opener(Opener&&) noexcept = default;
Opener& Opener::operator=(Opener&&) noexcept = default;

Status Opener::feed(ByteView sealed) {
  if (impl_->status) impl_->status = impl_->take(sealed);
  return impl_->status;
}

Status Opener::finish() {
  if (impl_->status) impl_->status = impl_->end();
  return impl_->status;
}

}  // namespace mesh::sealing
