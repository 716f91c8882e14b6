// The class `_native.Layer`: checks arguments, releases the interpreter lock, runs a layer.
#include <algorithm>
#include <string>

#include "arrays.hpp"
#include "bindings.hpp"
#include "implementations.hpp"
#include "layer.hpp"

namespace mpsearch {
namespace {

struct Input {
  std::int64_t batch, height, width;
};

struct OutSpatial {
  std::int64_t height, width;
};

OutSpatial out_spatial(const Layer& layer, std::int64_t height, std::int64_t width) {
  const OutSpatial out{height < 1 ? 0 : layer.height().out_size(height),
                       width < 1 ? 0 : layer.width().out_size(width)};
  if (out.height < 1 || out.width < 1) {
    throw ShapeError("The kernel must fit the padded input; got an input of " + std::to_string(height) + "x" +
                     std::to_string(width) + " and a kernel of " + std::to_string(layer.height().kernel) +
                     "x" + std::to_string(layer.width().kernel) + ".");
  }
  return out;
}

Input check_input(const Layer& layer, const ConstArray& x, const char* name) {
  if (static_cast<std::int64_t>(x.shape(3)) != layer.in_channels() || x.shape(0) == 0) {
    throw ShapeError("`" + std::string(name) + "` must be (batch, height, width, " +
                     std::to_string(layer.in_channels()) + ") and not empty; got " + shape_text(x) + ".");
  }
  return {static_cast<std::int64_t>(x.shape(0)), static_cast<std::int64_t>(x.shape(1)),
          static_cast<std::int64_t>(x.shape(2))};
}

void check_output(const Layer& layer, const ConstArray& out, const Input& input, const OutSpatial& spatial) {
  const std::int64_t expected[4] = {input.batch, spatial.height, spatial.width, layer.out_channels()};
  for (std::size_t i = 0; i < 4; ++i) {
    if (static_cast<std::int64_t>(out.shape(i)) == expected[i]) continue;
    throw ShapeError("`out` must be (" + std::to_string(expected[0]) + ", " + std::to_string(expected[1]) +
                     ", " + std::to_string(expected[2]) + ", " + std::to_string(expected[3]) + "); got " +
                     shape_text(out) + ".");
  }
}

void run(Layer& layer, nb::handle x_object, nb::handle out_object) {
  const auto x = as_array<ConstArray, float>(x_object, "x", "float32", 4);
  const auto out = as_array<Array, float>(out_object, "out", "float32", 4);
  const Input input = check_input(layer, x, "x");
  check_output(layer, ConstArray(out), input, out_spatial(layer, input.height, input.width));
  const nb::gil_scoped_release release;
  layer.run(static_cast<const float*>(x.data()), input.batch, input.height, input.width,
            static_cast<float*>(out.data()));
}

void run_integer(Layer& layer, nb::handle a_object, nb::handle sums_object) {
  const auto a = as_array<ConstArray, std::int8_t>(a_object, "a", "int8", 4);
  const auto sums = as_array<Array, std::int32_t>(sums_object, "sums", "int32", 4);
  const Input input = check_input(layer, a, "a");
  check_output(layer, ConstArray(sums), input, out_spatial(layer, input.height, input.width));
  const auto* values = static_cast<const std::int8_t*>(a.data());
  if (layer.has_binary_activations()) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (values[i] == 1 || values[i] == -1) continue;
      throw ShapeError("Binary activations must be -1 or +1; got " + std::to_string(values[i]) + ".");
    }
  }
  const nb::gil_scoped_release release;
  layer.run_integer(values, input.batch, input.height, input.width, static_cast<std::int32_t*>(sums.data()));
}

// `geometry` is (stride, padding, dilation).
Axis as_axis(const nb::tuple& geometry, std::size_t kernel) {
  if (geometry.size() != 3) throw ShapeError("An axis takes stride, padding and dilation.");
  return {static_cast<std::int64_t>(kernel), nb::cast<std::int64_t>(geometry[0]),
          nb::cast<std::int64_t>(geometry[1]), nb::cast<std::int64_t>(geometry[2])};
}

void construct(Layer* place, const std::string& scheme, nb::handle weight_object, nb::handle scale_object,
               nb::handle bias_object, nb::handle threshold_object, float inverse_scale, int zero_point,
               nb::handle negative_scale_object, int input_scale, bool has_ternary_inputs,
               const nb::tuple& vertical, const nb::tuple& horizontal, std::int64_t groups, int threads,
               const std::string& forced_isa) {
  const auto weight = as_array<ConstArray, std::int8_t>(weight_object, "weight", "int8", 4);
  const auto scale = as_array<ConstArray, float>(scale_object, "scale", "float32", 1);
  ConstArray bias;
  ConstArray threshold;
  ConstArray negative_scale;
  if (!negative_scale_object.is_none()) {
    negative_scale = as_array<ConstArray, float>(negative_scale_object, "negative_scale", "float32", 1);
  }
  if (!bias_object.is_none()) bias = as_array<ConstArray, float>(bias_object, "bias", "float32", 1);
  if (!threshold_object.is_none()) {
    threshold = as_array<ConstArray, float>(threshold_object, "threshold", "float32", 1);
  }
  LayerSpec spec{};
  spec.scheme = scheme;
  spec.out_channels = static_cast<std::int64_t>(weight.shape(0));
  spec.in_channels = static_cast<std::int64_t>(weight.shape(1)) * groups;
  spec.groups = groups;
  spec.height = as_axis(vertical, weight.shape(2));
  spec.width = as_axis(horizontal, weight.shape(3));
  for (const Axis& side : {spec.height, spec.width}) {
    if (side.kernel < 1 || side.stride < 1 || side.padding < 0 || side.dilation < 1 ||
        std::max({side.kernel, side.stride, side.padding, side.dilation}) > kLongestAxis) {
      throw ShapeError("Kernel, stride and dilation must be at least 1, padding at least 0 and all at most " +
                       std::to_string(kLongestAxis) + "; got " + std::to_string(side.kernel) + ", " +
                       std::to_string(side.stride) + ", " + std::to_string(side.dilation) + " and " +
                       std::to_string(side.padding) + ".");
    }
  }
  const bool has_threshold = threshold.is_valid();
  if (groups < 1 || spec.out_channels < 1 || spec.in_channels < 1 || spec.out_channels % groups != 0 ||
      static_cast<std::int64_t>(scale.shape(0)) != spec.out_channels ||
      (bias.is_valid() && static_cast<std::int64_t>(bias.shape(0)) != spec.out_channels) ||
      has_threshold != (scheme == "w1a1") ||
      (has_threshold && static_cast<std::int64_t>(threshold.shape(0)) != spec.in_channels) ||
      zero_point < -128 || zero_point > 127 || (has_threshold && zero_point != 0) ||
      (negative_scale.is_valid() &&
       (scheme != "w1.58a8" || static_cast<std::int64_t>(negative_scale.shape(0)) != spec.out_channels)) ||
      (input_scale == static_cast<int>(InputScale::kToken) &&
       (has_threshold || weight.shape(2) * weight.shape(3) != 1 || groups != 1 ||
        spec.height.stride * spec.width.stride != 1 || spec.height.padding + spec.width.padding != 0)) ||
      (input_scale == static_cast<int>(InputScale::kPixel) && !has_threshold) || input_scale < 0 ||
      input_scale > static_cast<int>(InputScale::kPixel) ||
      (has_ternary_inputs && (has_threshold || zero_point != 0))) {
    throw ShapeError("The parts of a layer must fit one another; build it from a QuantizedLayer.");
  }
  spec.weight = static_cast<const std::int8_t*>(weight.data());
  spec.scale = static_cast<const float*>(scale.data());
  spec.bias = bias.is_valid() ? static_cast<const float*>(bias.data()) : nullptr;
  spec.threshold = has_threshold ? static_cast<const float*>(threshold.data()) : nullptr;
  spec.inverse_scale = inverse_scale;
  spec.zero_point = zero_point;
  spec.negative_scale =
      negative_scale.is_valid() ? static_cast<const float*>(negative_scale.data()) : nullptr;
  spec.input_scale = static_cast<InputScale>(input_scale);
  spec.has_ternary_inputs = has_ternary_inputs;
  new (place) Layer(spec, find_implementation(forced_isa), threads);
}

}  // namespace

void bind_layer(nb::module_& module) {
  nb::class_<Layer>(module, "Layer")
      .def("__init__", construct, nb::arg("scheme"), nb::arg("weight"), nb::arg("scale"),
           nb::arg("bias").none(), nb::arg("threshold").none(), nb::arg("inverse_scale"),
           nb::arg("zero_point"), nb::arg("negative_scale").none(), nb::arg("input_scale"),
           nb::arg("has_ternary_inputs"), nb::arg("vertical"), nb::arg("horizontal"), nb::arg("groups"),
           nb::arg("threads"), nb::arg("forced_isa"))
      .def("run", run, nb::arg("x").none(), nb::arg("out").none())
      .def("run_integer", run_integer, nb::arg("a").none(), nb::arg("sums").none())
      .def(
          "run_product",
          [](Layer& layer, nb::handle object) {
            const auto out = as_array<Array, float>(object, "out", "float32", 4);
            const nb::gil_scoped_release release;
            layer.run_product(static_cast<float*>(out.data()), static_cast<std::int64_t>(out.size()));
          },
          nb::arg("out").none())
      .def("out_spatial",
           [](const Layer& layer, std::int64_t height, std::int64_t width) {
             const OutSpatial out = out_spatial(layer, height, width);
             return nb::make_tuple(out.height, out.width);
           })
      .def_prop_ro("isa", [](const Layer& layer) { return layer.implementation().name; })
      .def_prop_ro("packed_bytes", &Layer::packed_bytes);
}

}  // namespace mpsearch
