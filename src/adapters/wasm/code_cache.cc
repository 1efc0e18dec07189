#include "adapters/wasm/code_cache.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "adapters/wasm/engine.h"

namespace mesh::wasm {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::string_view magic = "MESHWC1\n";
constexpr std::size_t key_bytes = 32;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::unexpected<Error> disk_error(std::string_view what, const std::string& path) {
  return fail(ErrorCode::storage, fmt::format("{} {} failed: {}.", what, path, std::generic_category().message(errno)));
}

bool write_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

/// All of a file of at most `bound` bytes; nullopt if it is larger or cannot be read.
std::optional<Bytes> read_all(int fd, std::uint64_t bound) {
  struct stat status{};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < 0 ||
      static_cast<std::uint64_t>(status.st_size) > bound) {
    return std::nullopt;
  }
  Bytes bytes(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// A new file beside `path` that takes its place whole; nothing is left behind on failure.
Status write_file(const std::string& path, std::initializer_list<ByteView> parts, bool replace) {
  std::string temporary = path + ".XXXXXX";
  const Fd fd(mkostemp(temporary.data(), O_CLOEXEC));  // Mode 0600.
  if (!fd) return disk_error("Making", temporary);
  bool written = true;
  for (const ByteView part : parts) written = written && write_all(fd.get(), part);
  // link(2) refuses to replace: of two processes that make the key at once, one wins and both use its key.
  const bool placed = written && (replace ? rename(temporary.c_str(), path.c_str()) == 0
                                          : link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST);
  if (placed && replace) return {};
  const int why = errno;
  unlink(temporary.c_str());
  if (placed) return {};
  errno = why;
  return disk_error("Writing", path);
}

}  // namespace

struct CodeCache::Impl {
  Config config;
  std::string folder;  ///< of this engine's files
  Bytes key;
  Fd cancelled;  ///< an eventfd that is readable once cancel() was called
  std::mutex trim_mutex;

  [[nodiscard]] std::string path(const Cid& module) const { return fmt::format("{}/{}.cwasm", folder, module.text()); }

  [[nodiscard]] Digest seal(const Cid& module, ByteView code) const {
    return derive_secret(key, "meshwork/compiled-code/1", {as_bytes(engine_id()), module.binary(), code});
  }

  [[nodiscard]] bool is_cancelled(int wait_ms = 0) const {
    pollfd wait{cancelled.get(), POLLIN, 0};
    return poll(&wait, 1, wait_ms) > 0;
  }

  Result<std::variant<Bytes, Refusal>> compile_in_child(ByteView wasm) const;
  void trim();
};

Result<std::unique_ptr<CodeCache>> CodeCache::open(const Config& config) {
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  if (config.cache_folder.empty()) return fail(ErrorCode::invalid, "The sandbox needs a folder for compiled code.");
  if (config.compile_command.empty()) return fail(ErrorCode::invalid, "The sandbox needs a command that compiles.");
  const Digest name =
      tagged_hash("meshwork/code-folder/1", {as_bytes(engine_id()), as_bytes(std::to_string(config.variant.number()))});
  impl->folder = fmt::format("{}/{}", config.cache_folder, name.hex().substr(0, 16));
  std::error_code error;
  const bool fresh = !fs::exists(config.cache_folder, error);
  fs::create_directories(impl->folder, error);
  if (error) {
    return fail(ErrorCode::storage,
                fmt::format("The folder {} for compiled code cannot be made: {}; name a folder that can be written.",
                            impl->folder, error.message()));
  }
  if (fresh) fs::permissions(config.cache_folder, fs::perms::owner_all, error);
  const std::string key_path = config.cache_folder + "/key";
  for (int attempt = 0; attempt < 2 && impl->key.size() != key_bytes; ++attempt) {
    if (attempt == 1) {
      Bytes fresh_key(key_bytes);
      if (getrandom(fresh_key.data(), fresh_key.size(), 0) != static_cast<ssize_t>(key_bytes))
        return disk_error("Drawing", key_path);
      MESH_TRY(write_file(key_path, {fresh_key}, false));
    }
    const Fd fd(::open(key_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd && errno != ENOENT) return disk_error("Reading", key_path);
    if (!fd) continue;
    struct stat status{};
    if (fstat(fd.get(), &status) != 0 || status.st_uid != geteuid() || (status.st_mode & 077U) != 0) {
      return fail(ErrorCode::storage,
                  fmt::format("The key {} must be this user's and readable by nobody else; delete it and its folder.",
                              key_path));
    }
    auto bytes = read_all(fd.get(), key_bytes);
    if (!bytes || bytes->size() != key_bytes) {
      return fail(ErrorCode::storage, fmt::format("The key {} is damaged; delete it and its folder.", key_path));
    }
    impl->key = std::move(*bytes);
  }
  if (impl->key.size() != key_bytes) return disk_error("Reading", key_path);
  impl->cancelled = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->cancelled) return disk_error("Making", "an event descriptor");
  return std::unique_ptr<CodeCache>(new CodeCache(std::move(impl)));
}

CodeCache::CodeCache(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CodeCache::~CodeCache() = default;

void CodeCache::cancel() {
  const std::uint64_t one = 1;
  (void)!write(impl_->cancelled.get(), &one, sizeof one);  // Fails only if it was called 2^64 - 2 times before.
}

std::optional<Bytes> CodeCache::find(const Cid& module) {
  const Fd fd(::open(impl_->path(module).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return std::nullopt;
  auto bytes = read_all(fd.get(), max_artefact_bytes + magic.size() + Digest::size);
  if (!bytes || bytes->size() < magic.size() + Digest::size) return std::nullopt;
  const ByteView view(*bytes);
  const ByteView code = view.subspan(magic.size(), view.size() - magic.size() - Digest::size);
  if (as_text(view.first(magic.size())) != magic || !equal(view.last(Digest::size), impl_->seal(module, code).view())) {
    return std::nullopt;
  }
  const std::array<timespec, 2> now{{{0, UTIME_NOW}, {0, UTIME_NOW}}};
  futimens(fd.get(), now.data());  // For trim's order; a file that cannot be touched is merely trimmed earlier.
  return Bytes(code.begin(), code.end());
}

void CodeCache::drop(const Cid& module) { unlink(impl_->path(module).c_str()); }

Result<std::variant<Bytes, Refusal>> CodeCache::compile(const Cid& module, ByteView wasm) {
  const std::string lock_path = fmt::format("{}/{}.lock", impl_->folder, module.text());
  const Fd lock(::open(lock_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return disk_error("Making", lock_path);
  // Who holds the lock is killed at compile_seconds, so waiting has an end. A file lock has nothing to wait on.
  const auto give_up = Clock::now() + std::chrono::seconds(impl_->config.compile_seconds + 10);
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return disk_error("Locking", lock_path);
    if (Clock::now() > give_up) {
      return fail(ErrorCode::timeout, "Another process has been compiling this module for too long; try again.");
    }
    if (impl_->is_cancelled(20)) return fail(ErrorCode::denied, "The sandbox is closing.");
  }
  if (auto code = find(module)) return std::variant<Bytes, Refusal>(std::move(*code));
  auto result = impl_->compile_in_child(wasm);
  if (!result || std::holds_alternative<Refusal>(*result)) return result;
  const Bytes& code = std::get<Bytes>(*result);
  if (code.size() <= impl_->config.cache_bytes) {
    MESH_TRY(write_file(impl_->path(module), {as_bytes(magic), code, impl_->seal(module, code).view()}, true));
    impl_->trim();
  }
  return result;
}

Result<std::variant<Bytes, Refusal>> CodeCache::Impl::compile_in_child(ByteView wasm) const {
  const Fd in(memfd_create("module", MFD_CLOEXEC));
  const Fd out(memfd_create("code", MFD_CLOEXEC));
  if (!in || !out || !write_all(in.get(), wasm)) return disk_error("Making", "a file in memory for the compiler");

  std::vector<std::string> words = config.compile_command;
  words.push_back(std::to_string(config.compile_seconds));
  words.push_back(std::to_string(config.compile_memory_bytes));
  words.push_back(std::to_string(config.variant.number()));
  words.push_back(std::to_string(getpid()));
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<char*, 1> environment{nullptr};  // Nothing: no secrets, and no variable that changes a message.

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, in.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out.get(), 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  sigset_t none;
  sigset_t standard;
  sigemptyset(&none);
  sigemptyset(&standard);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXCPU, SIGXFSZ}) sigaddset(&standard, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &standard);
  posix_spawnattr_setflags(&attributes,
                           static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  pid_t child = -1;
  const int spawned = posix_spawn(&child, argv[0], &actions, &attributes, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (spawned != 0) {
    errno = spawned;
    return disk_error("Starting the compiler", words[0]);
  }

  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  const auto deadline = Clock::now() + std::chrono::seconds(config.compile_seconds);
  bool ended = false;
  bool cancelled_now = false;
  while (process && !ended && !cancelled_now) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) break;
    std::array<pollfd, 2> waits{{{process.get(), POLLIN, 0}, {cancelled.get(), POLLIN, 0}}};
    if (poll(waits.data(), waits.size(), static_cast<int>(left)) < 0 && errno != EINTR) break;
    ended = (waits[0].revents & POLLIN) != 0;
    cancelled_now = (waits[1].revents & POLLIN) != 0;
  }
  if (!ended) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (cancelled_now && !ended) return fail(ErrorCode::denied, "The sandbox is closing.");
  if (!ended) {
    return fail(
        ErrorCode::exhausted,
        fmt::format("Compiling the module took more than {} s here; raise compile_seconds or use a smaller module.",
                    config.compile_seconds));
  }
  if (!WIFEXITED(status)) {
    return fail(
        ErrorCode::exhausted,
        fmt::format("Compiling the module was ended by signal {} here: it wanted more than {} MiB of memory or {} s.",
                    WIFSIGNALED(status) ? WTERMSIG(status) : 0, config.compile_memory_bytes >> 20U,
                    config.compile_seconds));
  }
  auto answer = read_all(out.get(), max_artefact_bytes);
  if (!answer) return fail(ErrorCode::exhausted, "The compiled code is larger than 1 GiB.");
  switch (WEXITSTATUS(status)) {
    case CompileExit::compiled:
      return std::variant<Bytes, Refusal>(std::move(*answer));
    case CompileExit::refused: {
      std::variant<Bytes, Refusal> result;
      result.emplace<Refusal>().detail = one_line(as_text(*answer), 512);
      return result;
    }
    case CompileExit::failed:
      return fail(ErrorCode::unsupported,
                  fmt::format("The module cannot be compiled here: {}", one_line(as_text(*answer), 512)));
    default:
      return fail(ErrorCode::internal,
                  fmt::format("The compiler process ended with status {}; does {} answer the compile command?",
                              WEXITSTATUS(status), words[0]));
  }
}

void CodeCache::Impl::trim() {
  const std::lock_guard lock(trim_mutex);
  struct File {
    fs::file_time_type used;
    std::uint64_t bytes;
    fs::path path;
  };
  std::vector<File> files;
  std::uint64_t total = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(config.cache_folder, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (it->path().extension() != ".cwasm") continue;
    std::error_code gone;  // Another process may trim too.
    const auto bytes = it->file_size(gone);
    const auto used = it->last_write_time(gone);
    if (gone) continue;
    files.push_back({used, bytes, it->path()});
    total += bytes;
  }
  std::ranges::sort(files, {}, &File::used);
  for (const File& file : files) {
    if (total <= config.cache_bytes) break;
    std::error_code gone;
    fs::remove(file.path, gone);
    total -= file.bytes;
  }
}

}  // namespace mesh::wasm
