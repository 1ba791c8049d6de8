#include <doctest/doctest.h>
#include <filbert/error.h>
#include <filbert/weights.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "files/mmap.h"
#include "files/shard_index.h"
#include "make_safetensors.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

std::size_t tensor_count(const std::string& path) {
  const Weights weights = Weights::open(path);
  return weights.tensors().size();
}

const char kIndex[] = "model.safetensors.index.json";
const char kShard1[] = "model-00001-of-00002.safetensors";
const char kShard2[] = "model-00002-of-00002.safetensors";

std::string index_json(const std::vector<std::pair<std::string, std::string>>& weight_map) {
  std::string text = R"({"metadata":{"total_size":16},"weight_map":{)";
  for (std::size_t i = 0; i < weight_map.size(); ++i) {
    text += (i ? ",\"" : "\"") + weight_map[i].first + "\":\"" + weight_map[i].second + "\"";
  }
  return text + "}}";
}

void write_two_shards(const TemporaryFolder& folder) {
  folder.write(kIndex, index_json({{"a", kShard1}, {"b", kShard2}}));
  folder.write(kShard1, make_safetensors({{"a", {2}, "F32", 4, 1}}));
  folder.write(kShard2, make_safetensors({{"b", {2}, "F32", 4, 2}}));
}

std::string open_error(const std::string& path) {
  return message_of<WeightsError>([&] { Weights::open(path); });
}

std::string names_error(const std::string& path) {
  return message_of<WeightsError>([&] { shard_names(path); });
}

}  // namespace

TEST_CASE("weights: one file, mapped and copied, by file and by folder") {
  const TemporaryFolder folder;
  const std::string file =
      folder.write("model.safetensors", make_safetensors({{"a", {2, 3}, "F32", 4, 7}, {"b", {0}}}));
  for (const bool use_mmap : {true, false}) {
    for (const std::string& path : {file, folder.path(), folder.path() + "/"}) {
      const Weights weights = Weights::open(path, use_mmap);
      CHECK(weights.source() == path);
      REQUIRE(weights.tensors().size() == 2);
      const TensorView* a = weights.find("a");
      REQUIRE(a != nullptr);
      CHECK(a->shape == std::vector<std::uint64_t>{2, 3});
      CHECK(std::string(reinterpret_cast<const char*>(a->data), a->bytes) == std::string(24, 7));
      CHECK(weights.find("c") == nullptr);
      weights.drop_pages();
      CHECK(std::string(reinterpret_cast<const char*>(a->data), a->bytes) == std::string(24, 7));
    }
  }
}

TEST_CASE("weights: views outlive the folder, the opened object and its copies") {
  auto folder = std::make_unique<TemporaryFolder>();
  folder->write("model.safetensors", make_safetensors({{"a", {1024}, "F32", 4, 7}}));
  Weights copy;
  {
    const Weights weights = Weights::open(folder->path());
    copy = weights;
  }
  folder.reset();  // unlinking a mapped file is harmless
  copy.drop_pages();
  const TensorView& a = *copy.find("a");
  CHECK(std::string(reinterpret_cast<const char*>(a.data), a.bytes) == std::string(4096, 7));
}

TEST_CASE("weights: files that cannot be opened are FileErrors with path and reason") {
  const TemporaryFolder folder;
  const auto error = [](const std::string& path, bool use_mmap = true) {
    return message_of<FileError>([&] { Weights::open(path, use_mmap); });
  };
  CHECK(contains(error(folder / "none.safetensors"), "none.safetensors: cannot open: No such file"));
  CHECK(contains(error(folder.path()), "found neither model.safetensors nor model.safetensors.index.json"));
  folder.write("pytorch_model.bin", "x");
  CHECK(contains(error(folder.path()), "pytorch_model.bin is read by the Python package only"));
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK(contains(error(folder / "fifo"), "expected a regular file"));  // and does not wait for a writer
  CHECK(contains(error("/dev/zero"), "expected a regular file"));
  CHECK(error(std::string("a\0b", 3)) != "");
  CHECK(contains(open_error(folder.write("empty.safetensors", "")), "header too small: the file is empty"));
  CHECK(contains(message_of<WeightsError>([&] { Weights::open(folder / "empty.safetensors", false); }),
                 "header too small"));
}

TEST_CASE("weights: a failed open leaves no descriptor behind") {
  const TemporaryFolder folder;
  folder.write("bad.safetensors", "1234567");
  const auto lowest_free = [] {
    const int descriptor = ::dup(0);
    ::close(descriptor);
    return descriptor;
  };
  const int before = lowest_free();
  for (int i = 0; i < 20; ++i) {
    CHECK(open_error(folder / "bad.safetensors") != "");
    CHECK(message_of<FileError>([&] { Weights::open(folder / "none"); }) != "");
  }
  CHECK(lowest_free() == before);
}

TEST_CASE("weights: tensors from the caller's memory") {
  Weights weights;
  CHECK(weights.source() == "memory");
  const auto data = std::make_shared<std::array<float, 6>>();
  weights.add("a", "F32", {2, 3}, data->data(), 24, data);
  CHECK(data.use_count() == 2);
  CHECK(weights.find("a")->data == reinterpret_cast<const std::byte*>(data->data()));
  weights.add("empty", "F32", {0}, nullptr, 0, nullptr);
  const auto error = [&](const std::string& name, const char* dtype, std::vector<std::uint64_t> shape,
                         const void* bytes, std::size_t size) {
    return message_of<WeightsError>([&] { weights.add(name, dtype, std::move(shape), bytes, size, data); });
  };
  CHECK(contains(error("a", "F32", {6}, data->data(), 24), "memory: tensor \"a\": the name is taken"));
  CHECK(contains(error("b", "float", {6}, data->data(), 24), "unknown dtype \"float\""));
  CHECK(contains(error("b", "F32", {5}, data->data(), 24), "found 24 bytes, expected 20 for F32 [5]"));
  CHECK(contains(error("b", "F32", {6}, nullptr, 24), "found 0 bytes, expected 24"));
  CHECK(contains(error("b", "F32", {std::uint64_t{1} << 62, 4}, data->data(), 0), "overflows"));
  CHECK(contains(error("b", "U8", {1, 1, 1, 1, 1, 1, 1, 1, 1}, data->data(), 1), "rank 9"));
  CHECK(weights.tensors().size() == 2);
  CHECK(data.use_count() == 2);
  weights.drop_pages();  // does not touch the caller's memory
}

TEST_CASE("weights: shards, by index and by folder") {
  const TemporaryFolder folder;
  write_two_shards(folder);
  for (const std::string& path : {folder.path(), folder / kIndex}) {
    const Weights weights = Weights::open(path);
    REQUIRE(weights.tensors().size() == 2);
    CHECK(std::string(reinterpret_cast<const char*>(weights.find("b")->data), 8) == std::string(8, 2));
    weights.drop_pages();
  }
  CHECK(shard_names(folder / kIndex) == std::vector<std::string>{kShard1, kShard2});
}

TEST_CASE("weights: shard_names does not need the shards") {
  const TemporaryFolder folder;
  folder.write(kIndex, index_json({{"b", "y.safetensors"}, {"a", "x.safetensors"}, {"c", "y.safetensors"}}));
  CHECK(shard_names(folder / kIndex) == std::vector<std::string>{"x.safetensors", "y.safetensors"});
}

TEST_CASE("weights: a shard lies beside the index or below it (transformers #47176)") {
  const TemporaryFolder folder;
  folder.write("outside.safetensors", make_safetensors({{"a", {1}}}));
  const char* const kBad[] = {
      "../outside.safetensors",
      "..",
      ".",
      "",
      "./x.safetensors",
      "sub/../../outside.safetensors",
      "sub/./x.safetensors",
      "sub//x.safetensors",
      "sub/.safetensors",
      "//x.safetensors",
      "sub/..",
      "/etc/passwd",
      "/tmp/x.safetensors",
      "..\\\\x.safetensors",
      "C:x.safetensors",
      "x\\u0000.safetensors",
      "x\\n.safetensors",
      "x",
      "x.bin",
      ".safetensors",
      "x.safetensors/",
      "\\ud800.safetensors",
      "sub\\\\x.safetensors",
      "file:x.safetensors",
  };
  for (const char* name : kBad) {
    CAPTURE(name);
    folder.write(std::string("model/") + kIndex, index_json({{"a", name}}));
    CHECK(contains(names_error(folder / "model/model.safetensors.index.json"), "tensor \"a\": found shard"));
    CHECK(contains(open_error(folder / "model"), "expected the name of a .safetensors file"));
  }
  for (const std::string& name : {std::string(300, 'x') + ".safetensors", std::string(300, 'x') + "/x.safetensors"}) {
    folder.write(std::string("model/") + kIndex, index_json({{"a", name}}));
    CHECK(contains(open_error(folder / "model"), "expected the name of"));
  }
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep += "x/";
  folder.write(std::string("model/") + kIndex, index_json({{"a", deep + "x.safetensors"}}));
  CHECK(contains(open_error(folder / "model"), "expected the name of"));
}

TEST_CASE("weights: shards in folders below the index") {
  const TemporaryFolder folder;
  for (const std::string name :
       {"shards/x.safetensors", "a/b/c/x.safetensors", "...x/..y.safetensors", "é/ü.safetensors"}) {
    CAPTURE(name);
    folder.write(name, make_safetensors({{"a", {1}}}));
    folder.write(kIndex, index_json({{"a", name}}));
    CHECK(shard_names(folder / kIndex) == std::vector<std::string>{name});
    CHECK(tensor_count(folder.path()) == 1);
  }
  folder.write(kIndex, index_json({{"a", "none/x.safetensors"}}));
  CHECK(contains(open_error(folder.path()), "shard \"none/x.safetensors\" is missing"));
}

TEST_CASE("weights: a shard may be a link to anywhere: the owner of the folder made it") {
  const TemporaryFolder folder;
  const std::string outside = folder.write("store/0123abcd", make_safetensors({{"a", {1}}}));
  const std::string model = folder / "model";
  folder.write(std::string("model/") + kIndex, index_json({{"a", "x.safetensors"}}));
  const auto link_to = [&](const std::string& target) {
    std::filesystem::remove(model + "/x.safetensors");
    std::filesystem::create_symlink(target, model + "/x.safetensors");
  };
  std::filesystem::create_symlink(folder / "store", model + "/store-link");
  std::filesystem::create_symlink("../store/0123abcd", model + "/one");
  for (const std::string& target :
       {outside, std::string("../store/0123abcd"), std::string("store-link/0123abcd"), std::string("one")}) {
    CAPTURE(target);
    link_to(target);
    CHECK(shard_names(model + "/" + kIndex).size() == 1);
    CHECK(tensor_count(model) == 1);
  }
  // A folder on the way to the shard as well, and the index itself.
  folder.write("store/x.safetensors", make_safetensors({{"a", {1}}}));
  folder.write("store/index", index_json({{"a", "store-link/x.safetensors"}}));
  std::filesystem::remove(model + "/" + kIndex);
  std::filesystem::create_symlink("../store/index", model + "/" + kIndex);
  CHECK(tensor_count(model) == 1);
  // A link to nowhere is a missing shard, a loop an error of the system.
  folder.write("other/" + std::string(kIndex), index_json({{"a", "x.safetensors"}}));
  std::filesystem::create_symlink("none", folder / "other/x.safetensors");
  CHECK(contains(open_error(folder / "other"), "shard \"x.safetensors\" is missing"));
  std::filesystem::remove(folder / "other/x.safetensors");
  std::filesystem::create_symlink("x.safetensors", folder / "other/x.safetensors");
  CHECK(message_of<FileError>([&] { Weights::open(folder / "other"); }) != "");
}

TEST_CASE("weights: the hub's cache, snapshots/REVISION/FILE -> ../../blobs/HASH") {
  const TemporaryFolder cache;
  const auto blob = [&](const char* hash, const std::string& bytes) {
    cache.write(std::string("repo/blobs/") + hash, bytes);
  };
  blob("0", index_json({{"a", kShard1}, {"b", kShard2}}));
  blob("1", make_safetensors({{"a", {2}}}));
  blob("2", make_safetensors({{"b", {2}}}));
  for (const std::string revision : {"repo/snapshots/abc", "repo/snapshots/abc/subfolder"}) {
    const std::string snapshot = cache / revision;
    const std::string up = revision.ends_with("subfolder") ? "../../../blobs/" : "../../blobs/";
    std::filesystem::create_directories(snapshot);
    std::filesystem::create_symlink(up + "0", snapshot + "/" + kIndex);
    std::filesystem::create_symlink(up + "1", snapshot + "/" + kShard1);
    std::filesystem::create_symlink(up + "2", snapshot + "/" + kShard2);
    CHECK(tensor_count(snapshot) == 2);
    CHECK(shard_names(snapshot + "/" + kIndex).size() == 2);
  }
  // Seen through a link to the snapshot itself.
  std::filesystem::create_symlink(cache / "repo/snapshots/abc", cache / "current");
  CHECK(tensor_count(cache / "current") == 2);
}

TEST_CASE("weights: shards that are missing or hold other tensors than the index says") {
  const TemporaryFolder folder;
  write_two_shards(folder);
  std::filesystem::remove(folder / kShard2);
  std::string message = open_error(folder.path());
  CHECK(contains(message, kIndex));
  CHECK(contains(message, std::string("shard \"") + kShard2 + "\" is missing"));

  write_two_shards(folder);
  folder.write(kIndex, index_json({{"a", kShard2}, {"b", kShard1}}));
  message = open_error(folder.path());
  CHECK(contains(message, std::string("tensor \"a\": expected in \"") + kShard2 + "\", found in \"" + kShard1 + "\""));

  folder.write(kIndex, index_json({{"a", kShard1}, {"b", kShard2}, {"c", kShard1}}));
  CHECK(contains(open_error(folder.path()),
                 std::string("tensor \"c\": expected in \"") + kShard1 + "\", found in no shard"));

  // A tensor that the index does not know is kept, as transformers keeps it.
  write_two_shards(folder);
  folder.write(kShard2, make_safetensors({{"b", {2}}, {"extra", {2}}}));
  CHECK(tensor_count(folder.path()) == 3);

  folder.write(kShard2, "1234567");
  CHECK(contains(open_error(folder.path()), std::string(kShard2) + ": header too small"));
}

TEST_CASE("weights: a tensor in two shards is the one that the index names") {
  const TemporaryFolder folder;
  const auto first_byte = [&](const char* name) {
    const Weights weights = Weights::open(folder.path());
    REQUIRE(weights.find(name) != nullptr);
    return std::to_integer<int>(*weights.find(name)->data);
  };
  const MadeTensor a1 = {"a", {2}, "F32", 4, 1}, b2 = {"b", {2}, "F32", 4, 2};
  write_two_shards(folder);
  folder.write(kShard2, make_safetensors({b2, {"a", {2}, "F32", 4, 9}}));
  CHECK(first_byte("a") == 1);
  write_two_shards(folder);
  folder.write(kShard1, make_safetensors({a1, {"b", {7}, "I64", 8, 9}}));  // of another shape and dtype
  CHECK(first_byte("b") == 2);
  CHECK(tensor_count(folder.path()) == 2);
  folder.write(kShard2, make_safetensors({b2, {"a", {2}, "F32", 4, 9}}));  // each has both
  CHECK(first_byte("a") == 1);
  CHECK(first_byte("b") == 2);
  // The index does not say which.
  folder.write(kShard1, make_safetensors({a1, {"c", {2}}}));
  folder.write(kShard2, make_safetensors({b2, {"c", {2}}}));
  CHECK(contains(open_error(folder.path()),
                 std::string("tensor \"c\" is in both \"") + kShard1 + "\" and \"" + kShard2 + "\""));
}

TEST_CASE("weights: an index of .bin shards is read, its shards are not") {
  const TemporaryFolder folder;
  const std::string name = "pytorch_model.bin.index.json";
  const std::string path = folder.write(name, index_json({{"a", "shards/1.bin"}, {"b", "2.bin"}}));
  CHECK(shard_names(path) == std::vector<std::string>{"2.bin", "shards/1.bin"});
  CHECK(weight_map(path) == std::map<std::string, std::string>{{"a", "shards/1.bin"}, {"b", "2.bin"}});
  CHECK(contains(open_error(path), "read by the Python package only"));
  CHECK(contains(message_of<FileError>([&] { Weights::open(folder.path()); }), name + " is read by the Python"));
  for (const char* bad : {"x.safetensors", "../1.bin", "/1.bin", ".bin", "a:1.bin", "x.bin/"}) {
    CAPTURE(bad);
    folder.write(name, index_json({{"a", bad}}));
    CHECK(contains(names_error(path), "expected the name of a .bin file"));
  }
  // The name of the index says what it is of, not its folder.
  const std::string variant =
      folder.write("x.bin/model.safetensors.index.fp16.json", index_json({{"a", "1.safetensors"}}));
  CHECK(shard_names(variant).size() == 1);
}

TEST_CASE("weights: an index of another form") {
  const auto error = [](std::string_view text) {
    return message_of<WeightsError>([&] { parse_shard_index(text, "i.json"); });
  };
  CHECK(contains(error(""), "i.json: the file is empty"));
  CHECK(contains(error(" "), "i.json: line 1, column 2"));
  CHECK(contains(error("version https://git-lfs.github.com/spec/v1\noid"), "i.json: found a pointer of Git LFS"));
  CHECK(contains(error("<html></html>"), "i.json: found an HTML page"));
  CHECK(contains(error("[]"), "i.json: found an array, expected a JSON object"));
  CHECK(contains(error("{}"), "weight_map is missing"));
  CHECK(contains(error(R"({"weight_map":[]})"), "weight_map: found an array, expected an object"));
  CHECK(contains(error(R"({"weight_map":{}})"), "weight_map is empty"));
  CHECK(contains(error(R"({"weight_map":{"a":1}})"), "tensor \"a\": found 1 (integer), expected a string"));
  CHECK(contains(error(R"({"weight_map":{"a":["x.safetensors"]}})"), "expected a string"));
  CHECK(contains(error(R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})"), "repeated"));
  CHECK(contains(error(R"({"weight_map":{"a":"x.safetensors"},"metadata":{"k":1,"k":2}})"), "repeated"));
  CHECK(contains(error(std::string(100'000, '[')), "nested deeper"));
  CHECK(error(R"({"weight_map":{"a":"x.safetensors"}})") == "");
  // What Python writes beyond JSON, in keys that nobody uses; and in those that somebody does.
  CHECK(error(R"({"metadata":{"total_size":NaN,"\ud800":1e999},"weight_map":{"a":"x.safetensors"}})") == "");
  CHECK(contains(error(R"({"weight_map":{"a":NaN}})"), "tensor \"a\": found nan (number)"));
  CHECK(contains(error(R"({"weight_map":{"\udc00":"x.safetensors"}})"), "unpaired surrogate"));
}
