// What the tests of the databases share: files as bytes, and processes that fail or are killed.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <string>

#include "base/bytes.h"
#include "codec/hash.h"

namespace mesh::store {

inline Bytes read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

inline void write_file(const std::filesystem::path& path, ByteView bytes) {
  const std::string_view text = as_text(bytes);
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

/// Name and hash of every file: what "untouched" means.
inline std::map<std::string, std::string> snapshot(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    files[entry.path().string()] = entry.is_regular_file() ? sha256(read_file(entry.path())).hex() : "folder";
  }
  return files;
}

/// What `child` returns is the exit status; it runs in a process of its own, and its end is waited for.
inline int in_child(const std::function<int()>& child) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(child());
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Runs `child` in a process of its own, which writes numbers to the descriptor that it is given and does not end, and kills it
/// after a random number of them, at a random moment of what it does next. The last of its numbers, or `none`.
inline std::uint64_t kill_at_random(std::mt19937& random, std::uint64_t none, const std::function<void(int)>& child) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    child(ends[1]);
    ::_exit(1);
  }
  ::close(ends[1]);
  std::uint64_t wanted = random() % 40;
  std::uint64_t last = none;
  std::uint64_t number = 0;
  const auto read_one = [&] { return ::read(ends[0], &number, sizeof number) == static_cast<ssize_t>(sizeof number); };
  while (wanted-- > 0 && read_one()) last = number;
  std::atomic<std::uint64_t> spin{random() % 2'000'000};
  while (spin > 0) --spin;
  ::kill(pid, SIGKILL);
  while (read_one()) last = number;
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  return last;
}

}  // namespace mesh::store
