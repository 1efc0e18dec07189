#include "adapters/sealing/sealing.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <deque>
#include <set>

#include "base/check.h"

namespace mesh::sealing {
namespace {

using identity::NodeId;

constexpr std::uint8_t version = 1;
constexpr std::size_t count_at = magic.size() + 1;
constexpr std::size_t key_bytes = ContentKey::size;
constexpr std::size_t wrapped_bytes = key_bytes + crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t recipient_bytes = NodeId::size + wrapped_bytes;
constexpr std::size_t stream_header_bytes = crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr std::size_t tag_bytes = 32;
constexpr std::size_t shown_recipients = 3;
constexpr std::string_view wrap_domain = "mesh sealing 1: wrapped key";
constexpr std::string_view given_domain = "mesh sealing 1: given keys";
constexpr const char* derive_context = "meshseal";
constexpr std::uint64_t stream_subkey = 1;
constexpr std::uint64_t tag_subkey = 2;

static_assert(prelude_bytes == count_at + 2);  // Magic, version, number of recipients.
static_assert(sizeof(WrappedKey) == wrapped_bytes && sizeof(KeyPoint) == key_bytes);
static_assert(chunk_overhead == crypto_secretstream_xchacha20poly1305_ABYTES);
static_assert(header_bytes(1) == prelude_bytes + key_bytes + recipient_bytes + stream_header_bytes + tag_bytes);
static_assert(header_bytes(max_recipients) + chunk_overhead < chunk_bytes);
static_assert(key_bytes == crypto_scalarmult_BYTES && key_bytes == crypto_scalarmult_SCALARBYTES &&
              key_bytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES && key_bytes == crypto_kdf_KEYBYTES &&
              key_bytes == crypto_secretstream_xchacha20poly1305_KEYBYTES && key_bytes == crypto_generichash_KEYBYTES);

using Key = ContentKey;
using PublicPoint = KeyPoint;

/// Again and again is as once; any thread.
bool is_ready() { return sodium_init() >= 0; }
std::unexpected<Error> no_randomness() {
  return fail(ErrorCode::internal, "libsodium cannot start: the system gives no random bytes");
}
std::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::invalid, fmt::format("the sealed content is damaged: {}", what));
}

/// The key that wraps the content's for one recipient; false for a point of low order, which gives no secret.
bool wrapping_key(Key& key, std::string_view domain, const Key& own_secret, const PublicPoint& other,
                  const PublicPoint& ephemeral, const PublicPoint& recipient) {
  Key shared;
  if (crypto_scalarmult(shared.data(), own_secret.data(), other.data()) != 0) return false;
  crypto_generichash_state state;
  crypto_generichash_init(&state, shared.data(), key_bytes, key_bytes);
  crypto_generichash_update(&state, as_bytes(domain).data(), domain.size());
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

/// The two keys of a node by which it has secrets with others.
struct OwnPoint {
  NodeId node;
  Key secret;
  PublicPoint point{};

  explicit OwnPoint(const Seed& seed) : node(public_key_of(seed)) {
    std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> pair{};
    std::ranges::copy(seed.view(), pair.begin());
    std::ranges::copy(node.view(), pair.begin() + Seed::size);
    crypto_sign_ed25519_sk_to_curve25519(secret.data(), pair.data());
    sodium_memzero(pair.data(), pair.size());
    crypto_scalarmult_base(point.data(), secret.data());
  }
};

ByteView recipients_of(ByteView header) {
  return header.subspan(prelude_bytes + key_bytes,
                        header.size() - prelude_bytes - key_bytes - stream_header_bytes - tag_bytes);
}
/// What a header has wrapped for a node; empty if nothing.
ByteView wrapped_for(ByteView header, const NodeId& node) {
  const ByteView recipients = recipients_of(header);
  for (std::size_t at = 0; at < recipients.size(); at += recipient_bytes) {
    if (equal(recipients.subspan(at, NodeId::size), node.view()))
      return recipients.subspan(at + NodeId::size, wrapped_bytes);
  }
  return {};
}

Result<Key> key_of_header(const OwnPoint& own, ByteView header) {
  const ByteView wrapped = wrapped_for(header, own.node);
  if (wrapped.empty()) {
    const ByteView recipients = recipients_of(header);
    const std::size_t count = recipients.size() / recipient_bytes;
    std::string others;
    for (std::size_t i = 0; i < std::min(count, shown_recipients); ++i)
      others +=
          (i > 0 ? ", " : "") + identity::did_of(*NodeId::from(recipients.subspan(i * recipient_bytes, NodeId::size)));
    if (count > shown_recipients) others += fmt::format(" and {} more", count - shown_recipients);
    return fail(ErrorCode::denied, fmt::format("the content is sealed for {}, not for this node ({})", others,
                                               identity::did_of(own.node)));
  }
  PublicPoint ephemeral{};
  std::ranges::copy(header.subspan(prelude_bytes, key_bytes), ephemeral.begin());
  Key key;
  if (!wrapping_key(key, wrap_domain, own.secret, ephemeral, ephemeral, own.point))
    return damaged("its public key is of low order");
  Key content_key;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(content_key.data(), nullptr, nullptr, wrapped.data(), wrapped.size(),
                                                 nullptr, 0, wrap_nonce.data(), key.data()) != 0)
    return damaged("its key for this node does not open");
  if (!fits(content_key, header)) return damaged("its header was altered");
  return content_key;
}

/// Where a key that is given may be used, and by whom.
struct Use {
  Bytes associated;
  std::array<std::uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES> nonce{};

  Use(ByteView context, std::uint32_t number, const NodeId& recipient) : associated(to_bytes(context)) {
    const std::array<std::uint8_t, 8> bytes = big_endian(number);
    append(associated, bytes);
    append(associated, recipient.view());
    // The wrapping key is used once for each number.
    std::ranges::copy(bytes, nonce.end() - static_cast<std::ptrdiff_t>(bytes.size()));
  }
};

/// The content of a chunk that the header leaves so much of.
constexpr std::size_t capacity(std::size_t header) { return chunk_bytes - chunk_overhead - header; }

}  // namespace

bool is_sealed(ByteView beginning) {
  return beginning.size() >= magic.size() && equal(beginning.first(magic.size()), magic);
}

Result<std::size_t> header_length(ByteView beginning) {
  if (!is_sealed(beginning)) return fail(ErrorCode::invalid, "the content is not sealed");
  if (beginning.size() < prelude_bytes) return damaged("it is cut off");
  if (beginning[magic.size()] != version)
    return fail(ErrorCode::unsupported,
                fmt::format("the content is sealed in version {} of the format, of which only {} "
                            "is known here: update this node",
                            beginning[magic.size()], version));
  const std::size_t recipients = std::size_t{beginning[count_at]} << 8U | beginning[count_at + 1];
  if (recipients == 0 || recipients > max_recipients) return damaged("its number of recipients is out of bounds");
  return header_bytes(recipients);
}

bool is_recipient(ByteView header, const NodeId& node) { return !wrapped_for(header, node).empty(); }

bool fits(const ContentKey& key, ByteView header) {
  const auto tag = header_tag(key, header.first(header.size() - tag_bytes));
  return sodium_memcmp(tag.data(), header.last(tag_bytes).data(), tag_bytes) == 0;
}

Result<ContentKey> content_key(const Seed& key, ByteView header) {
  if (!is_ready()) return no_randomness();
  MESH_LET(const std::size_t length, header_length(header));
  if (header.size() != length) return damaged("it is cut off");
  return key_of_header(OwnPoint(key), header);
}

ContentKey::~ContentKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

// ---- Keys that are given.

Result<KeyWrapper> KeyWrapper::start(const NodeId& recipient, ByteView context) {
  if (!is_ready()) return no_randomness();
  KeyWrapper wrapper;
  wrapper.recipient_ = recipient;
  wrapper.context_ = to_bytes(context);
  Key secret;
  PublicPoint point{};
  randombytes_buf(secret.data(), key_bytes);
  crypto_scalarmult_base(wrapper.point_.data(), secret.data());
  if (crypto_sign_ed25519_pk_to_curve25519(point.data(), recipient.data()) != 0 ||
      !wrapping_key(wrapper.key_, given_domain, secret, point, wrapper.point_, point))
    return fail(ErrorCode::invalid, fmt::format("nothing can be wrapped for the key {}", identity::did_of(recipient)));
  return wrapper;
}

WrappedKey KeyWrapper::wrap(const ContentKey& key, std::uint32_t number) const {
  const Use use(context_, number, recipient_);
  WrappedKey wrapped{};
  crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped.data(), nullptr, key.data(), key_bytes, use.associated.data(),
                                             use.associated.size(), nullptr, use.nonce.data(), key_.data());
  return wrapped;
}

Result<KeyUnwrapper> KeyUnwrapper::start(const Seed& own, const KeyPoint& point, ByteView context) {
  if (!is_ready()) return no_randomness();
  const OwnPoint self(own);
  KeyUnwrapper unwrapper;
  unwrapper.recipient_ = self.node;
  unwrapper.context_ = to_bytes(context);
  if (!wrapping_key(unwrapper.key_, given_domain, self.secret, point, point, self.point))
    return fail(ErrorCode::invalid, "the keys came with a public key of low order");
  return unwrapper;
}

Result<ContentKey> KeyUnwrapper::unwrap(std::span<const std::uint8_t, sizeof(WrappedKey)> wrapped,
                                        std::uint32_t number) const {
  const Use use(context_, number, recipient_);
  ContentKey key;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(key.data(), nullptr, nullptr, wrapped.data(), wrapped.size(),
                                                 use.associated.data(), use.associated.size(), use.nonce.data(),
                                                 key_.data()) != 0)
    return fail(ErrorCode::denied, "the wrapped key was altered, or is not for this node, task and number");
  return key;
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
        !wrapping_key(key, wrap_domain, ephemeral_secret, point, ephemeral, point))
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
  explicit Impl(Sink to) : sink(std::move(to)) {
    if (!is_ready()) status = no_randomness();
  }
  ~Impl() { sodium_memzero(&stream, sizeof stream); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  enum class Part : std::uint8_t { prelude, header, chunks, end };

  std::deque<OwnPoint> own;  ///< of recipients
  std::optional<ContentKey> known;  ///< or the key itself
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
  [[nodiscard]] Result<ContentKey> own_key() const;
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
  MESH_LET(wanted, header_length(sealed));
  part = Part::header;
  return {};
}

/// What is wrong is said of the first key.
Result<ContentKey> Opener::Impl::own_key() const {
  Result<ContentKey> first = key_of_header(own.front(), sealed);
  for (std::size_t i = 1; i < own.size() && !first && first.error().code == ErrorCode::denied; ++i) {
    Result<ContentKey> key = key_of_header(own[i], sealed);
    if (key) return key;
  }
  return first;
}

Status Opener::Impl::read_header() {
  if (known && !fits(*known, sealed))
    return fail(ErrorCode::denied, "the key that was given is not the one of this sealed content");
  const Result<ContentKey> content_key = known ? *known : own_key();
  if (!content_key) return std::unexpected(content_key.error());
  const ByteView stream_header =
      ByteView(sealed).subspan(sealed.size() - tag_bytes - stream_header_bytes, stream_header_bytes);
  Key stream_key;
  crypto_kdf_derive_from_key(stream_key.data(), key_bytes, stream_subkey, derive_context, content_key->data());
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

Opener::Opener(const Seed& key, Sink sink) : Opener(std::span(&key, 1), std::move(sink)) {}
Opener::Opener(std::span<const Seed> keys, Sink sink) : impl_(std::make_unique<Impl>(std::move(sink))) {
  MESH_CHECK(!keys.empty(), "sealing-opener-has-a-key");
  for (const Seed& key : keys) impl_->own.emplace_back(key);
}
Opener::Opener(const ContentKey& key, Sink sink) : impl_(std::make_unique<Impl>(std::move(sink))) {
  impl_->known = key;
}
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
