#include "files/safetensors.h"

#include <filbert/error.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "files/dtype.h"
#include "files/json_reader.h"
#include "files/stand_in.h"
#include "files/text.h"

namespace filbert {
namespace {

constexpr std::size_t kPrefixBytes = 8;
constexpr JsonOptions kHeaderOptions = {.bytes = kMaxHeaderBytes, .depth = 4, .values = 0};

struct Entry {
  std::string name;
  const DTypeInfo* dtype = nullptr;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& source) : reader_(text, kHeaderOptions), source_(source) {}

  void parse() {
    std::string name;
    bool has_metadata = false;
    reader_.begin_object();
    while (reader_.next_key(name)) {
      if (name != "__metadata__") {
        read_tensor(name);
      } else if (has_metadata) {
        fail("__metadata__ is repeated");
      } else {
        has_metadata = true;
        read_metadata();
      }
    }
    reader_.finish();
  }

  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;

 private:
  [[noreturn]] void fail(const std::string& message) const { throw WeightsError(source_ + ": " + message); }
  [[noreturn]] void fail_tensor(const std::string& name, const std::string& message) const {
    fail("tensor " + quote(name) + ": " + message);
  }

  void count_entry() const {
    if (entries.size() + metadata.size() >= kMaxHeaderEntries) {
      fail("the header has more than " + std::to_string(kMaxHeaderEntries) + " entries");
    }
  }

  void read_metadata() {
    if (reader_.peek() == JsonKind::null) return reader_.read_null();  // as the safetensors library has it
    std::string key;
    std::string value;
    reader_.begin_object();
    while (reader_.next_key(key)) {
      count_entry();
      reader_.read_string(value);
      metadata.emplace_back(key, value);
    }
    std::sort(metadata.begin(), metadata.end());
    const auto repeated = std::adjacent_find(metadata.begin(), metadata.end(),
                                             [](const auto& a, const auto& b) { return a.first == b.first; });
    if (repeated != metadata.end()) fail("__metadata__: the key " + quote(repeated->first) + " is repeated");
  }

  void read_tensor(const std::string& name) {
    count_entry();
    Entry entry;
    entry.name = name;
    try {
      read_fields(entry);
    } catch (const JsonError& error) {
      fail_tensor(name, std::string("header: ") + error.what());
    }
    entries.push_back(std::move(entry));
  }

  void read_fields(Entry& entry) {
    bool has_shape = false;
    bool has_offsets = false;
    std::string key;
    reader_.begin_object();
    while (reader_.next_key(key)) {
      if (key == "dtype" && entry.dtype == nullptr) {
        std::string dtype;
        reader_.read_string(dtype);
        entry.dtype = find_dtype(dtype);
        if (entry.dtype == nullptr) fail_tensor(entry.name, "unknown dtype " + quote(dtype));
      } else if (key == "shape" && !has_shape) {
        has_shape = true;
        entry.shape = read_sizes(entry.name, "shape", kMaxRank);
      } else if (key == "data_offsets" && !has_offsets) {
        has_offsets = true;
        const std::vector<std::uint64_t> offsets = read_sizes(entry.name, "data_offsets", 2);
        if (offsets.size() != 2) fail_tensor(entry.name, "data_offsets: expected two integers");
        entry.begin = offsets[0];
        entry.end = offsets[1];
      } else if (key == "dtype" || key == "shape" || key == "data_offsets") {
        fail_tensor(entry.name, "the key " + quote(key) + " is repeated");
      } else {
        fail_tensor(entry.name, "unknown key " + quote(key) + ", expected dtype, shape and data_offsets");
      }
    }
    if (entry.dtype == nullptr) fail_tensor(entry.name, "dtype is missing");
    if (!has_shape) fail_tensor(entry.name, "shape is missing");
    if (!has_offsets) fail_tensor(entry.name, "data_offsets is missing");
  }

  std::vector<std::uint64_t> read_sizes(const std::string& name, const char* field, std::size_t max_count) {
    std::vector<std::uint64_t> sizes;
    reader_.begin_array();
    while (reader_.next_element()) {
      if (sizes.size() == max_count) {
        fail_tensor(name, std::string(field) + ": more than " + std::to_string(max_count) + " integers");
      }
      const JsonNumber number = reader_.read_number();
      const std::int64_t* small = std::get_if<std::int64_t>(&number);
      const std::uint64_t* large = std::get_if<std::uint64_t>(&number);
      if (small != nullptr && *small >= 0) {
        sizes.push_back(static_cast<std::uint64_t>(*small));
      } else if (large != nullptr) {
        sizes.push_back(*large);
      } else {
        fail_tensor(name, std::string(field) + ": expected integers from 0 to 2^64 - 1");
      }
    }
    return sizes;
  }

  JsonReader reader_;
  const std::string& source_;
};

void check_names(const std::vector<Entry>& entries, const std::string& source) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const Entry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto repeated = std::adjacent_find(names.begin(), names.end());
  if (repeated != names.end()) throw WeightsError(source + ": tensor " + quote(*repeated) + " appears twice");
}

// Sorts by offsets; afterwards every tensor's range is its size, and ranges follow each other without hole or overlap.
void check_ranges(std::vector<Entry>& entries, const std::string& source) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  std::uint64_t expected_begin = 0;
  for (const Entry& entry : entries) {
    const std::string range = "data_offsets [" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]";
    const auto fail = [&](const std::string& message) {
      throw WeightsError(source + ": tensor " + quote(entry.name) + ": " + message);
    };
    if (entry.end < entry.begin) fail(range + " are reversed");
    std::string problem;
    const std::optional<std::uint64_t> bytes = tensor_bytes(*entry.dtype, entry.shape, problem);
    const auto type = [&] { return std::string(entry.dtype->name) + " " + shape_text(entry.shape); };
    if (!bytes) fail(type() + ": " + problem);
    if (*bytes != entry.end - entry.begin) {
      fail(range + " hold " + std::to_string(entry.end - entry.begin) + " bytes, expected " + std::to_string(*bytes) +
           " for " + type());
    }
    if (entry.begin != expected_begin) {
      fail(range + (entry.begin < expected_begin ? " overlap" : " leave a hole after") +
           " the tensor before, expected to begin at " + std::to_string(expected_begin));
    }
    expected_begin = entry.end;
  }
}

std::uint64_t read_header_length(const std::byte* data) {
  std::uint64_t length = 0;
  for (std::size_t i = kPrefixBytes; i-- > 0;) length = length << 8 | std::to_integer<std::uint64_t>(data[i]);
  return length;
}

std::string_view header_text(const std::byte* data, std::size_t size, const std::string& source) {
  if (const std::string found = stand_in({reinterpret_cast<const char*>(data), size}); !found.empty()) {
    throw WeightsError(source + (size == 0 ? ": header too small: " : ": ") + found + ", expected a safetensors file");
  }
  if (size < kPrefixBytes) {
    throw WeightsError(source + ": header too small: the file has " + std::to_string(size) +
                       " bytes, expected at least 8 for the header length");
  }
  const std::uint64_t length = read_header_length(data);
  if (length > kMaxHeaderBytes) {
    throw WeightsError(source + ": header too large: found a length of " + std::to_string(length) +
                       " bytes, expected at most " + std::to_string(kMaxHeaderBytes) +
                       " (is this a safetensors file?)");
  }
  if (length > size - kPrefixBytes) {
    throw WeightsError(source + ": truncated: the header needs " + std::to_string(length + kPrefixBytes) +
                       " bytes, the file has " + std::to_string(size));
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + kPrefixBytes, static_cast<std::size_t>(length));
  if (!text.starts_with('{')) throw WeightsError(source + ": the header must begin with '{'");
  return text;
}

}  // namespace

SafetensorsFile parse_safetensors(const std::byte* data, std::size_t size, const std::string& source) {
  const std::string_view text = header_text(data, size, source);
  HeaderParser header(text, source);
  try {
    header.parse();
  } catch (const JsonError& error) {
    throw WeightsError(source + ": header: " + error.what());
  }
  std::vector<Entry>& entries = header.entries;
  check_names(entries, source);
  check_ranges(entries, source);

  const std::size_t data_begin = kPrefixBytes + text.size();
  const std::uint64_t available = size - data_begin;
  const std::uint64_t needed = entries.empty() ? 0 : entries.back().end;
  if (needed != available) {
    throw WeightsError(source + ": " + (needed > available ? "truncated" : "trailing bytes") + ": expected " +
                       std::to_string(needed) + " bytes of tensors after the header, found " +
                       std::to_string(available));
  }

  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  file.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    TensorView view;
    view.dtype = entry.dtype->dtype;
    view.dtype_name = entry.dtype->name;
    view.shape = std::move(entry.shape);
    view.data = data + data_begin + static_cast<std::size_t>(entry.begin);
    view.bytes = static_cast<std::size_t>(entry.end - entry.begin);
    file.tensors.emplace_back(std::move(entry.name), std::move(view));
  }
  return file;
}

}  // namespace filbert
