#include <algorithm>
#include <utility>

#include "layer.hpp"
#include "rounding.hpp"
#include "steps.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr std::int64_t kTileElements = 1024;  // a pass over them stays in L1

class ElementwiseStep final : public Step {
 public:
  ElementwiseStep(const Implementation& implementation, int threads, int source, std::int64_t pixels,
                  Sink sink, int loaded, std::vector<int> loads)
      : implementation_(implementation),
        most_threads_(threads),
        source_(source),
        image_pixels_(pixels),
        sink_(std::move(sink)),
        loaded_(loaded),
        loads_(std::move(loads)) {}

  ValueUse use() const override {
    ValueUse use;
    sink_.add_to(use);
    use.reads_in_place.push_back(source_);
    return use;
  }

  void bind(const Buffers& buffers) override {
    sink_.bind(buffers);
    z_ = buffers.value(source_);
    pixels_ = buffers.batch() * image_pixels_;
    threads_ = threads_for(pixels_ * sink_.channels(), most_threads_);
    from_ = loads_.empty() ? nullptr : buffers.value(loaded_);
    layers_.clear();
    for (const int image : loads_) layers_.push_back(&buffers.image(image));
  }

  void run(const RunArrays&) noexcept override {
    if (sink_.epilogue() != nullptr || sink_.out() != nullptr) finish();
    for (Layer* layer : layers_) layer->load(from_);
  }

 private:
  void finish() noexcept {
    const std::int64_t channels = sink_.channels();
    const std::int64_t rows = std::max<std::int64_t>(kTileRows, kTileElements / channels);
    for_each_chunk(divide_up(pixels_, rows), threads_, [&](std::int64_t chunk, int) {
      const std::int64_t first = chunk * rows;
      const std::int64_t last = std::min(pixels_, first + rows);
      if (sink_.epilogue() == nullptr) {
        std::copy(z_ + first * channels, z_ + last * channels, sink_.out() + first * channels);
        return;
      }
      implementation_.finish({sink_.epilogue(), z_ + first * channels, channels,
                              static_cast<int>(last - first), static_cast<int>(channels), first, 0});
    });
  }

  const Implementation& implementation_;
  const int most_threads_;
  const int source_;
  const std::int64_t image_pixels_;
  Sink sink_;
  const int loaded_;
  const std::vector<int> loads_;

  const float* z_ = nullptr;
  std::int64_t pixels_ = 0;
  int threads_ = 1;
  const float* from_ = nullptr;
  std::vector<Layer*> layers_;
};

}  // namespace

std::unique_ptr<Step> make_elementwise_step(const Implementation& implementation, int threads, int source,
                                            std::int64_t pixels, Sink sink, int loaded,
                                            std::vector<int> loads) {
  return std::make_unique<ElementwiseStep>(implementation, threads, source, pixels, std::move(sink), loaded,
                                           std::move(loads));
}

}  // namespace mpsearch
