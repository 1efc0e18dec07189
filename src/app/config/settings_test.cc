#include "app/config/settings.h"

#include <gtest/gtest.h>

#include <fstream>

namespace mesh::config {
namespace {
namespace fs = std::filesystem;

class SettingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "mesh-settings-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    variables_["HOME"] = (folder_ / "home").string();
    sources_.variable = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    };
    sources_.system_file = folder_ / "etc.toml";
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const fs::path& path, std::string_view text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  fs::path user_file() const { return folder_ / "home/.config/meshwork/config.toml"; }
  std::string error() {
    auto settings = Settings::load(sources_);
    return settings ? std::string("(no error)") : settings.error().message;
  }

  fs::path folder_;
  std::map<std::string, std::string> variables_;
  Sources sources_;
};

TEST_F(SettingsTest, DefaultsAndXdgFolders) {
  const auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->text("federation"), "local");
  EXPECT_EQ(settings->value("federation").origin, "default");
  EXPECT_FALSE(settings->flag("no-mdns"));
  EXPECT_EQ(settings->list("listen").size(), 3U);
  EXPECT_TRUE(settings->list("join").empty());
  EXPECT_EQ(settings->paths().home, folder_ / "home/.local/share/meshwork");
  EXPECT_EQ(settings->paths().cache, folder_ / "home/.cache/meshwork");
  EXPECT_EQ(settings->paths().user_file, user_file());
}

TEST_F(SettingsTest, RelativeXdgVariablesAreIgnored) {
  variables_["XDG_DATA_HOME"] = "relative";
  variables_["XDG_CACHE_HOME"] = (folder_ / "fast").string();
  const auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->paths().home, folder_ / "home/.local/share/meshwork");
  EXPECT_EQ(settings->paths().cache, folder_ / "fast/meshwork");
}

TEST_F(SettingsTest, EachOriginBeatsTheOnesBelowIt) {
  write(sources_.system_file, "slots = 1\nfederation = \"etc\"\n");
  const auto expect = [this](std::uint64_t slots, const std::string& origin) {
    const auto settings = Settings::load(sources_);
    ASSERT_TRUE(settings) << settings.error().message;
    EXPECT_EQ(settings->count("slots"), slots);
    EXPECT_EQ(settings->value("slots").origin, origin);
    EXPECT_EQ(settings->text("federation"), "etc");
  };
  expect(1, sources_.system_file.string() + ":1");
  write(user_file(), "\n\nslots = 2\n");
  expect(2, user_file().string() + ":3");
  sources_.file = write(folder_ / "given.toml", "slots = 3\n");
  expect(3, sources_.file->string() + ":1");
  variables_["MESH_SLOTS"] = "4";
  expect(4, "MESH_SLOTS");
  sources_.assignments = {"slots=9", "slots=5"};
  expect(5, "-c slots");
  sources_.flags["slots"] = {"6"};
  expect(6, "flag --slots");
}

TEST_F(SettingsTest, HomePutsEverythingInOneFolder) {
  const fs::path home = folder_ / "one";
  write(home / "config.toml", "federation = \"mine\"\n");
  write(user_file(), "federation = \"not read\"\n");
  sources_.flags["home"] = {home.string() + "/"};
  const auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->paths().home, home);
  EXPECT_EQ(settings->paths().cache, home / "cache");
  EXPECT_EQ(settings->paths().api_file, home / "api.json");
  EXPECT_EQ(settings->text("federation"), "mine");
}

TEST_F(SettingsTest, ListsAreReplacedNotJoined) {
  write(user_file(), "join = [\"/a\", \"/b\"]\nlisten = \"/c\"\n");
  auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->list("join"), (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(settings->list("listen"), (std::vector<std::string>{"/c"}));
  variables_["MESH_JOIN"] = "/d, /e";
  settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->list("join"), (std::vector<std::string>{"/d", "/e"}));
}

TEST_F(SettingsTest, TildeAndRelativePathsBecomeAbsolute) {
  sources_.flags["cache"] = {"~/x/../y"};
  auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->paths().cache, folder_ / "home/y");
  sources_.flags["cache"] = {"rel"};
  settings = Settings::load(sources_);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->paths().cache, fs::current_path() / "rel");
}

TEST_F(SettingsTest, BadInputIsNamedWithItsPlace) {
  write(user_file(), "slots = 1\nslotz = 2\n");
  EXPECT_NE(error().find("config.toml:2: there is no setting \"slotz\""), std::string::npos) << error();
  write(user_file(), "\nslots = [1]\n");
  EXPECT_NE(error().find("config.toml:2: slots must be a single value"), std::string::npos) << error();
  write(user_file(), "slots = 1025\n");
  EXPECT_NE(error().find("config.toml:1: slots must be a number from 0 to 1024"), std::string::npos) << error();
  write(user_file(), "listen = [1]\n");
  EXPECT_NE(error().find("must be a list of texts"), std::string::npos) << error();
  write(user_file(), "a = 1\nb = \n");
  EXPECT_NE(error().find("config.toml:2: not TOML"), std::string::npos) << error();
  write(user_file(), "[log]\nlevel = \"x\"\n");
  EXPECT_NE(error().find("config.toml:1: there is no setting \"log\""), std::string::npos) << error();
  write(user_file(), std::string((std::size_t{1} << 20) + 1, '#'));
  EXPECT_NE(error().find("larger than 1 MiB"), std::string::npos) << error();
  write(user_file(), "");

  variables_["MESH_SLOTS"] = "many";
  EXPECT_NE(error().find("MESH_SLOTS: slots must be a number"), std::string::npos) << error();
  variables_.erase("MESH_SLOTS");
  variables_["MESH_NO_MDNS"] = "maybe";
  EXPECT_NE(error().find("MESH_NO_MDNS: no-mdns must be true or false"), std::string::npos) << error();
  variables_.erase("MESH_NO_MDNS");

  for (const std::string bad :
       {"slots", "=1", "nothing=1", "slots=", "slots=-1", "slots=99999999999999999999", "log-level=loud"}) {
    sources_.assignments = {bad};
    EXPECT_NE(error().find("-c "), std::string::npos) << bad << ": " << error();
  }
  sources_.assignments = {};
  sources_.file = folder_ / "missing.toml";
  EXPECT_NE(error().find("missing.toml cannot be read"), std::string::npos) << error();
  sources_.file = folder_;
  EXPECT_NE(error().find("cannot be read"), std::string::npos) << error();
  sources_.file.reset();
  sources_.flags["owner"] = {std::string(5000, 'x')};
  EXPECT_NE(error().find("at most 4096 bytes"), std::string::npos) << error();
}

TEST_F(SettingsTest, TheTableIsConsistent) {
  for (const SettingSpec& spec : setting_table()) {
    EXPECT_EQ(find_setting(spec.name), &spec);
    EXPECT_FALSE(spec.help.empty()) << spec.name;
    if (spec.type == SettingType::count) {
      EXPECT_LT(spec.minimum, spec.maximum) << spec.name;
    }
    if (spec.type != SettingType::flag) {
      EXPECT_FALSE(spec.value_name.empty()) << spec.name;
    }
  }
  EXPECT_EQ(variable_of("no-mdns"), "MESH_NO_MDNS");
  EXPECT_EQ(find_setting("nothing"), nullptr);
}

TEST_F(SettingsTest, SharesAreFoldersOrTables) {
  sources_.flags["share"] = {"/data/My Models", "/data/x"};
  auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings) << settings.error().message;
  ASSERT_EQ(settings->shares().size(), 2U);
  EXPECT_EQ(settings->shares()[0], (ShareSetting{.folder = "/data/My Models", .name = "my-models"}));
  EXPECT_EQ(settings->list("share"), (std::vector<std::string>{"/data/My Models", "/data/x"}));
  sources_.flags.clear();
  write(user_file(), R"(slots = 2
[[share]]
path = "~/models"
[[share]]
path = "/srv/sets"
name = "sets"
visibility = "everybody"
include = ["*.csv", "docs/*"]
exclude = ["secret*"]
)");
  settings = Settings::load(sources_);
  ASSERT_TRUE(settings) << settings.error().message;
  ASSERT_EQ(settings->shares().size(), 2U);
  EXPECT_EQ(settings->shares()[0].folder, (folder_ / "home/models").string());
  EXPECT_EQ(settings->shares()[0].visibility, "lan");
  EXPECT_EQ(settings->shares()[1], (ShareSetting{.folder = "/srv/sets",
                                                 .name = "sets",
                                                 .visibility = "everybody",
                                                 .include = {"*.csv", "docs/*"},
                                                 .exclude = {"secret*"}}));
  EXPECT_NE(settings->value("share").origin.find("config.toml:2"), std::string::npos);
}

TEST_F(SettingsTest, BadSharesAreNamed) {
  const auto with = [&](std::string_view text) {
    write(user_file(), text);
    return error();
  };
  EXPECT_NE(with("[[share]]\nname = \"x\"\n").find("needs a path"), std::string::npos);
  EXPECT_NE(with("[[share]]\npath = \"/x\"\nvisibility = \"all\"\n").find("one of lan, federation, everybody"),
            std::string::npos);
  EXPECT_NE(with("[[share]]\npath = \"/x\"\nfoo = 1\n").find("has no \"foo\""), std::string::npos);
  EXPECT_NE(with("[[share]]\npath = 1\n").find("text in quotes"), std::string::npos);
  EXPECT_NE(with("[[share]]\npath = \"/x\"\ninclude = \"*\"\n").find("list of texts"), std::string::npos);
  EXPECT_NE(with("share = [1]\n").find("list of texts"), std::string::npos);
}

TEST_F(SettingsTest, RoomAndRatesAreUnboundedUnlessTold) {
  constexpr std::array names{"fetched-gib", "upload-mbit", "download-mbit", "upload-per-peer-mbit",
                             "download-per-peer-mbit"};
  auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings) << settings.error().message;
  for (const char* name : names) EXPECT_EQ(settings->count(name), 0U) << name;
  sources_.flags["upload-mbit"] = {"100"};
  variables_["MESH_FETCHED_GIB"] = "20";
  settings = Settings::load(sources_);
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->count("upload-mbit"), 100U);
  EXPECT_EQ(settings->count("fetched-gib"), 20U);
  sources_.flags["upload-mbit"] = {"0.5"};
  EXPECT_NE(error().find("upload-mbit"), std::string::npos);
}

TEST_F(SettingsTest, PricesHaveATableOfTheirOwn) {
  auto settings = Settings::load(sources_);
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(settings->count("pricing-per-gfuel"), 0U);
  EXPECT_EQ(settings->count("pricing-minimum"), 0U);
  EXPECT_EQ(settings->count("pricing-idle-discount"), 0U);
  EXPECT_EQ(settings->count("pricing-ceiling"), 300U);

  write(user_file(), "pricing-minimum = 1\n[pricing]\nper-gfuel = 120\nidle-discount = 20\n");
  settings = Settings::load(sources_);
  ASSERT_TRUE(settings.has_value()) << settings.error().message;
  EXPECT_EQ(settings->count("pricing-per-gfuel"), 120U);
  EXPECT_EQ(settings->count("pricing-idle-discount"), 20U);
  EXPECT_EQ(settings->count("pricing-minimum"), 1U);
  EXPECT_NE(settings->value("pricing-per-gfuel").origin.find("config.toml:3"), std::string::npos);
  sources_.assignments = {"pricing-per-gfuel=7"};
  EXPECT_EQ(Settings::load(sources_)->count("pricing-per-gfuel"), 7U);
  sources_.assignments = {};

  const auto with = [&](std::string_view text) {
    write(user_file(), text);
    return error();
  };
  EXPECT_NE(with("[pricing]\nfoo = 1\n").find("config.toml:2: there is no setting \"pricing-foo\""), std::string::npos);
  EXPECT_NE(with("pricing = 3\n").find("there is no setting \"pricing\""), std::string::npos);
  EXPECT_NE(with("[pricing]\nidle-discount = 101\n").find("must be a number from 0 to 100"), std::string::npos);
  EXPECT_NE(with("[pricing]\nceiling = 99\n").find("must be a number from 100 to 10000"), std::string::npos);
  EXPECT_NE(with("[pricing]\nminimum = -1\n").find("must be a number"), std::string::npos);
  EXPECT_NE(with("[pricing.per-gfuel]\nx = 1\n").find("single value"), std::string::npos);
  EXPECT_NE(with("pricing-minimum = 1\n[pricing]\nminimum = 2\n").find("twice"), std::string::npos);
}

}  // namespace
}  // namespace mesh::config
