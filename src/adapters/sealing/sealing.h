// Sealed content: a file that anyone may keep and pass on, and that only those can read for whom it was sealed.
//
// Recipients are nodes. The content goes under a key that is drawn for this file alone, and that key is wrapped for each of
// them (X25519 with the curve's other form of the node's key, BLAKE2b, XChaCha20-Poly1305). The content is libsodium's
// secretstream: chunks that are each authenticated in their place, the last one marked. docs/design/protocols.md has every byte.
//
// Seen by everyone: that it is sealed, for whom, and how long it is. Not said: by whom. A recipient can pass on what it read.
//
// Both ways stream: at most two chunks (2 MiB) and the header (20,579 bytes) are held. What can go wrong: content that is not
// sealed, not for this node, of another version, or altered, cut off, reordered or continued anywhere. What was handed on before
// that was found is authentic, but not all: whoever keeps it must undo that when finish() is not reached.
//
// The key of one file can be given to a node that is not among its recipients: KeyWrapper wraps it for that node alone and binds
// it to a context and a number, so that it opens nowhere else. Opener takes that key, too.
//
// Not thread-safe: one thread at a time for each Sealer and Opener.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>

#include "base/error.h"
#include "domain/identity/identity.h"

namespace mesh::sealing {

inline constexpr std::size_t max_recipients = 256;
/// A sealed file is cut into chunks at the multiples of this, as a UnixFS file is into leaves. The first has the header in it.
inline constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
/// What a chunk is longer than its content.
inline constexpr std::size_t chunk_overhead = 17;
/// How a sealed file begins; no text in UTF-8 does.
inline constexpr std::array<std::uint8_t, 8> magic{0x8d, 'm', 's', 'h', 's', 'e', 'a', 'l'};

/// The length of the header for so many recipients, 1 to max_recipients.
[[nodiscard]] constexpr std::size_t header_bytes(std::size_t recipients) { return 99 + 80 * recipients; }

/// Whether a file that begins with these bytes, 8 or more, is to be taken for a sealed one.
[[nodiscard]] bool is_sealed(ByteView beginning);

/// How many bytes a sealed file's header has that begins with these: all that content_key() needs. Errors: as Opener::feed.
inline constexpr std::size_t prelude_bytes = 11;
[[nodiscard]] Result<std::size_t> header_length(ByteView beginning);
/// Whether `node` is one of the recipients that a header names; all of the header is there.
[[nodiscard]] bool is_recipient(ByteView header, const identity::NodeId& node);

/// The content key of one sealed file. Wiped when it goes; never to be written down.
class ContentKey {
 public:
  static constexpr std::size_t size = 32;
  ContentKey() = default;
  ~ContentKey();
  ContentKey(const ContentKey&) = default;
  ContentKey& operator=(const ContentKey&) = default;
  [[nodiscard]] const std::uint8_t* data() const { return bytes_.data(); }
  [[nodiscard]] std::uint8_t* data() { return bytes_.data(); }

 private:
  std::array<std::uint8_t, size> bytes_{};
};

/// The key of the file that begins with this header, by one of its recipients. Errors: as Opener::feed.
[[nodiscard]] Result<ContentKey> content_key(const Seed& key, ByteView header);
/// Whether it is the key of the file that begins with this header: nobody can make a header that two keys fit.
[[nodiscard]] bool fits(const ContentKey& key, ByteView header);

using KeyPoint = std::array<std::uint8_t, 32>;
using WrappedKey = std::array<std::uint8_t, ContentKey::size + 16>;

/// Wraps keys of files for one node, each with a number of its own.
class KeyWrapper {
 public:
  /// Draws a public key for these keys alone. Errors: invalid (a key that nothing can be wrapped for), internal.
  [[nodiscard]] static Result<KeyWrapper> start(const identity::NodeId& recipient, ByteView context);
  /// Never twice with the same number.
  [[nodiscard]] WrappedKey wrap(const ContentKey& key, std::uint32_t number) const;
  [[nodiscard]] const KeyPoint& point() const { return point_; }

 private:
  identity::NodeId recipient_;
  KeyPoint point_{};
  ContentKey key_;  ///< that wraps
  Bytes context_;
};

/// Its other side.
class KeyUnwrapper {
 public:
  /// Error: invalid (a point that gives no secret), internal.
  [[nodiscard]] static Result<KeyUnwrapper> start(const Seed& own, const KeyPoint& point, ByteView context);
  /// Error: denied (altered, for another node, context or number).
  [[nodiscard]] Result<ContentKey> unwrap(std::span<const std::uint8_t, sizeof(WrappedKey)> wrapped,
                                          std::uint32_t number) const;

 private:
  identity::NodeId recipient_;
  ContentKey key_;
  Bytes context_;
};

/// Takes what comes out. Its error ends the sealing or opening and is returned.
using Sink = std::function<Status(ByteView)>;

/// One use: feed..., then finish once. After an error every call gives that error.
class Sealer {
 public:
  /// Draws the file's keys and hands the header on. Two calls never give the same sealed bytes. Errors: invalid (nobody, more
  /// than max_recipients, one named twice, a key that nothing can be sealed for), internal (no randomness).
  [[nodiscard]] static Result<Sealer> start(std::span<const identity::NodeId> recipients, Sink sink);
  ~Sealer();
  Sealer(Sealer&&) noexcept;
  Sealer& operator=(Sealer&&) noexcept;

  [[nodiscard]] Status feed(ByteView content);
  [[nodiscard]] Status finish();

 private:
  struct Impl;
  explicit Sealer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Takes a sealed file in pieces of any size and hands its content on, each chunk once it is authenticated. One use: feed...,
/// then finish once. After an error every call gives that error.
class Opener {
 public:
  Opener(const Seed& key, Sink sink);
  /// By one of these keys, each of which may be a recipient's; at least one.
  Opener(std::span<const Seed> keys, Sink sink);
  /// Of a file whose key is known, whoever its recipients are. If it is not its key, the error is `denied`, and nothing was
  /// handed on.
  Opener(const ContentKey& key, Sink sink);
  ~Opener();
  Opener(Opener&&) noexcept;
  Opener& operator=(Opener&&) noexcept;

  /// Errors: invalid (not sealed, or damaged), unsupported (another version), denied (sealed for others: says for whom).
  [[nodiscard]] Status feed(ByteView sealed);
  /// Success says that all of the content was handed on. Errors: as feed; invalid if the file is cut off.
  [[nodiscard]] Status finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::sealing
