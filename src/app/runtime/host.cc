#include "app/runtime/host.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

namespace mesh::app {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_gpus = 16;
constexpr std::size_t max_gpu_name_bytes = 96;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line.substr(0, 512);
}

void add_gpu(std::vector<std::string>& gpus, std::string name) {
  std::erase_if(name, [](char c) { return c < ' ' || c > '~'; });
  name.resize(std::min(name.size(), max_gpu_name_bytes));
  if (!name.empty() && gpus.size() < max_gpus) gpus.push_back(std::move(name));
}

std::vector<std::string> detect_gpus() {
  std::vector<std::string> gpus;
  std::error_code failed;
  for (fs::directory_iterator it("/proc/driver/nvidia/gpus", failed); !failed && it != fs::directory_iterator();
       it.increment(failed)) {
    std::ifstream in(it->path() / "information");
    std::string line;
    while (std::getline(in, line)) {
      if (!line.starts_with("Model:")) continue;
      line.erase(0, line.find_first_not_of(" \t", 6));
      add_gpu(gpus, std::move(line));
    }
  }
  const bool has_nvidia = !gpus.empty();
  failed.clear();
  std::set<std::string> cards;  // In order; "card0-HDMI-A-1" is an output of card0.
  for (fs::directory_iterator it("/sys/class/drm", failed); !failed && it != fs::directory_iterator();
       it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("card") && name.find('-') == std::string::npos) cards.insert(name);
  }
  for (const std::string& card : cards) {
    const fs::path device = fs::path("/sys/class/drm") / card / "device";
    const std::string vendor = first_line(device / "vendor");
    if (vendor.empty() || (has_nvidia && vendor == "0x10de")) continue;
    const std::string_view maker = vendor == "0x10de"   ? "NVIDIA"
                                   : vendor == "0x1002" ? "AMD"
                                   : vendor == "0x8086" ? "Intel"
                                                        : "GPU";
    add_gpu(gpus, fmt::format("{} {}:{}", maker, vendor, first_line(device / "device")));
  }
  return gpus;
}

}  // namespace

HostResources detect_host() {
  HostResources host;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) host.cores = static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_bytes > 0)
    host.memory_bytes = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
  const std::string bound = first_line("/sys/fs/cgroup/memory.max");
  if (!bound.empty() && bound.size() < 19 && std::ranges::all_of(bound, [](char c) { return c >= '0' && c <= '9'; })) {
    host.memory_bytes = std::min<std::uint64_t>(host.memory_bytes, std::stoull(bound));
  }
  host.gpus = detect_gpus();
  return host;
}

std::int64_t wall_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace mesh::app
