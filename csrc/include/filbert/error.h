// Every failure of the library is one of these exceptions; messages name the file, the key, what was found and
// what was expected.
#pragma once

#include <filbert/export.h>

#include <stdexcept>

namespace filbert {

class FILBERT_API Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// config.json cannot be read, or asks for something this library cannot honour exactly.
class FILBERT_API ConfigError : public Error {
  using Error::Error;
};

// A weights file is malformed, or does not hold the tensors that the configuration needs.
class FILBERT_API WeightsError : public Error {
  using Error::Error;
};

// Token ids, masks, positions or shapes that the model cannot take.
class FILBERT_API InputError : public Error {
  using Error::Error;
};

// The device, backend or instruction set asked for is not available.
class FILBERT_API DeviceError : public Error {
  using Error::Error;
};

// A file cannot be opened or read; what() carries the path and the system's reason.
class FILBERT_API FileError : public Error {
 public:
  FileError(const std::string& message, int error_number) : Error(message), error_number_(error_number) {}
  int error_number() const noexcept { return error_number_; }

 private:
  int error_number_;
};

}  // namespace filbert
