// Layers, pools and copies in a row, run by one call over buffers that are planned once per batch size.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aligned_buffer.hpp"
#include "contract.hpp"
#include "sink.hpp"
#include "step.hpp"
#include "steps.hpp"

namespace mpsearch {

using ArrayShape = std::array<std::int64_t, 4>;  // batch first

// What a caller hands to a run; a null array has a shape of zeros.
struct RunRequest {
  std::int64_t first;
  std::int64_t last;
  const float* x = nullptr;
  ArrayShape x_shape{};
  float* out = nullptr;
  ArrayShape out_shape{};
  double* seconds = nullptr;  // last - first
  std::int64_t seconds_count = 0;
};

// Where a step's results go, as the caller names it.
struct SinkRequest {
  EpilogueSpec epilogue;
  std::int64_t epilogue_channels;  // -1 without multiplier
  int value;                       // or -1
  std::vector<int> images;
};

// Throws ShapeError where ids or shapes do not fit, KernelError where steps come in an impossible order.
// Calls from several threads take turns.
class Program {
 public:
  Program(const Implementation& implementation, int threads);

  const Implementation& implementation() const noexcept { return implementation_; }
  std::int64_t packed_bytes() const;
  std::int64_t batch() const;
  std::int64_t step_count() const;

  int add_value(const ValueShape& shape);
  int add_alias(int value, const ValueShape& shape);
  // The layer outlives the program and is used by nobody else.
  int add_image(Layer& layer, std::int64_t height, std::int64_t width);

  int load(int value, bool channels_first);
  int store(int value, bool channels_first);
  int layer(int image, const SinkRequest& sink);
  int elementwise(int source, const SinkRequest& sink);
  int pool(int source, PoolSpec spec, const SinkRequest& sink);  // kMean: over all pixels
  int subsample(int source, std::int64_t row_stride, std::int64_t column_stride, std::int64_t channels_before,
                int value);
  int external(const std::vector<int>& reads, int writes);

  void prepare(std::int64_t batch);
  void run(const RunRequest& request);

  // A value's memory for the batch size of the last prepare(); `owner` keeps it.
  struct View {
    float* data;
    std::shared_ptr<AlignedBuffer<float>> owner;
    std::int64_t batch;
    ValueShape shape;
  };
  View view(int value) const;

 private:
  struct Value {
    ValueShape shape;
    int root;  // itself, or the value that it is an alias of
    bool is_written = false;
  };
  struct Image {
    Layer* layer;
    std::int64_t height;
    std::int64_t width;
    bool is_written = false;
  };
  enum class Role { kInside, kLoad, kStore, kExternal };
  struct Entry {
    std::unique_ptr<Step> step;
    Role role;
    ArrayShape array_shape;  // of x or out
  };
  class Binding;

  const Value& value_at(int id, const char* name) const;
  const Image& image_at(int id) const;
  const Value& readable(int id, const char* name) const;
  const Value& writable(int id, const char* name) const;
  void check_sink(const SinkRequest& sink, const ValueShape& shape, const char* what) const;
  void check_targets(const SinkRequest& sink, const ValueShape& shape) const;
  Sink make_sink(const SinkRequest& sink, std::int64_t channels);
  int append(std::unique_ptr<Step> step, Role role = Role::kInside, const ValueShape& array_shape = {});
  int add_copy(int value, bool channels_first, Role role);
  ValueUse root_use(const Step& step) const;
  void check_run(const RunRequest& request) const;

  const Implementation& implementation_;
  const int threads_;
  mutable std::mutex mutex_;
  std::vector<Value> values_;
  std::vector<Image> images_;
  std::vector<Entry> steps_;
  std::int64_t batch_ = 0;  // 0: not prepared
  std::shared_ptr<AlignedBuffer<float>> arena_;
  std::vector<std::int64_t> offsets_;  // in the arena, in floats per element of the batch, by value
};

}  // namespace mpsearch
