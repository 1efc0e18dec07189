#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>

#include "app/api/amount.h"
#include "app/api/api.h"
#include "app/cli/ledger_session.h"
#include "app/cli/session.h"
#include "app/cli/simulate.h"

namespace mesh::cli {
namespace {

using Action = std::function<int()>;

constexpr std::uint64_t max_height = std::uint64_t{1} << 60;

/// All names that may follow a command, for completion scripts.
struct Words {
  std::string path;
  std::vector<std::string> words;
};
void collect(const CLI::App& app, const std::string& path, std::vector<Words>& out) {
  Words words{.path = path, .words = {}};
  for (const CLI::App* sub : app.get_subcommands({})) words.words.push_back(sub->get_name());
  for (const CLI::Option* option : app.get_options({})) {
    for (const std::string& name : option->get_lnames()) words.words.push_back("--" + name);
    for (const std::string& name : option->get_snames()) words.words.push_back("-" + name);
  }
  out.push_back(std::move(words));
  for (const CLI::App* sub : app.get_subcommands({}))
    collect(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), out);
}

int print_completion(const CLI::App& app, const std::string& shell) {
  std::vector<Words> tree;
  collect(app, "", tree);
  const auto joined = [](const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
  };
  std::string text;
  if (shell == "fish") {
    for (const Words& node : tree) {
      std::string condition = node.path.empty() ? "__fish_use_subcommand" : "";
      std::string_view rest = node.path;
      while (!rest.empty()) {
        const std::size_t space = rest.find(' ');
        condition +=
            fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ", rest.substr(0, space));
        rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
      }
      for (const std::string& word : node.words) {
        if (word.starts_with("--")) {
          text += fmt::format("complete -c mesh -n '{}' -l {}\n", condition, word.substr(2));
        } else if (!word.starts_with('-')) {
          text += fmt::format("complete -c mesh -n '{}' -f -a {}\n", condition, word);
        }
      }
    }
  } else {
    if (shell == "zsh") text += "#compdef mesh\nautoload -U +X bashcompinit && bashcompinit\n";
    text +=
        "_mesh() {\n  local path= word i\n  for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${COMP_WORDS[i]}\n    "
        "case \"$path $word\" in\n";
    for (const Words& node : tree) {
      if (!node.path.empty()) text += fmt::format("      \" {0}\") path=\" {0}\" ;;\n", node.path);
    }
    text += "    esac\n  done\n  case \"$path\" in\n";
    for (const Words& node : tree)
      text += fmt::format("    \"{}\") COMPREPLY=($(compgen -W \"{}\" -- \"${{COMP_WORDS[COMP_CWORD]}}\")) ;;\n",
                          node.path.empty() ? "" : " " + node.path, joined(node.words));
    text += "  esac\n}\ncomplete -o default -F _mesh mesh\n";
  }
  put(as_bytes(text));
  return exit_ok;
}

struct Program {
  Session session;
  Action action;
  RunOptions run;
  InvitationOptions invitation;
  FoundingOptions founding;
  std::string id, text, file, shell, target;
  std::vector<std::string> holders, recipients;
  std::string visibility;
  std::optional<std::uint32_t> shard;
  std::uint64_t fee = 0, cost = 0;
  bool flag = false, as_sealed = false, at_once = false;
  unsigned nodes = 5;
  std::optional<unsigned> wait_s;
  std::string memo;
  Waiting waiting;
  Admission admission;
  ChainSource source;
  std::uint64_t limit = 20, from = 0, to = 0;

  void settings(CLI::App& app) {
    for (const config::SettingSpec& spec : config::setting_table()) {
      const std::string name = "--" + std::string(spec.name);
      const std::string key(spec.name);
      const std::string help = fmt::format("{} [{}]", spec.help, config::variable_of(spec.name));
      CLI::Option* option = nullptr;
      if (spec.type == config::SettingType::flag) {
        option = app.add_flag_callback(name, [this, key] { session.flags[key] = {"true"}; }, help);
      } else {
        option = app.add_option_function<std::vector<std::string>>(
            name, [this, key](const std::vector<std::string>& values) { session.flags[key] = values; }, help);
        option->type_name(std::string(spec.value_name))->expected(1)->allow_extra_args(false);
        option->multi_option_policy(config::is_list(spec.type) ? CLI::MultiOptionPolicy::TakeAll
                                                               : CLI::MultiOptionPolicy::TakeLast);
      }
      option->group("Settings (flag > -c > variable > --config > user file > /etc)");
    }
  }
  void globals(CLI::App& app) {
    app.fallthrough();
    app.set_help_flag("-h,--help", "show this help");
    app.add_option("--config", session.config_file, "read settings from this file, too")->type_name("FILE");
    app.add_option("-c", session.assignments, "set one setting: key=value (repeatable)")
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app.add_option("-o,--output", session.output, "table, wide, json, yaml or name")
        ->type_name("FORM")
        ->check(CLI::IsMember({"table", "wide", "json", "yaml", "name"}));
    app.add_flag("--json", session.json, "the same as -o json");
    app.add_flag("-q,--quiet", session.quiet, "no words on stderr but errors");
    settings(app);
  }

  CLI::App* command(CLI::App& parent, const std::string& name, const std::string& help, Action what) {
    CLI::App* sub = parent.add_subcommand(name, help);
    sub->callback([this, what = std::move(what)] { action = what; });
    return sub;
  }
  /// A noun: its verbs do the work; without one, `what` does, or the help is shown.
  CLI::App* noun(CLI::App& parent, const std::string& name, const std::string& help, Action what = {}) {
    CLI::App* sub = parent.add_subcommand(name, help);
    if (!what) {
      sub->require_subcommand(1);
    } else {
      sub->callback([this, sub, what = std::move(what)] {
        if (sub->get_subcommands().empty()) action = what;
      });
    }
    return sub;
  }
  void unbuilt(CLI::App& app, const std::string& name, const std::string& help) {
    CLI::App* sub = command(app, name, help + " (not built yet)", [this, name] {
      return session.fail(
          exit_failure,
          fmt::format("`mesh {}` is not built yet: this version runs functions and checks their results", name));
    });
    sub->fallthrough(false)->prefix_command();
  }

  void mesh(CLI::App& app) {
    globals(app);
    app.require_subcommand(1);
    command(app, "up", "run a node until Ctrl-C", [this] { return run_up(session, false); })
        ->footer(
            "At a terminal, and in no federation yet, it asks whether to join one on this network that takes whoever "
            "comes; --join lan joins it unasked.");
    CLI::App* demo = command(app, "demo", "a whole mesh on this machine and a real job through it",
                             [this] { return run_demo(session, nodes, text, file, flag); });
    demo->add_option("--nodes", nodes, "how many nodes")->check(CLI::Range(2, 16));
    demo->add_option("--folder", text, "keep the homes of the nodes in this folder instead of a temporary one")
        ->type_name("DIR");
    demo->add_flag("--stay", flag, "keep the mesh until Ctrl-C, and say where its dashboard is");
    demo->add_option("--exec", file,
                     "run this command over the mesh instead of the example; MESH_HOME names the first node's home")
        ->type_name("COMMAND");

    add_simulate(app, session, action);
    CLI::App* run_command = command(app, "run", "run a function over its inputs: .wasm .wat .py .js .rb .php",
                                    [this] { return run_run(session, run); });
    run_command->add_option("FILE", run.file, "the function, or a folder with a main.*")->required();
    run_command->add_option("ARGS", run.args, "arguments of the function, after --");
    run_command->add_option("-i,--input", run.inputs, "input: a file, a folder, cid:CID or - for stdin (repeatable)")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name("FILE");
    run_command->add_flag("--map", run.map, "one run for each input, file of a folder, or line of a .jsonl or .txt");
    run_command->add_flag("--sealed", run.sealed,
                          "seal the inputs: only the nodes that run and re-execute each of them can read it");
    run_command->add_option("--reduce", run.reduce, "function that folds the results")->type_name("FILE");
    run_command
        ->add_option("--fee", run.fee,
                     "micro-credits that a run may cost, or auto: what runs of that fuel cost lately; above 0 in "
                     "a federation with a ledger alone")
        ->check([](const std::string& told) {
          return told == "auto" || app::parse_micros(told) ? "" : "a number of micro-credits, or auto: " + told;
        })
        ->type_name("N|auto");
    run_command->add_option("--verifiers", run.verifiers, "nodes that re-execute each run; 0 for none")
        ->check(CLI::Range(0, 63));
    run_command->add_option("--sample", run.sample, "share of the runs that is re-executed, drawn when all are done")
        ->check(CLI::Range(0.001, 1.0))
        ->type_name("0.001..1");
    run_command->add_option("--value", run.value,
                            "micro-credits that a wrong result would cost you: the more, the more verifiers");
    run_command->add_option("--fuel", run.fuel, "fuel of one run")->check(CLI::PositiveNumber);
    run_command->add_option("--memory", run.memory_mb, "MiB of memory of one run")->check(CLI::PositiveNumber);
    run_command
        ->add_option("--timeout", run.timeouts, "PHASE=SECONDS: bid, fetch, run, nonce, reveal, total (repeatable)")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    run_command->add_option("--label", run.label, "name of the job for people");
    run_command->add_option("--output-dir", run.output_dir, "write the results into this folder")->type_name("DIR");
    run_command->add_flag("--only-file", run.only_file, "ship the file without its folder");
    run_command
        ->add_option("--runtime", run.runtime,
                     "python: the pre-started interpreter; python-full: the full one; else by what FILE imports")
        ->type_name("NAME");
    run_command->add_flag("--dry-run", run.dry_run, "show what would be asked for, and do nothing");
    run_command->add_flag("--detach", run.detach, "print the job's id and leave");

    CLI::App* job = noun(app, "job", "jobs of this node", [this] { return job_ls(session); });
    command(*job, "ls", "list jobs, newest first", [this] { return job_ls(session); });
    command(*job, "describe", "one job", [this] { return job_describe(session, id); })
        ->add_option("ID", id)
        ->required();
    CLI::App* logs =
        command(*job, "logs", "what the function wrote to stderr", [this] { return job_logs(session, id, flag); });
    logs->add_option("ID", id)->required();
    logs->add_flag("-f,--follow", flag, "go on until the job ends");
    CLI::App* get = command(*job, "get", "the result", [this] { return job_get(session, id, text); });
    get->add_option("ID", id)->required();
    get->add_option("--output-dir", text, "write the results into this folder")->type_name("DIR");
    command(*job, "stop", "stop a job", [this] { return job_post(session, id, "stop"); })
        ->add_option("ID", id)
        ->required();
    command(*job, "rerun", "the same again, as a new job", [this] { return job_post(session, id, "rerun"); })
        ->add_option("ID", id)
        ->required();
    command(*job, "explain", "who bid, who ran, who verified, and why", [this] { return job_explain(session, id); })
        ->add_option("ID", id)
        ->required();

    CLI::App* paid = command(*job, "payment", "what became of a job's fee, and who had how much of it",
                             [this] { return job_payment(session, id, wait_s); });
    paid->add_option("ID", id)->required();
    paid->add_option("--wait", wait_s, "until the escrow has ended, at most so many seconds")
        ->check(CLI::Range(1, 86'400))
        ->type_name("SECONDS");

    CLI::App* receipt = noun(app, "receipt", "proof bundles");
    CLI::App* verify =
        command(*receipt, "verify", "check a bundle, and what its task paid, with no node and no network",
                [this] { return receipt_verify(session, file, shard, flag); });
    verify->add_option("FILE", file)->required();
    CLI::Option* only = verify->add_option("--shard", shard, "what it proves of this shard; fails if that is nothing");
    verify->add_flag("--each-shard", flag, "check each shard's proof alone as well, as if the others were not there")
        ->excludes(only);
    CLI::App* exported =
        command(*receipt, "export", "write a job's whole story, or what proves one shard, into a CAR file",
                [this] { return receipt_export(session, id, file, shard); });
    exported->add_option("ID", id)->required();
    exported->add_option("--shard", shard, "only what proves this shard, in a bundle that stands alone");
    exported->add_option("--file", file, "where to; ID.car unless told, or ID-SHARD.car")->type_name("FILE");

    CLI::App* peers = noun(app, "peers", "who is there", [this] { return peers_ls(session); });
    command(*peers, "ls", "list peers", [this] { return peers_ls(session); });
    command(*peers, "ping", "one round trip", [this] { return peers_ping(session, id); })
        ->add_option("PEER", id)
        ->required();

    CLI::App* invite =
        command(*peers, "invite", "print a token by which another machine comes into this node's federation",
                [this] { return peers_invite(session, invitation); });
    invite
        ->add_option("--roles", invitation.roles,
                     "of member, worker, verifier, validator, steward: what it is to be; the first three unless told")
        ->delimiter(',')
        ->type_name("ROLES");
    invite->add_option("--credits", invitation.credits, "credits that go with it, out of this node's balance")
        ->check(CLI::Range(0, 1'000'000'000));
    invite->add_option("--uses", invitation.uses, "how many may come in with it")->check(CLI::Range(1, 1000));
    invite->add_option("--hours", invitation.hours, "for how long it holds")->check(CLI::Range(1, 8784));

    CLI::App* assets = noun(app, "assets", "content by its hash", [this] { return assets_ls(session); });
    CLI::App* added = command(
        *assets, "add", "share a file or a folder where it lies, with whoever knows its CID, and print that", [this] {
          return recipients.empty() ? assets_add(session, file, visibility, flag)
                                    : assets_add_sealed(session, file, recipients);
        });
    added->add_option("PATH", file)->required();
    auto* const copied = added->add_flag("--copy", flag, "keep a copy, which stays as it is whatever becomes of PATH");
    auto* const listed =
        added->add_option("--visibility", visibility, "list it, for these alone: lan, federation or everybody")
            ->check(CLI::IsMember({"lan", "federation", "everybody"}))
            ->excludes(copied);
    added
        ->add_option(
            "--for", recipients,
            "seal a copy of the file for this node, by did:key:... or PeerId, or self: only those named can read it, "
            "anyone can keep and serve it (repeatable)")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name("DID")
        ->excludes(copied)
        ->excludes(listed);
    command(*assets, "ls", "list what this node shares (--share, [[share]], assets add)",
            [this] { return assets_ls(session); });
    command(*assets, "find", "find shared files by name, glob, hub id or CID",
            [this] { return assets_find(session, id); })
        ->add_option("NAME_OR_CID", id)
        ->required();
    command(*assets, "pin", "keep content that is here, whatever room is wanted for",
            [this] { return assets_pin(session, id); })
        ->add_option("CID_OR_NAME", id)
        ->required();
    command(*assets, "unpin", "take a pin away", [this] { return assets_unpin(session, id); })
        ->add_option("CID_OR_NAME", id)
        ->required();
    command(*assets, "pins", "list what is pinned", [this] { return assets_pins(session); });
    command(*assets, "rm",
            "serve no more what was added: PATH stays as it is, a copy goes once room is needed, unless it is pinned",
            [this] { return assets_rm(session, id); })
        ->add_option("PATH_OR_CID", id)
        ->required();
    command(*assets, "refresh", "look at every shared file again", [this] { return assets_refresh(session); });
    CLI::App* fetched = command(*assets, "get",
                                "fetch content and write it to stdout or a file, opened if it is a file sealed for "
                                "this node; a shared file is kept, "
                                "and served on to whom it is for",
                                [this] { return assets_get(session, id, holders, file, flag, as_sealed); });
    fetched->add_option("CID_OR_NAME", id)->required();
    auto* const to_file = fetched->add_option("-o,--file", file, "where to")->type_name("FILE");
    fetched->add_flag("--path", flag, "print where the node keeps the file instead of its content")->excludes(to_file);
    fetched->add_flag("--sealed", as_sealed, "leave a sealed file as it is");
    fetched
        ->add_option(
            "--from", holders,
            "a peer to ask, by id or multiaddress, Meshwork's or another that speaks Bitswap; may be given again")
        ->type_name("PEER");

    const auto show_config = [this](CLI::App& parent) {
      CLI::App* settings_noun =
          noun(parent, "config", "settings and where they come from", [this] { return config_list(session, flag); });
      settings_noun->add_flag("--show-origin", flag, "say which flag, variable or file gave a value");
      CLI::App* list = command(*settings_noun, "list", "list settings", [this] { return config_list(session, flag); });
      list->add_flag("--show-origin", flag, "say which flag, variable or file gave a value");
      command(parent, "paths", "where things lie", [this] { return show_paths(session); });
      command(parent, "doctor", "what is wrong here and how this node is reached, or why a peer cannot be reached",
              [this] { return run_doctor(session, target); })
          ->add_option("TARGET", target, "a PeerId or a multiaddress");
      command(parent, "version", "the version", [this] {
        if (session.form() == Form::json || session.form() == Form::yaml) {
          session.print({{"version", MESH_VERSION}});
        } else {
          fmt::print("mesh {}\n", MESH_VERSION);
        }
        return static_cast<int>(exit_ok);
      });
      command(parent, "openapi", "the description of the HTTP API (OpenAPI 3.1), for making clients", [] {
        fmt::print("{}\n", app::Api::openapi());
        return static_cast<int>(exit_ok);
      });
    };
    CLI::App* node = noun(app, "node", "the node itself", [this] { return node_status(session); });
    command(*node, "id", "what this node is called: its did and its PeerId; makes its key if there is none",
            [this] { return node_id(session); });
    command(*node, "status", "what the running node is and does", [this] { return node_status(session); });
    show_config(*node);
    show_config(app);
    const auto completion = [this, &app](CLI::App& parent) {
      command(parent, "completion", "a completion script: bash, zsh or fish",
              [this, &app] { return print_completion(app, shell); })
          ->add_option("SHELL", shell)
          ->required()
          ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    };
    completion(app);
    completion(*node);
    wallet_commands(app);
    ledger_commands(app);
    federation_commands(app);
    unbuilt(app, "policy", "the federation's rules");
    unbuilt(app, "inference", "language models");
  }

  /// For a command that makes a transaction.
  CLI::App* waits(CLI::App* sub) {
    sub->add_flag("--detach", waiting.detach,
                  "do not wait until it is final: it is enough that it waits to be in a block");
    sub->add_option("--timeout", waiting.timeout_s, "how long to wait until it is final; 60 unless told")
        ->check(CLI::Range(1, 120))
        ->type_name("SECONDS");
    return sub;
  }

  void wallet_commands(CLI::App& app) {
    CLI::App* wallet =
        noun(app, "wallet", "credits on the federation's ledger", [this] { return wallet_show(session, ""); });
    command(*wallet, "show", "an account: balance, bond, roles, reputation; this node's unless told", [this] {
      return wallet_show(session, id);
    })->add_option("DID", id, "did:key:... or PeerId");
    CLI::App* send = waits(command(*wallet, "send", "give credits to an account",
                                   [this] { return wallet_send(session, id, text, memo, waiting); }));
    send->add_option("DID", id, "did:key:... or PeerId; a mistyped one that is somebody's is lost")->required();
    send->add_option("AMOUNT", text, "credits, with up to six decimals")->required();
    send->add_option("--memo", memo, "at most 128 bytes, for everybody to read")->type_name("TEXT");
    waits(
        command(*wallet, "bond", "put credits down as a bond", [this] { return wallet_bond(session, text, waiting); }))
        ->add_option("AMOUNT", text, "credits, with up to six decimals")
        ->required();
    waits(command(*wallet, "unbond",
                  "take credits out of the bond; they are in the balance when the lock period is over",
                  [this] { return wallet_unbond(session, text, waiting); }))
        ->add_option("AMOUNT", text, "credits, with up to six decimals")
        ->required();
    waits(command(*wallet, "rotate",
                  "give the account another key, which the node has from its next start on; what it has stays",
                  [this] { return wallet_rotate(session, at_once, waiting); }))
        ->add_flag("--now", at_once, "also while jobs of this node run, which fail then");
    CLI::App* history = command(*wallet, "history", "transactions of an account, newest first; this node's unless told",
                                [this] { return wallet_history(session, id, limit); });
    history->add_option("DID", id, "did:key:... or PeerId");
    history->add_option("--limit", limit, "at most so many; 20 unless told")->check(CLI::Range(1, 1'000'000));
  }

  void ledger_commands(CLI::App& app) {
    CLI::App* ledger =
        noun(app, "ledger", "the federation's ledger, block by block", [this] { return ledger_head(session); });
    command(*ledger, "head", "how far it is, and what there is", [this] { return ledger_head(session); });
    command(*ledger, "block", "a block with its transactions", [this] { return ledger_block(session, from); })
        ->add_option("HEIGHT", from)
        ->required()
        ->check(CLI::Range(std::uint64_t{1}, max_height));
    CLI::App* exported =
        command(*ledger, "export", "write the chain of this home into a CAR file that anybody can check",
                [this] { return ledger_export(session, file, from, to); });
    exported->add_option("--car", file, "where to; NAME-FROM-TO.car unless told")->type_name("FILE");
    exported->add_option("--from", from, "the first block; the first that is here unless told")
        ->check(CLI::Range(std::uint64_t{1}, max_height))
        ->type_name("HEIGHT");
    exported->add_option("--to", to, "the last block; the latest unless told")
        ->check(CLI::Range(std::uint64_t{1}, max_height))
        ->type_name("HEIGHT");
    CLI::App* verified = command(
        *ledger, "verify",
        "check the whole chain with no node and no network, from charter and genesis on: every certificate, signature, "
        "transaction and state root; this home's unless told",
        [this] { return ledger_verify(session, source); });
    auto* const stored = verified->add_option("--file", source.file, "a chain's storage")->type_name("FILE");
    verified
        ->add_option("--car", source.cars, "an exported chain; given again, one that goes on where the last one ends")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name("FILE")
        ->excludes(stored);
  }

  void federation_commands(CLI::App& app) {
    CLI::App* federation = noun(app, "federation", "who is in the federation, and may do what",
                                [this] { return federation_show(session); });
    CLI::App* found = command(*federation, "found", "found a federation with a ledger, of which this home is then",
                              [this] { return federation_found(session, founding); });
    found->add_option("NAME", founding.name, "1 to 64 characters of a-z, 0-9 and -")->required();
    found
        ->add_option("--founder", founding.founders,
                     "another node that founds it, by did:key:... or PeerId; it is a validator, too (repeatable)")
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name("DID");
    found->add_flag("--open", founding.open, "whoever finds it may enrol as a member");
    found->add_option("--credits", founding.credits, "of each founder")->check(CLI::Range(0, 1'000'000'000));
    found->add_option("--bond", founding.bond, "of each founder, on top")->check(CLI::Range(1, 1'000'000'000));
    found
        ->add_option("--dispute-window", founding.dispute_s,
                     "seconds between what a worker reveals and its payment, in which a member may dispute it")
        ->check(CLI::Range(1, 86'400));
    command(*federation, "show", "the federation", [this] { return federation_show(session); });
    command(*federation, "members", "everybody who has or had a credential",
            [this] { return federation_members(session); });
    CLI::App* admit =
        waits(command(*federation, "admit", "give a node a credential, or another one than it had; for stewards",
                      [this] { return federation_admit(session, admission, waiting); }));
    admit->add_option("DID", admission.node, "did:key:... or PeerId")->required();
    admit
        ->add_option("--roles", admission.roles,
                     "member, worker, verifier, validator, steward, with commas between them")
        ->required()
        ->type_name("ROLES");
    admit->add_option("--owner", admission.owner, "did of who owns the node, where that is not the node itself")
        ->type_name("DID");
    admit->add_option("--expires-height", admission.expires_height, "the first height at which it no longer holds")
        ->type_name("HEIGHT");
    CLI::App* revoke = waits(command(*federation, "revoke", "take a node's credential back; for stewards",
                                     [this] { return federation_revoke(session, id, text, waiting); }));
    revoke->add_option("DID", id, "did:key:... or PeerId")->required();
    revoke->add_option("--reason", text, "at most 128 bytes, for everybody to read")->required()->type_name("TEXT");
  }

  /// Started as ZephyMesh's launcher starts its node: without a command.
  void zephymesh_node(CLI::App& app) {
    globals(app);
    action = [this] {
      session.flags["zephymesh"] = {"true"};
      return run_up(session, false);
    };
  }

  void mesh_cli(CLI::App& app) {
    globals(app);
    app.require_subcommand(1);
    command(app, "start", "run a node until Ctrl-C", [this] { return run_up(session, true); });
    CLI::App* publish = command(app, "publish-task", "run a module over an input",
                                [this] { return publish_task(session, id, target, fee); });
    publish->add_option("--wasm-cid", id)->required()->type_name("CID");
    publish->add_option("--input-cid", target)->required()->type_name("CID");
    publish->add_option("--fee", fee);
    CLI::App* offer = command(app, "offer-execution", "offer by hand to execute a task of another node's",
                              [this] { return offer_execution(session, id, cost); });
    offer->add_option("--task-cid", id, "a task that this node heard of: GET /api/v1/intents")
        ->required()
        ->type_name("CID");
    offer->add_option("--cost", cost, "micro-credits for a shard, at most the fee")->required();
    command(app, "list-peers", "who is there", [this] { return peers_ls(session); });
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // A limit on file sizes is an error of the write, as a full disk is.
  Program program;
  const std::string name = std::filesystem::path(argc > 0 ? argv[0] : "mesh").filename().string();
  const bool is_mesh_cli = name == "mesh-cli";
  const bool is_zephymesh = name.starts_with("zephymesh_node");
  CLI::App app(is_mesh_cli ? "Meshwork by the commands of ICN Mesh Compute"
                           : "Meshwork: one computer out of the machines there are",
               is_mesh_cli    ? "mesh-cli"
               : is_zephymesh ? "zephymesh_node"
                              : "mesh");
  try {
    if (is_mesh_cli) {
      program.mesh_cli(app);
    } else if (is_zephymesh) {
      program.zephymesh_node(app);
    } else {
      program.mesh(app);
    }
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    put(as_bytes(app.help()));
    return exit_ok;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    fmt::print(stderr, "error: {}; `{} --help` shows what there is\n", error.what(), app.get_name());
    return exit_usage;
  }
  if (!program.action) return exit_usage;
  return program.action();
}

}  // namespace mesh::cli
