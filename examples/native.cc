// What the examples compute, once more and independently, as an ordinary program: the demonstration compares the bytes.
//   native words FILE...      native collatz RANGES_FILE
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

void words(const char* file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  std::vector<std::string> all(1);
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c >= 'a' && c <= 'z') {
      all.back() += c;
    } else if (!all.back().empty()) {
      all.emplace_back();
    }
  }
  if (all.back().empty()) all.pop_back();
  std::map<std::string, int> counts;
  for (const std::string& word : all) ++counts[word];
  const std::size_t half = all.size() / 2;
  const std::size_t rows = std::min<std::size_t>(half, 800), columns = std::min<std::size_t>(all.size() - half, 800);
  std::vector<std::vector<int>> table(rows + 1, std::vector<int>(columns + 1));
  for (std::size_t i = 1; i <= rows; ++i) {
    for (std::size_t j = 1; j <= columns; ++j) {
      table[i][j] =
          all[i - 1] == all[half + j - 1] ? table[i - 1][j - 1] + 1 : std::max(table[i - 1][j], table[i][j - 1]);
    }
  }
  std::cout << "words " << all.size() << " different " << counts.size() << " common " << table[rows][columns] << '\n';
  std::vector<std::pair<std::string, int>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), 10); ++i)
    std::cout << order[i].first << ' ' << order[i].second << '\n';
}

void collatz(const char* file) {
  std::ifstream stream(file);
  std::uint64_t first = 0, last = 0;
  while (stream >> first >> last) {
    std::uint64_t best = 0, longest = 0;
    for (std::uint64_t start = first; start <= last; ++start) {
      std::uint64_t length = 1;
      for (std::uint64_t value = start; value != 1; ++length) value = (value & 1) != 0 ? 3 * value + 1 : value >> 1;
      if (length > longest) {
        longest = length;
        best = start;
      }
    }
    std::cout << best << ' ' << longest << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  if (what != "words" && what != "collatz") {
    std::cerr << "native words FILE... | native collatz RANGES_FILE\n";
    return 2;
  }
  for (int i = 2; i < argc; ++i) what == "words" ? words(argv[i]) : collatz(argv[i]);
}
