// Builds the bytes of safetensors files, valid and not, and the folders that hold them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace filbert::testing {

inline std::string little_endian_64(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i) & 0xff));
  return bytes;
}

// A file with this header, whatever it says, and this data.
inline std::string raw_safetensors(std::string_view header, std::string_view data = "") {
  return little_endian_64(header.size()) + std::string(header) + std::string(data);
}

// `bytes` zero bytes of data.
inline std::string raw_safetensors(std::string_view header, std::size_t bytes) {
  return raw_safetensors(header, std::string(bytes, '\0'));
}

inline std::string tensor_json(std::string_view name, std::string_view dtype, std::string_view shape,
                               std::uint64_t begin, std::uint64_t end) {
  return "\"" + std::string(name) + "\":{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":" + std::string(shape) +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

struct MadeTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::string dtype = "F32";
  std::size_t element_bytes = 4;
  char fill = 0;
};

// A valid file.
inline std::string make_safetensors(const std::vector<MadeTensor>& tensors) {
  std::string header = "{";
  std::string data;
  for (const MadeTensor& tensor : tensors) {
    std::size_t bytes = tensor.element_bytes;
    std::string shape = "[";
    for (const std::uint64_t dimension : tensor.shape) {
      bytes *= static_cast<std::size_t>(dimension);
      if (shape.size() > 1) shape += ",";
      shape += std::to_string(dimension);
    }
    if (header.size() > 1) header += ",";
    header += tensor_json(tensor.name, tensor.dtype, shape + "]", data.size(), data.size() + bytes);
    data.append(bytes, tensor.fill);
  }
  return raw_safetensors(header + "}", data);
}

// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "filbert-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

  std::string write(const std::string& name, std::string_view bytes) const {
    const std::string path = *this / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }

 private:
  std::string path_;
};

// The message of the exception that `call` throws: "" if it throws none, others pass through.
template <typename Exception, typename Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace filbert::testing
