// The class `_native.Program`: checks arguments, releases the interpreter lock, runs steps.
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "implementations.hpp"
#include "layer.hpp"
#include "program.hpp"

namespace mpsearch {
namespace {

// `epilogue` is (multiplier or None, offset or None, residual or -1, low, high).
SinkRequest as_sink(const nb::tuple& epilogue, int value, std::vector<int> images) {
  if (epilogue.size() != 5) {
    throw ShapeError("An epilogue is multiplier, offset, residual, low and high.");
  }
  SinkRequest sink{{nullptr, nullptr, nb::cast<int>(epilogue[2]), nb::cast<float>(epilogue[3]),
                    nb::cast<float>(epilogue[4])},
                   -1,
                   value,
                   std::move(images)};
  if (epilogue[0].is_none() && epilogue[1].is_none()) return sink;
  const auto multiplier = as_array<ConstArray, float>(epilogue[0], "multiplier", "float32", 1);
  const auto offset = as_array<ConstArray, float>(epilogue[1], "offset", "float32", 1);
  if (multiplier.shape(0) != offset.shape(0)) {
    throw ShapeError("`multiplier` and `offset` must have as many numbers; got " + shape_text(multiplier) +
                     " and " + shape_text(offset) + ".");
  }
  // The caller's tuple keeps both arrays while the step is built.
  sink.epilogue.multiplier = static_cast<const float*>(multiplier.data());
  sink.epilogue.offset = static_cast<const float*>(offset.data());
  sink.epilogue_channels = static_cast<std::int64_t>(multiplier.shape(0));
  return sink;
}

PoolSpec as_pool(const std::string& reduction, const nb::tuple& vertical, const nb::tuple& horizontal,
                 bool counts_padding) {
  PoolSpec spec{Reduction::kMax, {}, {}, counts_padding};
  if (reduction == "window") {
    spec.reduction = Reduction::kWindow;
  } else if (reduction == "mean") {
    spec.reduction = Reduction::kMean;
  } else if (reduction != "max") {
    throw ShapeError("A pooling step takes the maximum, or the mean of a window or of all; got " + reduction +
                     ".");
  }
  const auto as_axis = [](const nb::tuple& axis) {
    if (axis.size() != 3) throw ShapeError("An axis of a pool is kernel, stride and padding.");
    return Axis{nb::cast<std::int64_t>(axis[0]), nb::cast<std::int64_t>(axis[1]),
                nb::cast<std::int64_t>(axis[2]), 1};
  };
  spec.height = as_axis(vertical);
  spec.width = as_axis(horizontal);
  return spec;
}

ArrayShape shape_of(const ConstArray& array) {
  ArrayShape shape;
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = static_cast<std::int64_t>(array.shape(i));
  return shape;
}

void run(Program& program, std::int64_t first, std::int64_t last, nb::handle x_object, nb::handle out_object,
         nb::handle seconds_object) {
  RunRequest request{first, last};
  ConstArray x;
  Array out;
  Array seconds;
  if (!x_object.is_none()) {
    x = as_array<ConstArray, float>(x_object, "x", "float32", 4);
    request.x = static_cast<const float*>(x.data());
    request.x_shape = shape_of(x);
  }
  if (!out_object.is_none()) {
    out = as_array<Array, float>(out_object, "out", "float32", 4);
    request.out = static_cast<float*>(out.data());
    request.out_shape = shape_of(ConstArray(out));
  }
  if (!seconds_object.is_none()) {
    seconds = as_array<Array, double>(seconds_object, "seconds", "float64", 1);
    request.seconds = static_cast<double*>(seconds.data());
    request.seconds_count = static_cast<std::int64_t>(seconds.shape(0));
  }
  const nb::gil_scoped_release release;
  program.run(request);
}

auto view(const Program& program, int value) {
  Program::View view = program.view(value);
  auto* owner = new std::shared_ptr<AlignedBuffer<float>>(std::move(view.owner));
  const nb::capsule capsule(owner, [](void* pointer) noexcept {
    delete static_cast<std::shared_ptr<AlignedBuffer<float>>*>(pointer);
  });
  const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  return nb::ndarray<nb::numpy, float>(
      view.data,
      {size(view.batch), size(view.shape.height), size(view.shape.width), size(view.shape.channels)},
      capsule);
}

}  // namespace

void bind_program(nb::module_& module) {
  nb::class_<Program>(module, "Program")
      .def(
          "__init__",
          [](Program* place, int threads, const std::string& forced_isa) {
            new (place) Program(find_implementation(forced_isa), threads);
          },
          nb::arg("threads"), nb::arg("forced_isa"))
      .def("add_value", [](Program& program, std::int64_t height, std::int64_t width,
                           std::int64_t channels) { return program.add_value({height, width, channels}); })
      .def("add_alias",
           [](Program& program, int value, std::int64_t height, std::int64_t width, std::int64_t channels) {
             return program.add_alias(value, {height, width, channels});
           })
      .def("add_image", &Program::add_image, nb::keep_alive<1, 2>())
      .def("load", &Program::load)
      .def("store", &Program::store)
      .def("layer",
           [](Program& program, int image, const nb::tuple& epilogue, int value, std::vector<int> images) {
             return program.layer(image, as_sink(epilogue, value, std::move(images)));
           })
      .def("elementwise",
           [](Program& program, int source, const nb::tuple& epilogue, int value, std::vector<int> images) {
             return program.elementwise(source, as_sink(epilogue, value, std::move(images)));
           })
      .def("pool",
           [](Program& program, int source, const std::string& reduction, const nb::tuple& vertical,
              const nb::tuple& horizontal, bool counts_padding, const nb::tuple& epilogue, int value,
              std::vector<int> images) {
             return program.pool(source, as_pool(reduction, vertical, horizontal, counts_padding),
                                 as_sink(epilogue, value, std::move(images)));
           })
      .def("subsample", &Program::subsample)
      .def("external", &Program::external)
      .def("prepare", &Program::prepare, nb::call_guard<nb::gil_scoped_release>())
      .def("value", view)
      .def("run", run, nb::arg("first"), nb::arg("last"), nb::arg("x").none(), nb::arg("out").none(),
           nb::arg("seconds").none())
      .def_prop_ro("isa", [](const Program& program) { return program.implementation().name; })
      .def_prop_ro("batch", &Program::batch)
      .def_prop_ro("step_count", &Program::step_count)
      .def_prop_ro("packed_bytes", &Program::packed_bytes);
}

}  // namespace mpsearch
