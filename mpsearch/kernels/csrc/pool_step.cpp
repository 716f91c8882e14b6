#include <algorithm>
#include <utility>

#include "rounding.hpp"
#include "steps.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr std::int64_t kTileColumns = 64;
static_assert(kTileColumns % kEpilogueUnit == 0);

class PoolStep final : public Step {
 public:
  PoolStep(const Implementation& implementation, int threads, int source, const ValueShape& shape,
           const PoolSpec& spec, Sink sink)
      : implementation_(implementation),
        most_threads_(threads),
        source_(source),
        shape_(shape),
        spec_(spec),
        sink_(std::move(sink)) {}

  ValueUse use() const override {
    ValueUse use;
    sink_.add_to(use);
    use.reads.push_back(source_);
    return use;
  }

  void bind(const Buffers& buffers) override {
    sink_.bind(buffers);
    x_ = buffers.value(source_);
    out_height_ = spec_.height.out_size(shape_.height);
    out_width_ = spec_.width.out_size(shape_.width);
    pixels_ = buffers.batch() * out_height_ * out_width_;
    const std::int64_t area =
        std::min(spec_.height.kernel, shape_.height) * std::min(spec_.width.kernel, shape_.width);
    threads_ = threads_for(pixels_ * area * shape_.channels, most_threads_);
    windows_.resize(static_cast<std::size_t>(threads_ * kTileRows));
    for (Window& window : windows_) window.taps.resize(static_cast<std::size_t>(area));
  }

  void run(const RunArrays&) noexcept override {
    for_each_chunk(divide_up(pixels_, kTileRows), threads_, [&](std::int64_t chunk, int slot) {
      const std::int64_t first = chunk * kTileRows;
      const int rows = static_cast<int>(std::min<std::int64_t>(kTileRows, pixels_ - first));
      Window* windows = windows_.data() + slot * kTileRows;
      for (int row = 0; row < rows; ++row) find_taps(first + row, windows[row]);
      if (sink_.epilogue() != nullptr) {
        finish(windows, first, rows);
        return;
      }
      for (int row = 0; row < rows; ++row) {
        reduce(windows[row], 0, shape_.channels, sink_.out() + (first + row) * shape_.channels);
      }
    });
  }

 private:
  struct Window {
    std::vector<const float*> taps;
    std::int64_t tap_count;
  };

  void find_taps(std::int64_t pixel, Window& window) const noexcept {
    const std::int64_t top = pixel / out_width_ % out_height_ * spec_.height.stride - spec_.height.padding;
    const std::int64_t left = pixel % out_width_ * spec_.width.stride - spec_.width.padding;
    const std::int64_t bottom = std::min(top + spec_.height.kernel, shape_.height);
    const std::int64_t right = std::min(left + spec_.width.kernel, shape_.width);
    const float* image = x_ + pixel / (out_width_ * out_height_) * shape_.count();
    window.tap_count = 0;
    for (std::int64_t row = std::max<std::int64_t>(top, 0); row < bottom; ++row) {
      for (std::int64_t column = std::max<std::int64_t>(left, 0); column < right; ++column) {
        window.taps[static_cast<std::size_t>(window.tap_count++)] =
            image + (row * shape_.width + column) * shape_.channels;
      }
    }
  }

  void reduce(const Window& window, std::int64_t column, std::int64_t columns, float* out) const noexcept {
    const std::int64_t area = spec_.height.kernel * spec_.width.kernel;
    implementation_.pool({spec_.reduction, window.taps.data(), window.tap_count, column, columns,
                          static_cast<float>(spec_.counts_padding ? area : window.tap_count), out});
  }

  void finish(const Window* windows, std::int64_t first, int rows) const noexcept {
    alignas(64) float waiting[kTileRows * kTileColumns];
    for (std::int64_t column = 0; column < shape_.channels; column += kTileColumns) {
      const std::int64_t columns = std::min(kTileColumns, shape_.channels - column);
      for (int row = 0; row < rows; ++row) {
        reduce(windows[row], column, columns, waiting + row * kTileColumns);
      }
      implementation_.finish(
          {sink_.epilogue(), waiting, kTileColumns, rows, static_cast<int>(columns), first, column});
    }
  }

  const Implementation& implementation_;
  const int most_threads_;
  const int source_;
  const ValueShape shape_;
  const PoolSpec spec_;
  Sink sink_;

  const float* x_ = nullptr;
  std::int64_t out_height_ = 0;
  std::int64_t out_width_ = 0;
  std::int64_t pixels_ = 0;
  int threads_ = 1;
  std::vector<Window> windows_;  // kTileRows per thread
};

}  // namespace

std::unique_ptr<Step> make_pool_step(const Implementation& implementation, int threads, int source,
                                     const ValueShape& shape, const PoolSpec& spec, Sink sink) {
  return std::make_unique<PoolStep>(implementation, threads, source, shape, spec, std::move(sink));
}

}  // namespace mpsearch
