#include "adapters/wasm/module_binary.h"

#include <fmt/format.h>

#include "adapters/wasm/sandbox.h"

namespace mesh::wasm {
namespace {

constexpr std::uint32_t max_tables = 4;
constexpr std::array<std::uint8_t, 8> header{0, 'a', 's', 'm', 1, 0, 0, 0};

enum SectionId : std::uint8_t { table_section = 4, export_section = 7, start_section = 8 };

/// Reads forward; once something is out of bounds, `ok` is false for good and all values are 0.
struct Reader {
  ByteView rest;
  bool ok = true;

  std::uint8_t byte() {
    const ByteView one = bytes(1);
    return ok ? one[0] : std::uint8_t{0};
  }

  ByteView bytes(std::size_t count) {
    if (!ok || count > rest.size()) {
      ok = false;
      return {};
    }
    const ByteView result = rest.first(count);
    rest = rest.subspan(count);
    return result;
  }

  /// An unsigned LEB128 of at most 32 bits.
  std::uint32_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const std::uint8_t next = byte();
      value |= std::uint64_t{next & 0x7fU} << shift;
      if ((next & 0x80U) == 0) {
        if (value > 0xffff'ffffU) ok = false;
        return ok ? static_cast<std::uint32_t>(value) : 0;
      }
    }
    ok = false;
    return 0;
  }

  std::string_view name() { return as_text(bytes(number())); }
};

void put_number(Bytes& out, std::uint64_t value) {
  do {
    const auto low = static_cast<std::uint8_t>(value & 0x7fU);
    value >>= 7U;
    out.push_back(value != 0 ? static_cast<std::uint8_t>(low | 0x80U) : low);
  } while (value != 0);
}

struct Section {
  std::uint8_t id = 0;
  ByteView whole;    // With id and size.
  ByteView content;
};

Result<std::vector<Section>> sections_of(ByteView module) {
  Reader reader{module};
  if (!equal(reader.bytes(header.size()), header)) return fail(ErrorCode::invalid, "This is no WebAssembly module.");
  std::vector<Section> sections;
  while (reader.ok && !reader.rest.empty()) {
    const ByteView from = reader.rest;
    Section section;
    section.id = reader.byte();
    section.content = reader.bytes(reader.number());
    section.whole = from.first(from.size() - reader.rest.size());
    sections.push_back(section);
  }
  if (!reader.ok) return fail(ErrorCode::invalid, "The module is cut off in a section.");
  return sections;
}

/// Calls `visit(name, kind, index)` for each export; false if the section is malformed.
template <class Visit>
bool for_each_export(ByteView content, Visit visit) {
  Reader reader{content};
  const std::uint32_t count = reader.number();
  for (std::uint32_t i = 0; i < count && reader.ok; ++i) {
    const std::string_view name = reader.name();
    const std::uint8_t kind = reader.byte();
    const std::uint32_t index = reader.number();
    if (reader.ok) visit(name, kind, index);
  }
  return reader.ok && reader.rest.empty();
}

Status check_tables(ByteView content) {
  Reader reader{content};
  const std::uint32_t count = reader.number();
  if (count > max_tables) {
    return fail(ErrorCode::unsupported,
                fmt::format("The module declares {} tables; at most {} are taken.", count, max_tables));
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    (void)reader.byte();  // The element type.
    const std::uint8_t flags = reader.byte();
    const std::uint32_t minimum = reader.number();
    if ((flags & 1U) != 0) (void)reader.number();
    if (reader.ok && minimum > max_table_elements) {
      return fail(ErrorCode::unsupported,
                  fmt::format("The module declares a table of {} elements; at most {} are taken.", minimum,
                              max_table_elements));
    }
  }
  if (!reader.ok) return fail(ErrorCode::invalid, "The module's table section is malformed.");
  return {};
}

}  // namespace

Result<Bytes> prepare_module(ByteView module) {
  MESH_LET(const auto sections, sections_of(module));
  bool reserved = false;
  bool has_exports = false;
  std::optional<std::uint32_t> start;
  for (const Section& section : sections) {
    if (section.id == table_section) MESH_TRY(check_tables(section.content));
    if (section.id == export_section) {
      has_exports = true;
      if (!for_each_export(section.content,
                           [&](auto name, auto, auto) { reserved = reserved || name == start_export; })) {
        return fail(ErrorCode::invalid, "The module's export section is malformed.");
      }
    }
    if (section.id == start_section) {
      Reader reader{section.content};
      start = reader.number();
      if (!reader.ok) return fail(ErrorCode::invalid, "The module's start section is malformed.");
    }
  }
  if (reserved) {
    return fail(ErrorCode::unsupported, fmt::format("The module exports the reserved name \"{}\".", start_export));
  }
  if (!start) return to_bytes(module);

  Bytes entry;
  put_number(entry, start_export.size());
  append(entry, as_bytes(start_export));
  entry.push_back(0);  // A function.
  put_number(entry, *start);
  const auto put_exports = [&](Bytes& out, std::uint64_t count, ByteView old_entries) {
    Bytes content;
    put_number(content, count);
    append(content, old_entries);
    append(content, entry);
    out.push_back(export_section);
    put_number(out, content.size());
    append(out, content);
  };
  Bytes out(header.begin(), header.end());
  for (const Section& section : sections) {
    if (section.id == export_section) {
      Reader reader{section.content};
      const std::uint64_t count = reader.number();
      put_exports(out, count + 1, reader.rest);
    } else if (section.id == start_section) {
      if (!has_exports) put_exports(out, 1, {});  // Exports come just before the start section.
    } else {
      append(out, section.whole);
    }
  }
  return out;
}

bool exports_function(ByteView module, std::string_view name) {
  const auto sections = sections_of(module);
  if (!sections) return false;
  bool found = false;
  for (const Section& section : *sections) {
    if (section.id != export_section) continue;
    if (!for_each_export(section.content,
                         [&](auto other, auto kind, auto) { found = found || (kind == 0 && other == name); })) {
      return false;
    }
  }
  return found;
}

}  // namespace mesh::wasm
