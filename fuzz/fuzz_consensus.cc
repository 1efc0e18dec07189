#include <map>

#include "adapters/consensus/consensus.h"
#include "fuzz.h"

namespace {

using namespace mesh::consensus;  // NOLINT(google-build-using-namespace): this file is about nothing else
using mesh::Bytes;
using mesh::ByteView;
using mesh::Cid;
using mesh::Seed;

Cid federation() { return Cid::of(mesh::Multicodec::dag_cbor, mesh::as_bytes("fuzz")); }

Seed seed(std::uint8_t number) {
  std::array<std::uint8_t, Seed::size> bytes{};
  bytes.fill(number);
  return Seed(bytes);
}

const Validators& validators() {
  static const Validators all = [] {
    Validators list;
    for (std::uint8_t number = 1; number <= 4; ++number) list.push_back({mesh::public_key_of(seed(number)), 1});
    std::ranges::sort(list, {}, &Validator::key);
    return list;
  }();
  return all;
}

/// What the four say on the way to a block, and its certificate and the log of one of them: what the fuzzer alters.
struct Said {
  std::vector<Bytes> messages;
  std::vector<Bytes> log;
  Bytes certificate;
};
Said talk() {
  Said said;
  const Bytes block = frame(mesh::as_bytes("header"), mesh::as_bytes("rest"));
  std::vector<Consensus> nodes;
  std::vector<std::pair<std::size_t, Input>> inputs;
  for (std::uint8_t number = 1; number <= 4; ++number) {
    nodes.emplace_back(Config{.federation = federation(), .seed = seed(number), .observe = false, .timeouts = {}});
    inputs.emplace_back(number - 1, StartHeight{.height = 1, .validators = validators(), .log = {}});
    inputs.emplace_back(number - 1, Wake{});
  }
  std::map<std::size_t, Bytes> kept;  // Inputs are views: what they see stays where it is.
  said.messages.reserve(1000);
  for (std::size_t at = 0; at < inputs.size(); ++at) {
    const auto [node, input] = inputs[at];
    const auto outputs = nodes[node].step(input);
    MESH_CHECK(outputs.has_value(), "fuzz-consensus-talks");
    for (const auto& output : *outputs) {
      if (const auto* broadcast = std::get_if<Broadcast>(&output.effect)) {
        said.messages.push_back(broadcast->message);
        for (std::size_t other = 0; other < 4; ++other) {
          if (other != node) inputs.emplace_back(other, Message{said.messages.back()});
        }
      } else if (const auto* wanted = std::get_if<GetBlock>(&output.effect)) {
        inputs.emplace_back(node, Propose{.height = 1, .round = wanted->round, .block = block});
      } else if (const auto* asked = std::get_if<Validate>(&output.effect)) {
        inputs.emplace_back(node, Verdict{.question = asked->question, .judgement = Judgement::valid});
      } else if (const auto* append = std::get_if<Append>(&output.effect); append != nullptr && node == 0) {
        said.log.push_back(append->entry);
      } else if (const auto* decided = std::get_if<Decided>(&output.effect)) {
        said.certificate = decided->certificate;
      }
    }
  }
  MESH_CHECK(!said.certificate.empty() && !said.log.empty(), "fuzz-consensus-decides");
  return said;
}

void alter(Bytes& bytes, ByteView by) {
  for (std::size_t i = 0; i + 3 <= by.size(); i += 3) {
    const std::size_t at = (std::size_t{by[i]} << 8U | by[i + 1]) % bytes.size();
    bytes[at] ^= by[i + 2];
  }
}

}  // namespace

/// The first byte says what is altered by the rest, or that the rest is given as it is. Nobody can make what holds without the
/// keys; a log may be any, and must not bring it down.
void mesh::fuzz::check(ByteView input) {
  if (input.size() < 3) return;
  static const Said said = talk();
  const ByteView rest = input.subspan(2);
  Consensus node({.federation = federation(), .seed = seed(9), .observe = false, .timeouts = {}});
  StartHeight start{.height = 1, .validators = validators(), .log = {}};
  switch (input[0] % 6) {
    case 0: {
      std::ignore = node.step(start);
      MESH_CHECK(!node.step(Message{rest}), "fuzz-consensus-message-forged");
      return;
    }
    case 1: {
      Bytes message = said.messages[input[1] % said.messages.size()];
      const Bytes good = message;
      alter(message, rest);
      std::ignore = node.step(start);
      const auto outputs = node.step(Message{message});
      if (message == good || !outputs || outputs->empty()) return;
      // What follows a block's header is not signed: the application is asked about it, and that it is wrong leaves no trace.
      const auto* asked = std::get_if<Validate>(&outputs->front().effect);
      MESH_CHECK(outputs->size() == 1 && asked != nullptr, "fuzz-consensus-message-altered");
      const auto told = node.step(Verdict{.question = asked->question, .judgement = Judgement::mismatched});
      MESH_CHECK(told && told->empty(), "fuzz-consensus-mismatch-told");
      const auto again = node.step(Message{good});
      MESH_CHECK(again && again->size() == 1 && std::holds_alternative<Validate>(again->front().effect),
                 "fuzz-consensus-good-after-mismatch");
      return;
    }
    case 2: {
      Bytes certificate = said.certificate;
      alter(certificate, rest);
      const bool holds = verify_certificate(federation(), validators(), certificate).has_value();
      MESH_CHECK(holds == (certificate == said.certificate), "fuzz-consensus-certificate-altered");
      MESH_CHECK(!verify_certificate(federation(), validators(), rest), "fuzz-consensus-certificate-forged");
      return;
    }
    case 4: {
      const auto parts = parts_of(rest);
      MESH_CHECK(!parts || frame(parts->header, parts->rest) == Bytes(rest.begin(), rest.end()),
                 "fuzz-consensus-parts");
      return;
    }
    case 3: {
      MESH_CHECK(!check_evidence(federation(), rest), "fuzz-consensus-evidence-forged");
      return;
    }
    default: {
      start.log = said.log;
      alter(start.log[input[1] % start.log.size()], rest);
      std::ignore = node.step(start);
      std::ignore = node.step(Wake{});
      return;
    }
  }
}
