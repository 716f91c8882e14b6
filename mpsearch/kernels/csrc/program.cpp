// What a program consists of, and the checks of every part that is added.
#include "program.hpp"

#include <utility>

#include "errors.hpp"
#include "layer.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr double kMostElements = 1099511627776.0;  // 2^40: products of sizes stay far from overflow

std::string text(const ValueShape& shape) {
  return std::to_string(shape.height) + "x" + std::to_string(shape.width) + "x" +
         std::to_string(shape.channels);
}

void check_size(const ValueShape& shape) {
  const double count = static_cast<double>(shape.height) * static_cast<double>(shape.width) *
                       static_cast<double>(shape.channels);
  if (shape.height < 1 || shape.width < 1 || shape.channels < 1 || count > kMostElements) {
    throw ShapeError(
        "A value has a height, width and channels of at least 1, and at most 2^40 numbers; got " +
        text(shape) + ".");
  }
}

void check_axis(const Axis& axis, std::int64_t size) {
  if (axis.kernel < 1 || axis.kernel > kLongestAxis || axis.stride < 1 || axis.padding < 0 ||
      axis.padding > axis.kernel / 2 || axis.kernel > size + 2 * axis.padding) {
    throw ShapeError(
        "A pooling window must fit its padded input, with a stride of at least 1 and a padding of at most "
        "half "
        "the window; got a window of " +
        std::to_string(axis.kernel) + ", stride " + std::to_string(axis.stride) + " and padding " +
        std::to_string(axis.padding) + " over " + std::to_string(size) + ".");
  }
}

}  // namespace

Program::Program(const Implementation& implementation, int threads)
    : implementation_(implementation), threads_(threads) {
  if (threads < 1 || threads > kMaxThreads) {
    throw KernelError("`threads` must be in 1.." + std::to_string(kMaxThreads) + "; got " +
                      std::to_string(threads) + ".");
  }
}

std::int64_t Program::packed_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::int64_t bytes = 0;
  for (const Image& image : images_) bytes += image.layer->packed_bytes();
  return bytes;
}

std::int64_t Program::batch() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return batch_;
}

std::int64_t Program::step_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<std::int64_t>(steps_.size());
}

const Program::Value& Program::value_at(int id, const char* name) const {
  if (id < 0 || static_cast<std::size_t>(id) >= values_.size()) {
    throw ShapeError("`" + std::string(name) + "` must be the id of a value, in 0.." +
                     std::to_string(values_.size()) + " - 1; got " + std::to_string(id) + ".");
  }
  return values_[static_cast<std::size_t>(id)];
}

const Program::Image& Program::image_at(int id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= images_.size()) {
    throw ShapeError("An image must be the id that add_image() returned, in 0.." +
                     std::to_string(images_.size()) + " - 1; got " + std::to_string(id) + ".");
  }
  return images_[static_cast<std::size_t>(id)];
}

const Program::Value& Program::readable(int id, const char* name) const {
  const Value& value = value_at(id, name);
  if (!values_[static_cast<std::size_t>(value.root)].is_written) {
    throw KernelError("A step reads what an earlier one wrote; `" + std::string(name) + "`, value " +
                      std::to_string(id) + ", is not written yet.");
  }
  return value;
}

const Program::Value& Program::writable(int id, const char* name) const {
  const Value& value = value_at(id, name);
  if (value.root != id || value.is_written) {
    throw KernelError("A value is written by one step, and an alias by none; got value " +
                      std::to_string(id) + " as `" + name + "`. Add another value.");
  }
  return value;
}

int Program::add_value(const ValueShape& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  check_size(shape);
  const int id = static_cast<int>(values_.size());
  values_.push_back({shape, id});
  batch_ = 0;
  return id;
}

int Program::add_alias(int value, const ValueShape& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  check_size(shape);
  const Value& original = value_at(value, "value");
  if (original.shape.count() != shape.count()) {
    throw ShapeError("An alias has as many numbers as its value; got " + text(shape) + " for " +
                     text(original.shape) + ".");
  }
  const int root = original.root;
  values_.push_back({shape, root});
  batch_ = 0;
  return static_cast<int>(values_.size()) - 1;
}

int Program::add_image(Layer& layer, std::int64_t height, std::int64_t width) {
  const std::lock_guard<std::mutex> lock(mutex_);
  check_size({height, width, layer.in_channels()});
  if (layer.height().out_size(height) < 1 || layer.width().out_size(width) < 1) {
    throw ShapeError("The kernel must fit the padded input; got an input of " + std::to_string(height) + "x" +
                     std::to_string(width) + " and a kernel of " + std::to_string(layer.height().kernel) +
                     "x" + std::to_string(layer.width().kernel) + ".");
  }
  images_.push_back({&layer, height, width});
  batch_ = 0;
  return static_cast<int>(images_.size()) - 1;
}

void Program::check_sink(const SinkRequest& sink, const ValueShape& shape, const char* what) const {
  if (sink.value < 0 && sink.images.empty()) {
    throw ShapeError(std::string(what) + " writes a value, an image, or both; got neither.");
  }
  if (sink.epilogue_channels >= 0 && sink.epilogue_channels != shape.channels) {
    throw ShapeError("`multiplier` and `offset` have one number for each of the " +
                     std::to_string(shape.channels) + " output channels; got " +
                     std::to_string(sink.epilogue_channels) + ".");
  }
  if (!(sink.epilogue.low <= sink.epilogue.high)) {
    throw ShapeError("`low` must be at most `high`; got " + std::to_string(sink.epilogue.low) + " and " +
                     std::to_string(sink.epilogue.high) + ".");
  }
  if (sink.epilogue.residual != -1) {
    const Value& residual = readable(sink.epilogue.residual, "residual");
    if (!(residual.shape == shape)) {
      throw ShapeError("`residual` must have the shape of the result, " + text(shape) + "; got " +
                       text(residual.shape) + ".");
    }
  }
  if (sink.value != -1) {
    const Value& value = writable(sink.value, "value");
    if (!(value.shape == shape)) {
      throw ShapeError("`value` must have the shape of the result, " + text(shape) + "; got " +
                       text(value.shape) + ".");
    }
  }
  check_targets(sink, shape);
}

void Program::check_targets(const SinkRequest& sink, const ValueShape& shape) const {
  for (std::size_t i = 0; i < sink.images.size(); ++i) {
    const Image& image = image_at(sink.images[i]);
    const ValueShape wanted{image.height, image.width, image.layer->in_channels()};
    if (!(wanted == shape)) {
      throw ShapeError("An image must have the shape of the result, " + text(shape) + "; image " +
                       std::to_string(sink.images[i]) + " has " + text(wanted) + ".");
    }
    bool is_repeated = false;
    for (std::size_t j = 0; j < i; ++j) is_repeated |= sink.images[j] == sink.images[i];
    if (image.is_written || is_repeated) {
      throw KernelError("An image is written once before its layer reads it; got image " +
                        std::to_string(sink.images[i]) + " again.");
    }
  }
}

Sink Program::make_sink(const SinkRequest& sink, std::int64_t channels) {
  Sink made(sink.epilogue, channels, sink.value, sink.images);
  if (sink.value >= 0) values_[static_cast<std::size_t>(sink.value)].is_written = true;
  for (const int image : sink.images) images_[static_cast<std::size_t>(image)].is_written = true;
  return made;
}

int Program::append(std::unique_ptr<Step> step, Role role, const ValueShape& array_shape) {
  steps_.push_back({std::move(step), role, {0, array_shape.height, array_shape.width, array_shape.channels}});
  batch_ = 0;
  return static_cast<int>(steps_.size()) - 1;
}

int Program::add_copy(int value, bool channels_first, Role role) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_load = role == Role::kLoad;
  const ValueShape shape = (is_load ? writable(value, "value") : readable(value, "value")).shape;
  if (is_load) values_[static_cast<std::size_t>(value)].is_written = true;
  const ValueShape array_shape =
      channels_first ? ValueShape{shape.channels, shape.height, shape.width} : shape;
  return append(
      is_load ? make_load_step(value, shape, channels_first) : make_store_step(value, shape, channels_first),
      role, array_shape);
}

int Program::load(int value, bool channels_first) { return add_copy(value, channels_first, Role::kLoad); }

int Program::store(int value, bool channels_first) { return add_copy(value, channels_first, Role::kStore); }

int Program::layer(int image_id, const SinkRequest& sink) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Image& image = image_at(image_id);
  const Layer& layer = *image.layer;
  if (!image.is_written) {
    throw KernelError("A layer reads an image that an earlier step wrote; image " + std::to_string(image_id) +
                      " is not written, or was read already.");
  }
  const ValueShape shape{layer.height().out_size(image.height), layer.width().out_size(image.width),
                         layer.out_channels()};
  check_sink(sink, shape, "A layer");
  for (const int target : sink.images) {
    if (layer.has_aligned_columns() && image_at(target).layer->takes_finished_pixels()) continue;
    throw KernelError(
        "Only ungrouped and depthwise layers write images, and only such layers (depthwise: with one output "
        "channel per input channel; none that look at their whole input first) have theirs written; got a "
        "layer of image " +
        std::to_string(image_id) + " and image " + std::to_string(target) +
        ". Write a value, then add an elementwise step.");
  }
  auto step = make_layer_step(image_id, make_sink(sink, shape.channels));
  images_[static_cast<std::size_t>(image_id)].is_written = false;
  return append(std::move(step));
}

int Program::elementwise(int source, const SinkRequest& request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const ValueShape shape = readable(source, "source").shape;
  check_sink(request, shape, "An elementwise step");
  SinkRequest sink = request;
  sink.images.clear();
  std::vector<int> loads;
  for (const int image : request.images) {
    (image_at(image).layer->takes_finished_pixels() ? sink.images : loads).push_back(image);
  }
  int loaded = source;
  const EpilogueSpec& epilogue = sink.epilogue;
  const bool changes = epilogue.multiplier != nullptr || epilogue.residual >= 0 ||
                       epilogue.low > -__builtin_inff() || epilogue.high < __builtin_inff();
  if (!loads.empty() && changes) {
    if (sink.value < 0) {  // one that nobody else knows of
      sink.value = static_cast<int>(values_.size());
      values_.push_back({shape, sink.value});
    }
    loaded = sink.value;
  }
  for (const int image : loads) images_[static_cast<std::size_t>(image)].is_written = true;
  return append(make_elementwise_step(implementation_, threads_, source, shape.pixels(),
                                      make_sink(sink, shape.channels), loaded, std::move(loads)));
}

int Program::pool(int source, PoolSpec spec, const SinkRequest& sink) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const ValueShape shape = readable(source, "source").shape;
  if (spec.reduction == Reduction::kMean) {
    spec.height = {shape.height, 1, 0, 1};
    spec.width = {shape.width, 1, 0, 1};
  }
  check_axis(spec.height, shape.height);
  check_axis(spec.width, shape.width);
  const ValueShape out_shape{spec.height.out_size(shape.height), spec.width.out_size(shape.width),
                             shape.channels};
  check_sink(sink, out_shape, "A pooling step");
  for (const int target : sink.images) {
    if (image_at(target).layer->takes_finished_pixels()) continue;
    throw KernelError(
        "A pooling step cannot write the image of a grouped layer, or of one that looks at its whole input "
        "first; got image " +
        std::to_string(target) + ". Write a value, then add an elementwise step.");
  }
  return append(
      make_pool_step(implementation_, threads_, source, shape, spec, make_sink(sink, shape.channels)));
}

int Program::subsample(int source, std::int64_t row_stride, std::int64_t column_stride,
                       std::int64_t channels_before, int value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const ValueShape shape = readable(source, "source").shape;
  const ValueShape out_shape = writable(value, "value").shape;
  if (row_stride < 1 || column_stride < 1 || channels_before < 0 ||
      out_shape.height != (shape.height - 1) / row_stride + 1 ||
      out_shape.width != (shape.width - 1) / column_stride + 1 ||
      channels_before > out_shape.channels - shape.channels) {
    throw ShapeError("`value` must have every stride-th pixel of the source, " + text(shape) +
                     ", and room for its channels after `channels_before`; got " + text(out_shape) +
                     ", strides of " + std::to_string(row_stride) + " and " + std::to_string(column_stride) +
                     ", and " + std::to_string(channels_before) + " channels before.");
  }
  values_[static_cast<std::size_t>(value)].is_written = true;
  return append(
      make_subsample_step(source, shape, row_stride, column_stride, channels_before, value, out_shape));
}

int Program::external(const std::vector<int>& reads, int writes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const int id : reads) readable(id, "reads");
  writable(writes, "writes");
  values_[static_cast<std::size_t>(writes)].is_written = true;
  return append(make_external_step(reads, writes), Role::kExternal);
}

}  // namespace mpsearch
