// `mesh sim`: plan a mesh before there is one.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mesh::cli {

class Session;

/// Adds the command to `app`; when it is given, `action` becomes what runs it.
void add_simulate(CLI::App& app, Session& session, std::function<int()>& action);

}  // namespace mesh::cli
