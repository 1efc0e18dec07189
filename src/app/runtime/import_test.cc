#include "app/runtime/import.h"
#include "adapters/sealing/sealing.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>

#include "app/runtime/sealed_inputs.h"
#include "app/runtime/test_content.h"
#include "domain/task/intent.h"

namespace mesh::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view empty_module{"\0asm\1\0\0\0", 8};

struct ImportTest : testing::Test {
  TestStore store;
  store::TemporaryFolder folder;
  fs::path top = folder.path() / "top";

  ImportTest() {
    fs::create_directories(top);
    ::setenv("MESH_RUNTIMES_DIR", (top / "none installed").c_str(), 1);  // Not those of the machine.
  }
  ~ImportTest() override {
    ::unsetenv("MESH_RUNTIMES_DIR");
    std::error_code ignored;
    fs::permissions(top, fs::perms::owner_all, ignored);
  }

  void write(const std::string& name, std::string_view content) {
    fs::create_directories((top / name).parent_path());
    std::ofstream(top / name, std::ios::binary) << content;
  }
  std::string text_of(const Cid& cid) { return std::string(as_text(*store.blocks->read_dag_file(cid, 1 << 30))); }
  Result<Program> program(const fs::path& path, const ProgramOptions& options = {}) {
    return import_program(path, options, store.sink());
  }
  Result<ImportedInputs> inputs(const std::vector<InputSpec>& specs, bool map) {
    return import_inputs(specs, map, store.sink());
  }
  InputSpec path(const std::string& name) {
    return {.kind = InputSpec::Kind::path, .path = top / name, .bytes = {}, .cid = {}};
  }

  /// A catalogue with one interpreter of eight bytes.
  void install_runtime(std::string_view sha256 = {}) {
    write("runtimes/toy.wasm", empty_module);
    write("runtimes/toy.tar", std::string(1024, '\0'));
    const std::string pin = sha256.empty() ? mesh::sha256(as_bytes(empty_module)).hex() : std::string(sha256);
    const std::string root_pin = mesh::sha256(as_bytes(std::string(1024, '\0'))).hex();
    write(
        "runtimes/catalogue.json",
        R"({"runtimes": [{"name": "python", "version": "Toy 1", "extensions": [".py"], "file": "toy.wasm", "sha256": ")" +
            pin + R"(", "root": "toy.tar", "root_sha256": ")" + root_pin +
            R"(", "argv": ["toy", "{script}", "{args}"], "stdin_file": "/dev/stdin", "environment": {"A": "b"}}]})");
    ::setenv("MESH_RUNTIMES_DIR", (top / "runtimes").c_str(), 1);
  }
};

TEST_F(ImportTest, AScriptShipsItsFolderWithoutWhatNobodyNeeds) {
  write("main.py", "import util");
  write("util.py", "x = 1");
  write("data/table.csv", "1,2");
  write(".git/config", "secret");
  write(".hidden", "secret");
  write("__pycache__/util.pyc", "junk");
  write("node_modules/a/index.js", "junk");
  fs::create_directory_symlink(top, top / "loop");
  fs::create_symlink("/etc/passwd", top / "passwd");
  ASSERT_EQ(::mkfifo((top / "pipe").c_str(), 0600), 0);
  const auto made = program(top / "main.py");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->language, "python-full");
  EXPECT_NE(made->runtime_note.find("no runtimes are installed here"), std::string::npos) << made->runtime_note;
  EXPECT_EQ(made->script, "main.py");
  EXPECT_EQ(made->files, 3U);
  const auto tree = store.blocks->collect_tree(made->content);
  ASSERT_TRUE(tree);
  ASSERT_EQ(tree->size(), 3U);
  EXPECT_EQ(text_of(tree->at("data/table.csv")), "1,2");
  EXPECT_EQ(made->left_out,
            (std::vector<std::string>{".git", ".hidden", "__pycache__", "loop", "node_modules", "passwd", "pipe"}));
  EXPECT_NE(made->description.find("main.py and 2 more files"), std::string::npos) << made->description;
  EXPECT_EQ(program(top)->content, made->content);  // The folder with its main is the same.
  EXPECT_EQ(program(top / "main.py", {.only_file = true, .runtime = {}})->files, 1U);
}

TEST_F(ImportTest, WhatIsNoProgramIsRefusedByName) {
  EXPECT_EQ(program(top / "none.py").error().code, ErrorCode::not_found);
  const auto no_main = program(top);
  EXPECT_EQ(no_main.error().code, ErrorCode::not_found);
  EXPECT_NE(no_main.error().message.find("a folder without a main"), std::string::npos);
  write("notes.txt", "x");
  EXPECT_NE(program(top / "notes.txt").error().message.find("known are .wasm"), std::string::npos);
  write("main.py", "x");
  write("main.js", "x");
  EXPECT_NE(program(top).error().message.find("several mains (main.py, main.js)"), std::string::npos);
  write("bad.wasm", "MZ");
  EXPECT_EQ(program(top / "bad.wasm").error().code, ErrorCode::invalid);
  write("later.wasm", std::string_view("\0asm\2\0\0\0", 8));
  EXPECT_EQ(program(top / "later.wasm").error().code, ErrorCode::unsupported);
  write("bad.wat", "(module");
  EXPECT_EQ(program(top / "bad.wat").error().code, ErrorCode::invalid);
  ASSERT_EQ(::mkfifo((top / "pipe.py").c_str(), 0600), 0);
  EXPECT_NE(program(top / "pipe.py").error().message.find("FIFO"), std::string::npos);
  fs::create_symlink("main.py", top / "link.py");
  EXPECT_EQ(program(top / "link.py").error().code, ErrorCode::invalid);
}

TEST_F(ImportTest, APythonProgramGetsTheInterpreterThatItNeeds) {
  const std::string pin = mesh::sha256(as_bytes(empty_module)).hex();
  write("../two/toy.wasm", empty_module);
  const auto install = [&](std::string_view more) {
    write(
        "../two/catalogue.json",
        R"({"runtimes": [{"name": "python", "version": "Started 1", "extensions": [".py"], "file": "toy.wasm", "sha256": ")" +
            pin + R"(", "argv": ["toy", "{script}", "{args}"], )" + std::string(more) +
            R"(}, {"name": "python-full", "version": "Full 1", "extensions": [], "file": "toy.wasm", "sha256": ")" +
            pin + R"(", "argv": ["full", "{script}"]}]})");
  };
  install(R"("abi": "component", "library": {"modules": ["json"], "missing": ["sqlite3"]})");
  ::setenv("MESH_RUNTIMES_DIR", (top / "../two").c_str(), 1);
  const auto node_of = [&](const Program& made) {
    const auto function = make_function(made, {"x"}, *store.node, *store.blocks);
    EXPECT_TRUE(function) << function.error().message;
    return *record::decode<task::FunctionNode>(**store.blocks->get(function->function));
  };

  write("main.py", "import json, util");
  write("util.py", "");
  auto made = program(top);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->language, "python");
  EXPECT_EQ(made->runtime_note, "");
  EXPECT_EQ(node_of(*made).abi, task::Abi::component);
  EXPECT_EQ(node_of(*made).args, (std::vector<std::string>{"toy", "/program/main.py", "x"}));

  write("util.py", "def f():\n  import sqlite3\n");
  made = program(top / "main.py");
  EXPECT_EQ(made->language, "python-full");
  EXPECT_NE(made->runtime_note.find("it imports sqlite3"), std::string::npos) << made->runtime_note;
  EXPECT_EQ(node_of(*made).abi, task::Abi::wasi);
  EXPECT_EQ(program(top / "main.py", {.only_file = true, .runtime = {}})->language,
            "python-full");  // No util is there.
  write("alone.py", "import json");
  EXPECT_EQ(program(top / "alone.py", {.only_file = true, .runtime = {}})->language, "python");
  made = program(top / "main.py", {.only_file = false, .runtime = "python"});
  EXPECT_EQ(made->language, "python");
  EXPECT_EQ(made->runtime_note, "");
  EXPECT_EQ(program(top / "alone.py", {.only_file = false, .runtime = "python-full"})->language, "python-full");
  EXPECT_EQ(program(top / "alone.py", {.only_file = false, .runtime = "ruby"}).error().code, ErrorCode::invalid);
  write("a.wasm", empty_module);
  EXPECT_EQ(program(top / "a.wasm", {.only_file = false, .runtime = "python"}).error().code, ErrorCode::invalid);

  EXPECT_EQ(import_source("python", as_bytes("import json"), store.sink())->language, "python");
  EXPECT_EQ(import_source("python", as_bytes("import sqlite3"), store.sink())->language, "python-full");
  EXPECT_EQ(import_source("python-full", as_bytes("import json"), store.sink())->language, "python-full");

  for (const std::string_view damaged : {R"("abi": "other")", R"("library": [])", R"("library": {"modules": ["a"]})",
                                         R"("library": {"modules": [1], "missing": []})"}) {
    install(damaged);
    EXPECT_EQ(RuntimeCatalogue::find().error().code, ErrorCode::invalid) << damaged;
  }
}

TEST_F(ImportTest, AComponentIsAProgram) {
  write("a.wat", "(component)");
  const auto made = program(top / "a.wat");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->language, "wasm");
  const auto function = make_function(*made, {"x"}, *store.node, *store.blocks);
  ASSERT_TRUE(function);
  EXPECT_EQ(record::decode<task::FunctionNode>(**store.blocks->get(function->function))->abi, task::Abi::component);
}

TEST_F(ImportTest, AFolderAboveTheBoundNamesTheWayOut) {
  write("main.py", "x");
  for (int i = 0; i < 4'100; ++i) write("many/" + std::to_string(i), "");
  const auto made = program(top / "main.py");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::exhausted);
  EXPECT_NE(made.error().message.find("--only-file"), std::string::npos);
  EXPECT_TRUE(program(top / "main.py", {.only_file = true, .runtime = {}}));
  fs::remove_all(top / "many");
  write("large", "");
  fs::resize_file(top / "large", (64 << 20) + 1);
  EXPECT_NE(program(top / "main.py").error().message.find("--only-file"), std::string::npos);
}

TEST_F(ImportTest, ModulesAndTextModules) {
  write("a.wasm", empty_module);
  const auto module = program(top / "a.wasm");
  ASSERT_TRUE(module);
  EXPECT_EQ(module->content, Cid::of(Multicodec::raw, as_bytes(empty_module)));
  write("a.wat", "(module)");
  EXPECT_EQ(program(top / "a.wat")->content, module->content);
  EXPECT_EQ(import_source("wat", as_bytes("(module)"), store.sink())->content, module->content);
  EXPECT_FALSE(import_source("cobol", as_bytes("x"), store.sink()));
  EXPECT_EQ(make_function(*module, {}, *store.node, *store.blocks)->function, module->content);
  const auto with_args = make_function(*module, {"a", "b"}, *store.node, *store.blocks);
  ASSERT_TRUE(with_args);
  const auto node = record::decode<task::FunctionNode>(**store.blocks->get(with_args->function));
  ASSERT_TRUE(node);
  EXPECT_EQ(node->args, (std::vector<std::string>{"main", "a", "b"}));
  EXPECT_EQ(node->abi, task::Abi::wasi);
  EXPECT_FALSE(make_function(*module, {std::string("\xff")}, *store.node, *store.blocks));
  EXPECT_FALSE(make_function(*module, std::vector<std::string>(300, "x"), *store.node, *store.blocks));
}

TEST_F(ImportTest, AScriptGetsItsPinnedRuntimeOnce) {
  install_runtime();
  write("p/main.py", "x");
  const auto made = import_function(top / "p", {"1", "2"}, {}, *store.node, *store.blocks);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_NE(made->description.find("with Toy 1"), std::string::npos);
  const auto node = record::decode<task::FunctionNode>(**store.blocks->get(made->function));
  ASSERT_TRUE(node);
  EXPECT_EQ(node->args, (std::vector<std::string>{"toy", "/program/main.py", "1", "2"}));
  EXPECT_EQ(node->env, (std::vector<std::string>{"A=b", "MESH_STDIN_FILE=/dev/stdin"}));
  EXPECT_TRUE(node->root);
  fs::remove(top / "runtimes/toy.wasm");  // Not read again while its blocks are here.
  EXPECT_TRUE(import_function(top / "p", {}, {}, *store.node, *store.blocks));
  ASSERT_TRUE(store.blocks->erase(node->runtime));
  EXPECT_FALSE(import_function(top / "p", {}, {}, *store.node, *store.blocks));
  write("runtimes/toy.wasm", empty_module);
  EXPECT_TRUE(import_function(top / "p", {}, {}, *store.node, *store.blocks));
}

TEST_F(ImportTest, ARuntimeThatIsNotThePinnedOneIsRefused) {
  install_runtime(std::string(64, 'a'));
  write("p/main.py", "x");
  const auto made = import_function(top / "p", {}, {}, *store.node, *store.blocks);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("not the file that the catalogue pins"), std::string::npos);
  write("p/main.rb", "x");
  EXPECT_EQ(import_function(top / "p/main.rb", {}, {}, *store.node, *store.blocks).error().code, ErrorCode::not_found);
  for (const std::string_view bad : {"", "{", "[]", R"({"runtimes": [1]})", R"({"runtimes": [{"name": "x"}]})",
                                     R"({"runtimes": [{"name": "x", "file": "../x", "sha256": "0"}]})"}) {
    write("runtimes/catalogue.json", bad);
    EXPECT_EQ(RuntimeCatalogue::load(top / "runtimes").error().code, ErrorCode::invalid) << bad;
  }
  EXPECT_EQ(RuntimeCatalogue::load(top / "none").error().code, ErrorCode::not_found);
}

TEST_F(ImportTest, InputsOneOrMany) {
  write("in/b.txt", "bee");
  write("in/a/x.txt", "ex");
  write("lines.jsonl", "{\"n\":1}\r\n\n  \n{\"n\":2}\nlast");
  const auto nothing = inputs({}, false);
  ASSERT_TRUE(nothing);
  ASSERT_EQ(nothing->inputs.size(), 1U);
  EXPECT_EQ(nothing->inputs[0].cid, Cid::of(Multicodec::raw, ByteView()));
  const auto one = inputs({path("in/b.txt")}, false);
  ASSERT_TRUE(one);
  EXPECT_EQ(text_of(one->inputs.at(0).cid), "bee");
  const auto list = record::decode<task::ShardList>(**store.blocks->get(one->shard_list));
  EXPECT_EQ(list->inputs, std::vector{one->inputs.front().cid});
  const auto files = inputs({path("in")}, true);
  ASSERT_TRUE(files);
  EXPECT_EQ(files->names, (std::vector<std::string>{"a/x.txt", "b.txt"}));
  const auto lines = inputs({path("lines.jsonl")}, true);
  ASSERT_TRUE(lines);
  ASSERT_EQ(lines->inputs.size(), 3U);
  EXPECT_EQ(text_of(lines->inputs[0].cid), "{\"n\":1}");
  EXPECT_EQ(text_of(lines->inputs[2].cid), "last");
  EXPECT_EQ(lines->names[1], "lines.jsonl line 4");
  const InputSpec stdin_bytes{.kind = InputSpec::Kind::bytes, .path = {}, .bytes = to_bytes("piped"), .cid = {}};
  const InputSpec by_cid{.kind = InputSpec::Kind::cid, .path = {}, .bytes = {}, .cid = one->inputs[0].cid};
  EXPECT_EQ(inputs({stdin_bytes, by_cid, path("in/b.txt")}, true)->inputs.size(), 3U);
  EXPECT_EQ(inputs({path("in")}, false).error().code, ErrorCode::invalid);
  EXPECT_EQ(inputs({stdin_bytes, by_cid}, false).error().code, ErrorCode::invalid);
  EXPECT_EQ(inputs({}, true).error().code, ErrorCode::invalid);
  EXPECT_EQ(inputs({path("none")}, true).error().code, ErrorCode::not_found);
  ASSERT_EQ(::mkfifo((top / "in/pipe").c_str(), 0600), 0);
  EXPECT_EQ(inputs({path("in")}, true).error().code, ErrorCode::invalid);
}

TEST_F(ImportTest, ManyInputsAreListedInPartsOfBoundedNumberAndSize) {
  const Cid input = Cid::of(Multicodec::raw, as_bytes("1"));
  const auto parts_of = [&](std::vector<ListedInput> listed) {
    const auto made = list_inputs(std::move(listed), store.sink());
    EXPECT_TRUE(made);
    const auto list = record::decode<task::ShardList>(**store.blocks->get(made->shard_list));
    EXPECT_TRUE(list->inputs.empty());
    std::vector<std::uint32_t> sizes;
    for (const task::ShardList::Part& part : list->parts) {
      EXPECT_EQ(record::decode<task::ShardList>(**store.blocks->get(part.list))->inputs.size(), part.shards);
      sizes.push_back(part.shards);
    }
    return sizes;
  };
  EXPECT_EQ(parts_of({600, {input, 1}}), (std::vector<std::uint32_t>{256, 256, 88}));
  EXPECT_EQ(parts_of({5, {input, std::uint64_t{2} << 20}}), (std::vector<std::uint32_t>{2, 2, 1}));
  EXPECT_EQ(parts_of({{input, 1}, {input, std::uint64_t{1} << 40}, {input, 1}, {input, 1}}),
            (std::vector<std::uint32_t>{1, 1, 2}));
  EXPECT_EQ(parts_of({3, {input, {}}}), (std::vector<std::uint32_t>{1, 1, 1})) << "of unknown size";
  EXPECT_EQ(list_inputs({task::max_shards + 1, {input, 1}}, store.sink()).error().code, ErrorCode::exhausted);
  EXPECT_EQ(list_inputs({100'000, {input, {}}}, store.sink()).error().message,
            "these inputs are too many and too large for one task; make several jobs of them");
  EXPECT_EQ(list_inputs({}, store.sink()).error().code, ErrorCode::invalid);
}

TEST_F(ImportTest, UnreadableIsAnError) {
  if (::geteuid() == 0) {
    // The super-user reads anything; a folder where a file should be is as unreadable.
    EXPECT_EQ(import_file(top, store.sink()).error().code, ErrorCode::invalid);
    return;
  }
  write("main.py", "x");
  write("closed.py", "x");
  fs::permissions(top / "closed.py", fs::perms::none);
  EXPECT_EQ(program(top / "main.py").error().code, ErrorCode::storage);
}

TEST_F(ImportTest, AFolderOfManyEntriesGoesInAndOut) {
  constexpr std::size_t count = 10'500;
  for (std::size_t i = 0; i < count; ++i) write(fmt::format("many/inner/{}.txt", i), i % 100 == 0 ? "hundred" : "");
  const auto built = import_path(top / "many", store.sink());
  ASSERT_TRUE(built) << built.error().message;
  const auto tree = store.blocks->collect_tree(built->cid);
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_EQ(tree->size(), count);
  EXPECT_EQ(text_of(tree->at("inner/100.txt")), "hundred");
  const auto few = store.blocks->collect_tree(built->cid, store::From::open, count);  // The folders count too.
  EXPECT_EQ(few.error().code, ErrorCode::exhausted);
  ASSERT_TRUE(export_dag(store.reader(), built->cid, top / "out"));
  EXPECT_EQ(import_path(top / "out", store.sink())->cid, built->cid);
  // The inner folder is shards: one that is missing is named, and nothing half written stays.
  const Cid inner = asset::parse_node(built->cid, **store.blocks->get(built->cid))->links[0].cid;
  const asset::Node shard = *asset::parse_node(inner, **store.blocks->get(inner));
  ASSERT_EQ(shard.kind, asset::NodeKind::shard);
  ASSERT_TRUE(shard.links[7].name.empty());
  ASSERT_TRUE(*store.blocks->erase(shard.links[7].cid));
  const Status half = export_dag(store.reader(), built->cid, top / "half");
  EXPECT_EQ(half.error().code, ErrorCode::not_found);
  EXPECT_NE(half.error().message.find(shard.links[7].cid.text()), std::string::npos) << half.error().message;
  for (const auto& entry : fs::directory_iterator(top))
    EXPECT_EQ(entry.path().filename().string().find("half"), std::string::npos);
}

TEST_F(ImportTest, AFileIsSealedAsItIsRead) {
  std::array<std::uint8_t, Seed::size> bytes{};
  bytes.fill(5);
  const Seed seed(bytes);
  const std::vector<identity::NodeId> self{public_key_of(seed)};
  const Bytes content = noise(3'000'000, 8);
  write("secret", as_text(content));
  const auto sealed = import_sealed(top / "secret", self, store.sink());
  ASSERT_TRUE(sealed) << sealed.error().message;
  EXPECT_EQ(sealed->content_bytes, content.size() + sealing::header_bytes(1) + 3 * sealing::chunk_overhead);
  Bytes opened;
  sealing::Opener opener(seed, [&](ByteView part) -> Status {
    append(opened, part);
    return {};
  });
  ASSERT_TRUE(store.blocks->read_dag_file(sealed->cid, 1 << 30, [&](ByteView part) { return opener.feed(part); }));
  ASSERT_TRUE(opener.finish());
  EXPECT_EQ(opened, content);
  EXPECT_NE(import_sealed(top / "secret", self, store.sink())->cid, sealed->cid);

  fs::create_symlink("secret", top / "link");
  EXPECT_EQ(import_sealed(top / "link", self, store.sink()).error().code, ErrorCode::invalid);
  EXPECT_EQ(import_sealed(top, self, store.sink()).error().code, ErrorCode::unsupported);
  EXPECT_EQ(import_sealed(top / "absent", self, store.sink()).error().code, ErrorCode::not_found);
  EXPECT_EQ(import_sealed(top / "secret", {}, store.sink()).error().code, ErrorCode::invalid);
  const auto full = [](const Cid&, const Bytes&) -> Status { return fail(ErrorCode::storage, "full"); };
  EXPECT_EQ(import_sealed(top / "secret", self, full).error().code, ErrorCode::storage);
}

TEST_F(ImportTest, InputsOfEveryKindAreSealed) {
  std::array<std::uint8_t, Seed::size> bytes{};
  bytes.fill(5);
  const Seed seed(bytes);
  const std::vector<identity::NodeId> self{public_key_of(seed)};
  write("folder/secret-name-a", "a secret");
  write("folder/below/secret-name-b", "another secret");
  write("lines.txt", "one secret\n\ntwo secrets\n");
  const InputSpec given{.kind = InputSpec::Kind::bytes, .path = {}, .bytes = to_bytes("a given secret"), .cid = {}};
  Bytes all;
  const asset::BlockSink sink = [&](const Cid& cid, Bytes block) -> Status {
    append(all, block);
    return store.blocks->put(cid, block);
  };
  const auto sealed = import_inputs({path("folder"), path("lines.txt"), given}, true, sink, self);
  ASSERT_TRUE(sealed) << sealed.error().message;
  const std::vector<std::string> contents{"another secret", "a secret", "one secret", "two secrets", "a given secret"};
  ASSERT_EQ(sealed->inputs.size(), contents.size());
  SealedInputs readable(*store.blocks, seed);
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const Cid& cid = sealed->inputs[i].cid;
    EXPECT_EQ(SealedInputs::check(*store.blocks, cid, self[0]), Status());
    const auto key = readable.own_key(cid);
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(readable.open(cid, *key, 1 << 20), to_bytes(contents[i]));
    EXPECT_EQ(sealed->inputs[i].bytes, store.blocks->read_dag_file(cid, 1 << 20)->size());
  }
  // Neither content nor the names of files are in what leaves.
  EXPECT_EQ(as_text(all).find("secret"), std::string_view::npos);
  const auto nothing = import_inputs({}, false, store.sink(), self);
  ASSERT_TRUE(nothing);
  EXPECT_EQ(readable.open(nothing->inputs[0].cid, *readable.own_key(nothing->inputs[0].cid), 1000), Bytes());
  // What others are, and what is sealed for others.
  EXPECT_EQ(SealedInputs::check(*store.blocks, store.add(as_bytes("plain")), self[0]).error().message,
            "the content is not sealed");
  EXPECT_EQ(SealedInputs::check(*store.blocks, sealed->inputs[0].cid, public_key_of(Seed())).error().code,
            ErrorCode::invalid);
  EXPECT_EQ(SealedInputs::check(*store.blocks, sealed->shard_list, self[0]).error().code, ErrorCode::invalid);
  EXPECT_EQ(SealedInputs::check(*store.blocks, Cid::of(Multicodec::raw, as_bytes("absent")), self[0]).error().code,
            ErrorCode::not_found);
}

TEST_F(ImportTest, ExportWritesWholeOrNothing) {
  const Bytes content = noise(2'500'000, 7);
  write("tree/a.bin", as_text(content));
  write("tree/sub/b.txt", "bee");
  const auto built = import_path(top / "tree", store.sink());
  ASSERT_TRUE(built);
  ASSERT_TRUE(export_dag(store.reader(), built->cid, top / "out"));
  EXPECT_EQ(fs::file_size(top / "out/a.bin"), content.size());
  EXPECT_EQ(import_path(top / "out", store.sink())->cid, built->cid);
  EXPECT_EQ(export_dag(store.reader(), built->cid, top / "out", true).error().code, ErrorCode::conflict);
  const auto file = import_file(top / "tree/sub/b.txt", store.sink());
  ASSERT_TRUE(export_dag(store.reader(), file->cid, top / "b.txt"));
  EXPECT_EQ(export_dag(store.reader(), file->cid, top / "b.txt").error().code, ErrorCode::conflict);
  EXPECT_TRUE(export_dag(store.reader(), file->cid, top / "b.txt", true));
  // Never through a link.
  write("precious", "keep");
  fs::create_symlink("precious", top / "link");
  EXPECT_EQ(export_dag(store.reader(), file->cid, top / "link", true).error().code, ErrorCode::conflict);
  EXPECT_EQ(fs::file_size(top / "precious"), 4U);
  EXPECT_EQ(export_dag(store.reader(), file->cid, top / "..").error().code, ErrorCode::invalid);
  // A missing block leaves nothing behind.
  const auto links = *asset::links_of(import_file(top / "tree/a.bin", store.sink())->cid,
                                      **store.blocks->get(import_file(top / "tree/a.bin", store.sink())->cid));
  ASSERT_TRUE(*store.blocks->erase(links[1]));
  EXPECT_EQ(export_dag(store.reader(), built->cid, top / "half").error().code, ErrorCode::not_found);
  for (const auto& entry : fs::directory_iterator(top))
    EXPECT_EQ(entry.path().filename().string().find("half"), std::string::npos);
  task::ShardList list;
  EXPECT_EQ(export_dag(store.reader(), store.add_record(list), top / "record").error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace mesh::app
