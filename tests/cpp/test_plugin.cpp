// Plug-ins: what is said of one that is absent or unfit. One that works: tests/cuda_on_cpu.
#include <doctest/doctest.h>
#include <filbert/filbert.h>

#include <cstdlib>

#include "engine/backend_loader.h"
#include "engine/plugin.h"
#include "make_safetensors.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

std::string reason_of(const std::string& folder, const std::string& name) {
  const Plugin plugin = open_plugin(folder, name);
  CHECK(plugin.table == nullptr);
  CHECK(plugin.is_fault == (name != "absent"));
  return plugin.reason;
}

}  // namespace

TEST_CASE("plugin: absent, of another version, something else, broken") {
  CHECK(reason_of(FILBERT_PLUGINS, "absent") == "this filbert was built without it: there is no " FILBERT_PLUGINS
                                                "/libfilbert_absent.so");
  CHECK(reason_of(FILBERT_PLUGINS, "other_version") ==
        FILBERT_PLUGINS "/libfilbert_other_version.so: it is of another version of filbert: its op table has number " +
            std::to_string(FILBERT_BACKEND_ABI + 1) + ", expected " + std::to_string(FILBERT_BACKEND_ABI));
  CHECK(reason_of(FILBERT_PLUGINS, "unrelated") == FILBERT_PLUGINS
        "/libfilbert_unrelated.so: it has no filbert_backend_entry");
  CHECK(reason_of(FILBERT_PLUGINS, "unresolved").find("missing_symbol") != std::string::npos);
  TemporaryFolder folder;
  folder.write("libfilbert_text.so", "this is text");
  CHECK(reason_of(folder.path(), "text").find("libfilbert_text.so: ") != std::string::npos);
}

TEST_CASE("plugin: where they are looked for") {
  const Plugin beside = find_plugin("absent");
  CHECK(contains(beside.reason, "this filbert was built without it: there is no /"));
  CHECK_FALSE(beside.is_fault);
  setenv("FILBERT_BACKEND_DIR", "relative/folder", 1);
  const Plugin relative = find_plugin("absent");
  CHECK(relative.reason == "FILBERT_BACKEND_DIR=relative/folder: expected an absolute path");
  CHECK(relative.is_fault);
  setenv("FILBERT_BACKEND_DIR", "/absolute/folder", 1);
  CHECK(contains(find_plugin("absent").reason, "there is no /absolute/folder/libfilbert_absent.so"));
  unsetenv("FILBERT_BACKEND_DIR");
}

TEST_CASE("plugin: names of devices") {
  for (const char* name :
       {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:0 ", "cuda:99999999999999999999", "CUDA", "cpu:0"}) {
    CAPTURE(name);
    const std::string expected =
        std::string("device \"") + name + "\" is unknown; expected \"cpu\", \"auto\", \"cuda\" or \"cuda:N\"";
    CHECK_THROWS_WITH_AS(open_device(name, 1, DType::f32), expected.c_str(), DeviceError);
  }
  CHECK(open_device("cpu", 1, DType::f32).name == "cpu");
}

TEST_CASE("plugin: without one, cuda says why and auto is the CPU") {
  if (devices().back().available) return;  // a machine with a GPU
  CHECK_THROWS_WITH_AS(open_device("cuda", 1, DType::f32), doctest::Contains("cuda: "), DeviceError);
  CHECK(open_device("auto", 1, DType::f32).name == "cpu");
  const std::vector<DeviceInfo> found = devices();
  REQUIRE(found.size() == 2);
  CHECK(found[0].available);
  CHECK(found[1].name == "cuda");
  CHECK_FALSE(found[1].available);
  CHECK_FALSE(found[1].reason.empty());
}
