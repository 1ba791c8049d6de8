// Scores of late interaction over NumPy arrays.
#include <pybind11/numpy.h>

#include "bindings/bind.h"
#include "bindings/gil.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace filbert::python {
namespace {

using FloatArray = py::array_t<float, py::array::c_style>;
using Int64Array = py::array_t<std::int64_t, py::array::c_style>;

VectorSets sets_of(const char* name, const FloatArray& rows, const Int64Array& bounds) {
  if (rows.ndim() != 2 || bounds.ndim() != 1 || bounds.size() < 1 || bounds.data()[bounds.size() - 1] != rows.shape(0))
    throw InputError(std::string(name) + ": expected vectors [n, width] and bounds [sets + 1] that end with n");
  return {rows.data(), bounds.data(), static_cast<std::size_t>(bounds.size() - 1)};
}

FloatArray score(const FloatArray& queries, const Int64Array& query_bounds, const FloatArray& documents,
                 const Int64Array& document_bounds, int threads) {
  const VectorSets asked = sets_of("queries", queries, query_bounds);
  const VectorSets searched = sets_of("documents", documents, document_bounds);
  if (queries.shape(1) != documents.shape(1))
    throw InputError("documents: found vectors of " + std::to_string(documents.shape(1)) + " numbers, expected " +
                     std::to_string(queries.shape(1)) + " as those of the queries have");
  FloatArray scores({query_bounds.size() - 1, document_bounds.size() - 1});
  float* const out = scores.mutable_data();
  const auto width = static_cast<std::size_t>(queries.shape(1));
  {
    const ReleasedGil released;
    maxsim(asked, searched, width, out, threads);
  }
  return scores;
}

}  // namespace

void bind_maxsim(py::module_& module) {
  module.def("maxsim", &score, "queries"_a, "query_bounds"_a, "documents"_a, "document_bounds"_a, "num_threads"_a = 0);
}

}  // namespace filbert::python
