// The bytes of a regular file, read-only: mapped, or copied into memory.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace filbert {

class FileBytes {
 public:
  enum class Mode {
    map,   // pages are read on demand; the file must not be truncated meanwhile (the system answers with SIGBUS)
    copy,  // independent of the file afterwards
  };

  // Throws FileError with the path and the system's reason; std::bad_alloc if a copy does not fit.
  static std::shared_ptr<const FileBytes> open(const std::string& path, Mode mode);

  ~FileBytes();
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  const std::byte* data() const { return data_; }  // page-aligned if mapped; null if empty
  std::size_t size() const { return size_; }
  bool mapped() const { return mapped_; }

 private:
  FileBytes() = default;
  void map(int descriptor, const std::string& path);
  void copy(int descriptor, const std::string& path);

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool mapped_ = false;
};

// Gives back the pages of a file mapping; they are read again when touched. `data` must begin a page of a mapping that
// is backed by a file and never written (anything else would lose its contents).
void drop_mapped_pages(const void* data, std::size_t size) noexcept;

}  // namespace filbert
