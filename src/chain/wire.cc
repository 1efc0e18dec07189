#include "chain/wire.h"

#include <string>

namespace mesh::chain {

namespace {

enum class Kind : std::uint8_t { hello = 1, vote, transactions, ask, blocks, ask_part, part };

constexpr std::size_t hello_bytes = 1 + Cid::binary_size + 8 + Digest::size + 8 + 8;
constexpr std::size_t ask_bytes = 1 + 8 + 2;
constexpr std::size_t ask_part_bytes = 1 + 8 + 4;
constexpr std::size_t length_bytes = 4;

/// The largest message that begins with this byte; none: there is no such message.
std::optional<std::size_t> bound_of(std::uint8_t kind) {
  switch (static_cast<Kind>(kind)) {
    case Kind::hello:
      return hello_bytes;
    case Kind::vote:
      return 1 + consensus::max_message_bytes;
    case Kind::transactions:
      return 3 + max_batch_bytes;
    case Kind::ask:
      return ask_bytes;
    case Kind::blocks:
      return 11 + max_range_bytes;
    case Kind::ask_part:
      return ask_part_bytes;
    case Kind::part:
      return ask_part_bytes + max_part_bytes;
  }
  return std::nullopt;
}

std::unexpected<Error> malformed(std::string text) { return fail(ErrorCode::invalid, "malformed: " + std::move(text)); }

Status check_size(std::uint8_t kind, std::size_t bytes) {
  const std::optional<std::size_t> bound = bound_of(kind);
  if (!bound)
    return fail(ErrorCode::invalid, "unknown-kind: there are messages of kind 1 to 7, not " + std::to_string(kind));
  if (bytes > *bound) {
    return fail(ErrorCode::exhausted, "too-large: a message of kind " + std::to_string(kind) + " with " +
                                          std::to_string(bytes) + " bytes, more than " + std::to_string(*bound));
  }
  return {};
}

void put(Bytes& out, std::uint64_t number, std::size_t size) {
  for (std::size_t i = size; i > 0; --i) out.push_back(static_cast<std::uint8_t>(number >> (8 * (i - 1))));
}

void put(Bytes& out, Kind kind) { out.push_back(static_cast<std::uint8_t>(kind)); }

void put_with_length(Bytes& out, ByteView bytes) {
  put(out, bytes.size(), length_bytes);
  append(out, bytes);
}

std::uint64_t number_of(ByteView bytes) {
  std::uint64_t number = 0;
  for (const std::uint8_t byte : bytes) number = number << 8 | byte;
  return number;
}

/// Takes fields off the front. What is not there is read as zeros, and remembered.
class Fields {
 public:
  explicit Fields(ByteView rest) : rest_(rest) {}

  ByteView bytes(std::size_t size) {
    if (size > rest_.size()) {
      short_ = true;
      return {};
    }
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::uint64_t number(std::size_t size) { return number_of(bytes(size)); }
  ByteView with_length() { return bytes(number(length_bytes)); }
  [[nodiscard]] bool is_short() const { return short_; }
  /// That all was there and nothing is left.
  [[nodiscard]] Status end() const {
    if (short_) return malformed("the message ends too early");
    if (!rest_.empty()) return malformed("there are " + std::to_string(rest_.size()) + " bytes too many");
    return {};
  }

 private:
  ByteView rest_;
  bool short_ = false;
};

Result<Message> decode_hello(Fields fields) {
  const ByteView federation = fields.bytes(Cid::binary_size);
  const Height height = fields.number(8);
  const ByteView block = fields.bytes(Digest::size);
  const Height base = fields.number(8);
  const Height snapshot = fields.number(8);
  MESH_TRY(fields.end());
  if (base > height || snapshot > height)
    return malformed("a snapshot of a height above that of the chain, which is " + std::to_string(height));
  const Result<Cid> cid = Cid::from_bytes(federation);
  if (!cid) return wrap("malformed", cid.error());
  return message::Hello{
      .federation = *cid, .height = height, .block = *Digest::from(block), .base = base, .snapshot = snapshot};
}

Result<message::Transactions> decode_transactions(Fields fields) {
  const std::uint64_t count = fields.number(2);
  if (count == 0 || count > max_batch_transactions) {
    return malformed("a batch has 1 to " + std::to_string(max_batch_transactions) + " transactions, not " +
                     std::to_string(count));
  }
  message::Transactions transactions;
  for (std::uint64_t i = 0; i < count && !fields.is_short(); ++i)
    transactions.envelopes.push_back(to_bytes(fields.with_length()));
  MESH_TRY(fields.end());
  return transactions;
}

Result<Message> decode_ask(Fields fields) {
  const message::Ask ask{.from = fields.number(8), .count = fields.number(2)};
  MESH_TRY(fields.end());
  if (ask.from == 0 || ask.count == 0 || ask.count > max_range_blocks) {
    return malformed("blocks are asked for from 1 on and by 1 to " + std::to_string(max_range_blocks) + ", not " +
                     std::to_string(ask.count) + " from " + std::to_string(ask.from));
  }
  return ask;
}

Result<Message> decode_ask_part(Fields fields) {
  const message::AskPart ask{.height = fields.number(8), .part = static_cast<std::uint32_t>(fields.number(4))};
  MESH_TRY(fields.end());
  if (ask.height == 0) return malformed("a snapshot of height 0 is asked for");
  return ask;
}

Result<Message> decode_part(ByteView bytes) {
  constexpr std::size_t head = ask_part_bytes - 1;
  Fields fields(bytes);
  message::Part part{.height = fields.number(8), .part = static_cast<std::uint32_t>(fields.number(4)), .bytes = {}};
  if (fields.is_short()) return malformed("the message ends too early");
  part.bytes = to_bytes(bytes.subspan(head));
  return part;
}

Result<Message> decode_blocks(Fields fields) {
  message::Blocks answer{.from = fields.number(8), .blocks = {}};
  const std::uint64_t count = fields.number(2);
  if (count > max_range_blocks || answer.from == 0) {
    return malformed("an answer has at most " + std::to_string(max_range_blocks) + " blocks from 1 on, not " +
                     std::to_string(count) + " from " + std::to_string(answer.from));
  }
  for (std::uint64_t i = 0; i < count && !fields.is_short(); ++i) {
    const ByteView certificate = fields.with_length();
    const ByteView block = fields.with_length();
    answer.blocks.push_back({answer.from + i, to_bytes(certificate), to_bytes(block)});
  }
  MESH_TRY(fields.end());
  return answer;
}

}  // namespace

Bytes encode(const message::Hello& hello) {
  Bytes out;
  out.reserve(hello_bytes);
  put(out, Kind::hello);
  append(out, hello.federation.binary());
  put(out, hello.height, 8);
  append(out, hello.block.view());
  put(out, hello.base, 8);
  put(out, hello.snapshot, 8);
  return out;
}

Bytes encode(const message::Vote& vote) {
  Bytes out;
  out.reserve(1 + vote.bytes.size());
  put(out, Kind::vote);
  append(out, vote.bytes);
  return out;
}

Bytes encode(const message::Transactions& transactions) {
  Bytes out;
  put(out, Kind::transactions);
  put(out, transactions.envelopes.size(), 2);
  for (const Bytes& envelope : transactions.envelopes) put_with_length(out, envelope);
  return out;
}

Bytes encode(const message::Ask& ask) {
  Bytes out;
  put(out, Kind::ask);
  put(out, ask.from, 8);
  put(out, ask.count, 2);
  return out;
}

Bytes encode(const message::Blocks& answer) {
  Bytes out;
  put(out, Kind::blocks);
  put(out, answer.from, 8);
  put(out, answer.blocks.size(), 2);
  for (const FinalBlock& block : answer.blocks) {
    put_with_length(out, block.certificate);
    put_with_length(out, block.block);
  }
  return out;
}

Bytes encode(const message::AskPart& ask) {
  Bytes out;
  put(out, Kind::ask_part);
  put(out, ask.height, 8);
  put(out, ask.part, 4);
  return out;
}

Bytes encode(const message::Part& part) {
  Bytes out;
  out.reserve(ask_part_bytes + part.bytes.size());
  put(out, Kind::part);
  put(out, part.height, 8);
  put(out, part.part, 4);
  append(out, part.bytes);
  return out;
}

Result<Message> decode(ByteView bytes) {
  if (bytes.empty()) return malformed("the message is empty");
  MESH_TRY(check_size(bytes[0], bytes.size()));
  const ByteView rest = bytes.subspan(1);
  switch (static_cast<Kind>(bytes[0])) {
    case Kind::hello:
      return decode_hello(Fields(rest));
    case Kind::vote:
      return message::Vote{rest};
    case Kind::transactions:
      return decode_transactions(Fields(rest));
    case Kind::ask:
      return decode_ask(Fields(rest));
    case Kind::ask_part:
      return decode_ask_part(Fields(rest));
    case Kind::part:
      return decode_part(rest);
    case Kind::blocks:
      break;
  }
  return decode_blocks(Fields(rest));
}

Result<std::vector<Bytes>> decode_batch(ByteView bytes) {
  MESH_TRY(check_size(static_cast<std::uint8_t>(Kind::transactions), 1 + bytes.size()));
  MESH_LET(message::Transactions transactions, decode_transactions(Fields(bytes)));
  return std::move(transactions.envelopes);
}

Bytes framed(ByteView message) {
  Bytes out;
  out.reserve(length_bytes + message.size());
  put_with_length(out, message);
  return out;
}

Status FrameReader::check_head() const {
  if (held_.size() < length_bytes) return {};
  const std::size_t length = number_of(ByteView(held_).first(length_bytes));
  if (length == 0) return malformed("a message of no bytes");
  if (held_.size() == length_bytes) return {};
  return check_size(held_[length_bytes], length);
}

Status FrameReader::read(ByteView bytes, std::vector<Bytes>& taken) {
  while (!failed_) {
    // The length and the kind first, so that nothing is held of what is too large.
    const std::size_t head = length_bytes + 1;
    if (held_.size() < head) {
      const std::size_t more = std::min(head - held_.size(), bytes.size());
      append(held_, bytes.first(more));
      bytes = bytes.subspan(more);
      if (Status sound = check_head(); !sound) {
        failed_ = sound.error();
        break;
      }
      if (held_.size() < head) return {};
    }
    const std::size_t whole = length_bytes + number_of(ByteView(held_).first(length_bytes));
    const std::size_t more = std::min(whole - held_.size(), bytes.size());
    append(held_, bytes.first(more));
    bytes = bytes.subspan(more);
    if (held_.size() < whole) return {};
    held_.erase(held_.begin(), held_.begin() + length_bytes);
    taken.push_back(std::exchange(held_, {}));
  }
  held_ = {};
  return std::unexpected(*failed_);
}

}  // namespace mesh::chain
