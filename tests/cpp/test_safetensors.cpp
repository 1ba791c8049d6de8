#include <doctest/doctest.h>
#include <filbert/error.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "files/dtype.h"
#include "files/safetensors.h"
#include "make_safetensors.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// The file lies in a heap block of exactly its size, so that AddressSanitizer sees a read past its end.
std::vector<std::byte> block(std::string_view bytes) {
  std::vector<std::byte> copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  copy.shrink_to_fit();
  return copy;
}

// "" if it loads.
std::string error_of(std::string_view bytes) {
  const std::vector<std::byte> file = block(bytes);
  return message_of<WeightsError>([&] {
    const SafetensorsFile parsed = parse_safetensors(file.data(), file.size(), "m.safetensors");
    for (const auto& [name, view] : parsed.tensors) {  // whatever loads is readable from end to end
      REQUIRE(view.data >= file.data());
      REQUIRE(view.data + view.bytes <= file.data() + file.size());
      volatile std::byte last{};
      if (view.bytes != 0) last = view.data[view.bytes - 1];
      static_cast<void>(last);
    }
  });
}

// A header with one tensor "a" and as many bytes of data as its offsets span.
std::string one(std::string_view dtype, std::string_view shape, std::uint64_t bytes) {
  return raw_safetensors("{" + tensor_json("a", dtype, shape, 0, bytes) + "}", static_cast<std::size_t>(bytes));
}

const char kSmall[] = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]},)"
                      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

}  // namespace

TEST_CASE("safetensors: a valid file") {
  const std::vector<std::byte> bytes = block(raw_safetensors(kSmall, 16));
  const SafetensorsFile file = parse_safetensors(bytes.data(), bytes.size(), "m");
  REQUIRE(file.tensors.size() == 2);
  const auto& [name, a] = file.tensors[0];  // in the order of the data
  CHECK(name == "a");
  CHECK(a.dtype == DType::f32);
  CHECK(a.dtype_name == "F32");
  CHECK(a.shape == std::vector<std::uint64_t>{2});
  CHECK(a.data == bytes.data() + bytes.size() - 16);
  CHECK(a.bytes == 8);
  CHECK(file.tensors[1].first == "b");
  CHECK(file.tensors[1].second.dtype == DType::f16);
  CHECK(file.tensors[1].second.shape == std::vector<std::uint64_t>{2, 2});
  CHECK(file.metadata == std::vector<std::pair<std::string, std::string>>{{"format", "pt"}});
}

TEST_CASE("safetensors: what else is valid") {
  CHECK(error_of(raw_safetensors("{}")) == "");
  CHECK(error_of(raw_safetensors("{}     ")) == "");  // writers pad the header with spaces
  CHECK(error_of(raw_safetensors(R"({"__metadata__":{}})")) == "");
  CHECK(error_of(raw_safetensors(R"({"__metadata__":null})")) == "");
  CHECK(error_of(raw_safetensors(R"({"__metadata__": null ,)" + tensor_json("a", "F32", "[1]", 0, 4) + "}", 4)) == "");
  CHECK(error_of(raw_safetensors("{" + tensor_json("a", "F32", "[1]", 0, 4) + R"(,"__metadata__":null})", 4)) == "");
  CHECK(error_of(one("F32", "[]", 4)) == "");      // a scalar
  CHECK(error_of(one("F32", "[0, 5]", 0)) == "");  // nothing
  CHECK(error_of(one("F32", "[1,1,1,1,1,1,1,2]", 8)) == "");
  CHECK(
      error_of(raw_safetensors("{" + tensor_json("a", "F32", "[0]", 4, 4) + "," + tensor_json("b", "F32", "[1]", 0, 4) +
                                   "," + tensor_json("", "U8", "[0]", 0, 0) + "}",
                               4)) == "");
}

TEST_CASE("safetensors: every dtype and its size") {
  const std::pair<const char*, unsigned> kSizes[] = {
      {"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8},     {"F8_E8M0", 8},     {"I16", 16},    {"U16", 16}, {"F16", 16},
      {"BF16", 16},   {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I32", 32},    {"U32", 32}, {"F32", 32},
      {"C64", 64},    {"F64", 64},        {"I64", 64},        {"U64", 64},
  };
  for (const auto& size : kSizes) {
    const char* const dtype = size.first;
    const unsigned bits = size.second;
    CAPTURE(dtype);
    CHECK(error_of(one(dtype, "[2,4]", bits)) == "");
    CHECK(contains(error_of(one(dtype, "[2,4]", bits + 1)), "expected " + std::to_string(bits) + " for"));
    CHECK(error_of(one(dtype, "[2,4]", bits - 1)) != "");
    REQUIRE(find_dtype(dtype) != nullptr);
    CHECK(find_dtype(dtype)->bits == bits);
  }
  CHECK(contains(error_of(one("F33", "[1]", 4)), "tensor \"a\": unknown dtype \"F33\""));
  CHECK(error_of(one("f32", "[1]", 4)) != "");
  CHECK(error_of(one("", "[1]", 4)) != "");
}

TEST_CASE("safetensors: bits that are no whole number of bytes") {
  CHECK(error_of(one("F4", "[2]", 1)) == "");
  CHECK(contains(error_of(one("F4", "[3]", 1)), "its 12 bits are no whole number of bytes"));
  CHECK(error_of(one("F4", "[3]", 2)) != "");
  CHECK(error_of(one("F6_E2M3", "[4]", 3)) == "");
  CHECK(error_of(one("F6_E2M3", "[2]", 1)) != "");
  CHECK(error_of(one("F4", "[3,0]", 0)) == "");
}

TEST_CASE("safetensors: the header's length") {
  CHECK(contains(error_of(""), "m.safetensors: header too small: the file is empty"));
  CHECK(contains(error_of("1234567"), "header too small: the file has 7 bytes"));
  CHECK(contains(error_of("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
                 "m.safetensors: found a pointer of Git LFS"));
  CHECK(contains(error_of("<!DOCTYPE html><html><body>Sign in</body></html>"), "m.safetensors: found an HTML page"));
  CHECK(contains(error_of("\n\n<html><head></head></html>"), "m.safetensors: found an HTML page"));
  CHECK(contains(error_of(little_endian_64(~std::uint64_t{0}) + "{}"),
                 "header too large: found a length of 18446744073709551615 bytes, expected at most 100000000"));
  CHECK(contains(error_of(little_endian_64(100'000'001) + "{}"), "header too large"));
  CHECK(contains(error_of(little_endian_64(100'000'000) + "{}"), "truncated: the header needs 100000008 bytes"));
  CHECK(contains(error_of(little_endian_64(3) + "{}"), "truncated: the header needs 11 bytes, the file has 10"));
  CHECK(contains(error_of(little_endian_64(0)), "must begin with '{'"));
  CHECK(contains(error_of(raw_safetensors(" {}")), "must begin with '{'"));
  CHECK(contains(error_of(raw_safetensors("[]")), "must begin with '{'"));
  CHECK(contains(error_of(raw_safetensors("{\n\"a\"")), "m.safetensors: header: line 2, column 4: expected ':'"));
}

TEST_CASE("safetensors: another size than the header says") {
  const std::string file = raw_safetensors(kSmall, 16);
  CHECK(contains(error_of(file.substr(0, file.size() - 1)),
                 "truncated: expected 16 bytes of tensors after the header, found 15"));
  CHECK(contains(error_of(file + "x"), "trailing bytes: expected 16 bytes of tensors after the header, found 17"));
  CHECK(contains(error_of(raw_safetensors("{}", 1)), "trailing bytes: expected 0"));
}

TEST_CASE("safetensors: overlap, hole, reversed offsets") {
  const auto two = [](std::uint64_t begin, std::uint64_t end, std::size_t bytes) {
    return error_of(raw_safetensors("{" + tensor_json("a", "U8", "[8]", 0, 8) + "," +
                                        tensor_json("b", "U8", "[" + std::to_string(end - begin) + "]", begin, end) +
                                        "}",
                                    bytes));
  };
  CHECK(two(8, 12, 12) == "");
  CHECK(
      contains(two(4, 12, 12), "tensor \"b\": data_offsets [4, 12] overlap the tensor before, expected to begin at 8"));
  CHECK(contains(two(0, 8, 8), "overlap"));
  CHECK(contains(two(9, 12, 12), "tensor \"b\": data_offsets [9, 12] leave a hole after the tensor before"));
  CHECK(contains(two(4, 4, 8), "overlap"));  // an empty one inside another
  CHECK(contains(error_of(raw_safetensors("{" + tensor_json("a", "U8", "[4]", 4, 8) + "}", 8)), "leave a hole"));
  CHECK(contains(error_of(raw_safetensors("{" + tensor_json("a", "U8", "[4]", 8, 4) + "}", 8)),
                 "tensor \"a\": data_offsets [8, 4] are reversed"));
  // The size of a reversed range, taken modulo 2^64, is right.
  CHECK(contains(error_of(raw_safetensors("{" + tensor_json("a", "U8", "[18446744073709551612]", 8, 4) + "}", 8)),
                 "reversed"));
}

TEST_CASE("safetensors: names and keys that repeat") {
  const std::string a = tensor_json("a", "U8", "[1]", 0, 1);
  CHECK(contains(error_of(raw_safetensors("{" + a + "," + tensor_json("a", "U8", "[1]", 1, 2) + "}", 2)),
                 "tensor \"a\" appears twice"));
  CHECK(contains(error_of(raw_safetensors("{" + a + "," + tensor_json("\\u0061", "U8", "[1]", 1, 2) + "}", 2)),
                 "tensor \"a\" appears twice"));
  CHECK(contains(error_of(raw_safetensors(R"({"__metadata__":{},"__metadata__":{}})")), "__metadata__ is repeated"));
  for (const char* twice : {R"({"__metadata__":null,"__metadata__":{}})", R"({"__metadata__":{},"__metadata__":null})",
                            R"({"__metadata__":null,"__metadata__":null})"}) {
    CHECK(contains(error_of(raw_safetensors(twice)), "__metadata__ is repeated"));
  }
  // Headers are written by no Python: they stay JSON.
  for (const char* value : {"NaN", "[1e999]", "\"\\ud800\""}) {
    CHECK(error_of(raw_safetensors(std::string(R"({"__metadata__":{"k":)") + value + "}}")) != "");
  }
  CHECK(contains(error_of(raw_safetensors(R"({"__metadata__":{"k":"1","k":"2"}})")), "the key \"k\" is repeated"));
  for (const char* key : {R"("dtype":"U8",)", R"("shape":[1],)", R"("data_offsets":[0,1],)"}) {
    const std::string header = std::string(R"({"a":{)") + key + R"("dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    CAPTURE(header);
    CHECK(contains(error_of(raw_safetensors(header, 1)), "is repeated"));
  }
}

TEST_CASE("safetensors: products that overflow, also behind a zero") {
  for (const char* shape :
       {"[9223372036854775808,2]", "[18446744073709551615]", "[4294967296,4294967296]", "[0,18446744073709551615,2]",
        "[18446744073709551615,2,0]", "[4294967296,0,4294967296]", "[2305843009213693952]"}) {
    CAPTURE(shape);
    CHECK(contains(error_of(one("F32", shape, 0)), "the number of bits overflows 64 bits"));
  }
  CHECK(contains(error_of(one("U8", "[18446744073709551616]", 0)), "shape: expected integers from 0 to 2^64 - 1"));
  // 2^64 bits would be 0 modulo 2^64.
  CHECK(contains(error_of(one("F32", "[576460752303423488]", 0)), "overflows"));
}

TEST_CASE("safetensors: shapes and offsets that are no list of sizes") {
  for (const char* shape : {"[-1]", "[1.0]", "[\"1\"]", "[null]", "[true]", "1", "null", "{}", "[[1]]", "[1e0]"}) {
    CAPTURE(shape);
    CHECK(contains(error_of(one("U8", shape, 1)), "tensor \"a\": "));
  }
  CHECK(contains(error_of(one("U8", "[1,1,1,1,1,1,1,1,1]", 1)), "shape: more than 8 integers"));
  for (const char* offsets :
       {"[]", "[0]", "[0,1,2]", "[-1,0]", "[0,1.0]", "null", "\"0,1\"", "[0,18446744073709551616]"}) {
    CAPTURE(offsets);
    const std::string header = std::string(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":)") + offsets + "}}";
    CHECK(contains(error_of(raw_safetensors(header, 1)), "tensor \"a\": "));
  }
  // Offsets at the end of the address space (CVE-2026-33298 and its kind).
  CHECK(error_of(raw_safetensors("{" + tensor_json("a", "U8", "[1]", ~std::uint64_t{0} - 1, ~std::uint64_t{0}) + "}",
                                 1)) != "");
}

TEST_CASE("safetensors: dimensions beyond the data (CVE-2026-7482)") {
  CHECK(contains(error_of(one("F32", "[1000000]", 4)),
                 "data_offsets [0, 4] hold 4 bytes, expected 4000000 for F32 [1000000]"));
  CHECK(contains(error_of(raw_safetensors("{" + tensor_json("a", "F32", "[1000000]", 0, 4000000) + "}", 4)),
                 "truncated"));
}

TEST_CASE("safetensors: fields that are missing, unknown or of another kind") {
  CHECK(contains(error_of(raw_safetensors(R"({"a":{"shape":[0],"data_offsets":[0,0]}})")), "dtype is missing"));
  CHECK(contains(error_of(raw_safetensors(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})")), "shape is missing"));
  CHECK(contains(error_of(raw_safetensors(R"({"a":{"dtype":"U8","shape":[0]}})")), "data_offsets is missing"));
  CHECK(contains(error_of(raw_safetensors(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"strides":[1]}})")),
                 "unknown key \"strides\""));
  CHECK(
      contains(error_of(raw_safetensors(R"({"a":3})")), "tensor \"a\": header: line 1, column 6: expected an object"));
  CHECK(contains(error_of(raw_safetensors(R"({"a":{"dtype":3}})")), "expected a string, found a number"));
  CHECK(contains(error_of(raw_safetensors(R"({"__metadata__":{"k":1}})")), "expected a string, found a number"));
  CHECK(contains(error_of(raw_safetensors(R"({"__metadata__":{"k":null}})")), "expected a string, found null"));
  CHECK(contains(error_of(raw_safetensors(R"({"__metadata__":[]})")), "expected an object, found an array"));
  CHECK(contains(error_of(raw_safetensors(R"({"__metadata__":nul})")), "expected null"));
  CHECK(error_of(raw_safetensors("{\"\xff\":{}}")) != "");
  CHECK(error_of(raw_safetensors("{" + std::string(100'000, '['))) != "");
}

TEST_CASE("safetensors: names from the file cannot fill or colour a terminal") {
  const std::string header = R"({"\u001b[31m)" + std::string(100'000, 'x') + R"(":3})";
  const std::string message = error_of(raw_safetensors(header));
  CHECK(contains(message, "\"\\x1b[31mxxx"));
  CHECK(message.size() < 500);
}

TEST_CASE("safetensors: data at any alignment") {
  for (const char* pad : {"", " ", "  ", "   "}) {
    const std::string file = raw_safetensors(std::string(kSmall) + pad, 16);
    CHECK(error_of(file) == "");
  }
}

TEST_CASE("safetensors: the number of entries is limited") {
  std::string header = R"({"__metadata__":{)";
  for (std::size_t i = 0; i <= kMaxHeaderEntries; ++i) header += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
  CHECK(contains(error_of(raw_safetensors(header + "}}")), "more than 1000000 entries"));
}

TEST_CASE("safetensors: every prefix of a file is refused") {
  const std::string file = raw_safetensors(kSmall, 16);
  REQUIRE(error_of(file) == "");
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(error_of(file.substr(0, size)) != "");
  }
}

TEST_CASE("safetensors: every single-byte change either loads or is a WeightsError") {
  const std::string file = raw_safetensors(kSmall, 16);
  for (std::size_t position = 0; position < file.size(); ++position) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = file;
      changed[position] = static_cast<char>(byte);
      error_of(changed);  // any other exception fails the test
    }
  }
}
