#include "files/json.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>

#include "files/text.h"

namespace filbert {

// Recursion is bounded by the reader's depth limit.
class JsonTreeBuilder {
 public:
  JsonTreeBuilder(std::string_view text, const JsonOptions& options)
      : reader_(text, options), values_left_(options.values) {}

  JsonValue document() {
    JsonValue value = next();
    reader_.finish();
    return value;
  }

 private:
  JsonValue next() {
    const JsonKind kind = reader_.peek();
    if (values_left_ == 0) reader_.fail("more values than the limit allows", reader_.offset());
    --values_left_;
    switch (kind) {
      case JsonKind::null:
        reader_.read_null();
        return JsonValue();
      case JsonKind::boolean:
        return JsonValue(reader_.read_boolean());
      case JsonKind::number:
        return std::visit([](auto number) { return JsonValue(number); }, reader_.read_number());
      case JsonKind::string: {
        std::string text;
        reader_.read_string(text);
        return JsonValue(std::move(text));
      }
      case JsonKind::array:
        return next_array();
      case JsonKind::object:
        return next_object();
    }
    return JsonValue();
  }

  JsonValue next_array() {
    JsonValue::Array array;
    reader_.begin_array();
    while (reader_.next_element()) array.push_back(next());
    return JsonValue(std::move(array));
  }

  JsonValue next_object() {
    JsonObject object;
    std::vector<std::size_t> offsets;  // of the keys, for the message about a repeated one
    std::string key;
    reader_.begin_object();
    while (reader_.next_key(key)) {
      offsets.push_back(reader_.key_offset());
      JsonValue value = next();
      object.members_.emplace_back(std::move(key), std::move(value));
    }
    sort_keys(object, offsets);
    return JsonValue(std::move(object));
  }

  // Sorting, not hashing: no choice of keys makes it quadratic.
  void sort_keys(JsonObject& object, const std::vector<std::size_t>& offsets) const {
    const auto& members = object.members_;
    if (members.size() > std::numeric_limits<std::uint32_t>::max()) reader_.fail("too many keys", reader_.offset());
    object.sorted_.resize(members.size());
    std::iota(object.sorted_.begin(), object.sorted_.end(), 0U);
    std::sort(object.sorted_.begin(), object.sorted_.end(), [&](std::uint32_t a, std::uint32_t b) {
      const int order = members[a].first.compare(members[b].first);
      return order != 0 ? order < 0 : a < b;
    });
    const auto repeated =
        std::adjacent_find(object.sorted_.begin(), object.sorted_.end(),
                           [&](std::uint32_t a, std::uint32_t b) { return members[a].first == members[b].first; });
    if (repeated != object.sorted_.end()) {
      reader_.fail("the key " + quote(members[*repeated].first) + " is repeated", offsets[*std::next(repeated)]);
    }
  }

  JsonReader reader_;
  std::size_t values_left_;
};

JsonValue parse_json(std::string_view text, const JsonOptions& options) {
  return JsonTreeBuilder(text, options).document();
}

const JsonValue* JsonObject::find(std::string_view key) const {
  const auto found = std::lower_bound(sorted_.begin(), sorted_.end(), key,
                                      [this](std::uint32_t i, std::string_view k) { return members_[i].first < k; });
  if (found == sorted_.end() || members_[*found].first != key) return nullptr;
  return &members_[*found].second;
}

JsonKind JsonValue::kind() const {
  constexpr JsonKind kKinds[] = {JsonKind::null,   JsonKind::boolean, JsonKind::number, JsonKind::number,
                                 JsonKind::number, JsonKind::string,  JsonKind::array,  JsonKind::object};
  return kKinds[value_.index()];
}

std::optional<bool> JsonValue::boolean() const {
  const bool* value = std::get_if<bool>(&value_);
  return value ? std::optional<bool>(*value) : std::nullopt;
}

std::optional<std::int64_t> JsonValue::int64() const {
  const std::int64_t* value = std::get_if<std::int64_t>(&value_);
  return value ? std::optional<std::int64_t>(*value) : std::nullopt;
}

std::optional<std::uint64_t> JsonValue::uint64() const {
  if (const std::uint64_t* large = std::get_if<std::uint64_t>(&value_)) return *large;
  const std::optional<std::int64_t> value = int64();
  return value && *value >= 0 ? std::optional<std::uint64_t>(static_cast<std::uint64_t>(*value)) : std::nullopt;
}

std::optional<double> JsonValue::number() const {
  if (const double* value = std::get_if<double>(&value_)) return *value;
  if (const std::int64_t* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const std::uint64_t* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  return std::nullopt;
}

std::string JsonValue::describe() const {
  if (const auto truth = boolean()) return *truth ? "true (boolean)" : "false (boolean)";
  if (const auto value = int64()) return std::to_string(*value) + " (integer)";
  if (const auto value = uint64()) return std::to_string(*value) + " (integer)";
  if (const auto value = number()) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, *value).ptr;
    return std::string(digits, end) + " (number)";
  }
  if (string()) return quote(*string()) + " (string)";
  return kind_name(kind());
}

}  // namespace filbert
