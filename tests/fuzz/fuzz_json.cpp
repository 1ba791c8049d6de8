// The JSON tree: parses or throws JsonError; whatever parses finds each of its keys. What is JSON is so for Python,
// too.
#include <cstdlib>

#include "files/json.h"
#include "fuzz_target.h"

namespace {

void visit(const filbert::JsonValue& value) {
  value.describe();
  if (value.array() != nullptr) {
    for (const filbert::JsonValue& element : *value.array()) visit(element);
  }
  if (value.object() != nullptr) {
    for (const auto& [key, member] : value.object()->members()) {
      if (value.object()->find(key) != &member) std::abort();
      visit(member);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bool strict = false;
  for (const bool python : {false, true}) {
    try {
      visit(filbert::parse_json(fuzz_text(data, size), {.python = python}));
      strict = strict || !python;
    } catch (const filbert::JsonError&) {
      if (strict) std::abort();
    }
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"a":[1,-2.5e3,"\u00e9\ud83d\ude00x\n"],"b":{"c":null,"d":[true,false]},"é":""})",
      R"([[[[{"a":{"b":[18446744073709551615,-9223372036854775808,1e-300]}}]]]])",
      R"({"a":[NaN,Infinity,-Infinity,1e999,-1e-999],"b":"\ud800\udc00\ud800","\udfff":0.0e99999999999999999999})",
      R"({"0":"LABEL_0","1":"LABEL_1","2":"LABEL_2","3":"LABEL_3","10":"LABEL_10"})",
  };
}
