// What the files of the Python module share. Each binds a group of classes.
#pragma once

#include <filbert/filbert.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <initializer_list>
#include <string>
#include <utility>

namespace filbert::python {

void bind_weights(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_maxsim(pybind11::module_& module);

// Sets the Python exception that a C++ one stands for.
void translate(std::exception_ptr pointer);

// Text with paths in it, which need not be UTF-8: as os.fsdecode has them.
pybind11::str path_text(const std::string& text);

// The value of that name. Throws InputError, listing the names, if there is none.
template <typename T>
T named(const char* what, const std::string& name, std::initializer_list<std::pair<const char*, T>> names) {
  std::string known;
  for (const auto& [each, value] : names) {
    if (name == each) return value;
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  throw filbert::InputError(std::string(what) + " \"" + name + "\" is unknown; expected one of: " + known);
}

inline Task task_of(const std::string& name) {
  return named<Task>("task", name,
                     {{"encoder", Task::encoder},
                      {"model", Task::model},
                      {"sequence-classification", Task::sequence_classification},
                      {"token-classification", Task::token_classification},
                      {"question-answering", Task::question_answering},
                      {"masked-lm", Task::masked_lm},
                      {"next-token", Task::next_token}});
}

}  // namespace filbert::python
