#include <utility>

#include "layer.hpp"
#include "steps.hpp"

namespace mpsearch {
namespace {

class LayerStep final : public Step {
 public:
  LayerStep(int image, Sink sink) : image_(image), sink_(std::move(sink)) {}

  ValueUse use() const override {
    ValueUse use;
    sink_.add_to(use);
    return use;
  }

  void bind(const Buffers& buffers) override {
    layer_ = &buffers.image(image_);
    sink_.bind(buffers);
  }

  void run(const RunArrays&) noexcept override { layer_->compute(sink_.out(), sink_.epilogue()); }

 private:
  const int image_;
  Sink sink_;
  Layer* layer_ = nullptr;
};

}  // namespace

std::unique_ptr<Step> make_layer_step(int image, Sink sink) {
  return std::make_unique<LayerStep>(image, std::move(sink));
}

}  // namespace mpsearch
