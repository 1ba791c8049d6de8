#include "files/mmap.h"

#include <fcntl.h>
#include <filbert/error.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <new>
#include <system_error>

#include "files/text.h"

namespace filbert {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what, int error_number) {
  throw FileError(path + ": " + what + ": " + std::generic_category().message(error_number), error_number);
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

int open_read_only(const std::string& path) {
  if (path.find('\0') != std::string::npos) fail(quote(path), "a path must not hold a NUL byte", EINVAL);
  int descriptor = -1;
  do {
    // O_NONBLOCK: opening a FIFO must not wait for a writer. It means nothing for regular files.
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) fail(path, "cannot open", errno);
  return descriptor;
}

}  // namespace

std::shared_ptr<const FileBytes> FileBytes::open(const std::string& path, Mode mode) {
  const std::shared_ptr<FileBytes> file(new FileBytes());
  const Descriptor descriptor(open_read_only(path));
  struct stat status = {};
  if (::fstat(descriptor.get(), &status) != 0) fail(path, "cannot stat", errno);
  if (S_ISDIR(status.st_mode)) fail(path, "expected a file", EISDIR);
  if (!S_ISREG(status.st_mode)) fail(path, "expected a regular file", EINVAL);
  if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max()) {
    fail(path, "cannot read", EFBIG);
  }
  file->size_ = static_cast<std::size_t>(status.st_size);
  if (file->size_ == 0) return file;  // mmap refuses empty ranges
  if (mode == Mode::map) {
    file->map(descriptor.get(), path);
  } else {
    file->copy(descriptor.get(), path);
  }
  return file;
}

void FileBytes::map(int descriptor, const std::string& path) {
  void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) fail(path, "cannot map", errno);
  data_ = static_cast<const std::byte*>(address);
  mapped_ = true;
}

void FileBytes::copy(int descriptor, const std::string& path) {
  // A single read may move at most 2 GB.
  constexpr std::size_t kChunk = std::size_t{1} << 30;
  auto* const bytes = static_cast<std::byte*>(::operator new(size_));
  data_ = bytes;  // the destructor frees it if reading fails
  std::size_t done = 0;
  while (done < size_) {
    const ssize_t count = ::read(descriptor, bytes + done, std::min(kChunk, size_ - done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path, "cannot read", errno);
    if (count == 0) fail(path, "the file became shorter while it was read", EIO);
    done += static_cast<std::size_t>(count);
  }
}

FileBytes::~FileBytes() {
  if (data_ == nullptr) return;
  if (mapped_) {
    ::munmap(const_cast<std::byte*>(data_), size_);
  } else {
    ::operator delete(const_cast<std::byte*>(data_));
  }
}

void drop_mapped_pages(const void* data, std::size_t size) noexcept {
  // The system rounds the length up to whole pages. Failure only means that the pages stay.
  if (data != nullptr && size != 0) ::madvise(const_cast<void*>(data), size, MADV_DONTNEED);
}

}  // namespace filbert
