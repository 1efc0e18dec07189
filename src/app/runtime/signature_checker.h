// SignatureChecker: checks the signatures of incoming messages on a thread beside the node's, those of a message together.
//
// What goes in comes out in the same order, each message with the signatures of its envelopes that hold; whoever opens the
// envelopes is given these (hold_signatures) and meets a bad one as if nothing had been checked.
// Bounds: the bytes that wait; past them check() waits, which holds back the network as checking on the caller's thread would.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "codec/envelope.h"

namespace mesh::app {

class SignatureChecker {
 public:
  /// Called on the checker's thread: the message, and what hold_signatures() takes.
  using Checked = std::move_only_function<void(Bytes message, std::vector<Digest> held)>;

  explicit SignatureChecker(const Cid& federation, std::size_t max_waiting_bytes = std::size_t{64} << 20);
  /// Drops what waits.
  ~SignatureChecker();
  SignatureChecker(const SignatureChecker&) = delete;
  SignatureChecker& operator=(const SignatureChecker&) = delete;

  /// `message`: a parcel (node/parcel.h); anything else, also nothing, comes out as it is. Not from within `checked`.
  void check(Bytes message, Checked checked);

 private:
  struct Waiting {
    Bytes message;
    Checked checked;
  };
  void serve();

  const Cid federation_;
  const std::size_t max_waiting_bytes_;
  std::mutex mutex_;
  std::condition_variable more_, room_;
  std::deque<Waiting> queue_;
  std::size_t waiting_bytes_ = 0;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace mesh::app
