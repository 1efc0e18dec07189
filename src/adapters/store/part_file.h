// A file that is being received: its parts come in any order and are written to their place at once; at the end it is
// synced and gets its name. Until then it lies beside it as NAME.part, where a later attempt finds what is there.
//
// Bounds: the size is given and does not change; so much has to be free on the disk. What can go wrong: another process or
// another attempt has the same file open (conflict), the disk is full, the file's folder is gone. Not thread-safe.
#pragma once

#include <filesystem>
#include <memory>

#include "base/bytes.h"
#include "base/error.h"

namespace mesh::store {

class PartFile {
 public:
  /// Of the disk, left to others.
  static constexpr std::uint64_t min_free_bytes = std::uint64_t{64} << 20;

  /// Makes the folders up to `target`, and opens or makes its part file. Links are not followed, in the last name.
  /// `spoken_for`: bytes of the disk's room that others will still take.
  /// Errors: conflict (in use; `target` is a folder), exhausted (the disk has no room for the rest), storage.
  [[nodiscard]] static Result<std::unique_ptr<PartFile>> open(std::filesystem::path target, std::uint64_t bytes,
                                                              std::uint64_t spoken_for = 0);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  /// Bytes that the disk has not given to it yet. While others read or write it, too.
  [[nodiscard]] std::uint64_t unwritten() const;
  /// What lies at the place, at the beginning of `into`; false if nothing was ever written there. Error: storage.
  [[nodiscard]] Result<bool> read(std::uint64_t offset, std::span<std::uint8_t> into) const;
  /// Errors: exhausted (the disk is full), storage.
  [[nodiscard]] Status write(std::uint64_t offset, ByteView bytes);
  /// Makes what was written durable and gives the file its name, in place of one that has it. Blocks for as long as the disk
  /// takes. Errors: storage, conflict (there is a folder of that name).
  [[nodiscard]] Status finish();

  /// Removes what an attempt has left of `target`; it is no error if there is nothing.
  static void remove(const std::filesystem::path& target);

 private:
  PartFile(std::filesystem::path target, int fd, std::uint64_t bytes)
      : target_(std::move(target)), fd_(fd), bytes_(bytes) {}

  std::filesystem::path target_;
  int fd_;
  std::uint64_t bytes_;
};

}  // namespace mesh::store
