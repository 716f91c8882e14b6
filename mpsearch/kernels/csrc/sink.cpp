#include "sink.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "layer.hpp"

namespace mpsearch {

Sink::Sink(const EpilogueSpec& spec, std::int64_t channels, int value, std::vector<int> images)
    : residual_(spec.residual), value_(value), images_(std::move(images)) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  is_plain_ = spec.multiplier == nullptr && residual_ < 0 && spec.low == -kInfinity &&
              spec.high == kInfinity && images_.empty();
  if (spec.multiplier != nullptr) {
    const auto size = static_cast<std::size_t>(channels + kEpilogueUnit);
    multiplier_ = AlignedBuffer<float>(size);
    offset_ = AlignedBuffer<float>(size);
    std::copy_n(spec.multiplier, channels, multiplier_.data());
    std::copy_n(spec.offset, channels, offset_.data());
    epilogue_.multiplier = multiplier_.data();
    epilogue_.offset = offset_.data();
  }
  epilogue_.low = spec.low;
  epilogue_.high = spec.high;
  epilogue_.channels = channels;
}

void Sink::bind(const Buffers& buffers) {
  targets_.clear();
  for (const int image : images_) targets_.push_back(buffers.image(image).target());
  epilogue_.residual = residual_ < 0 ? nullptr : buffers.value(residual_);
  epilogue_.out = value_ < 0 ? nullptr : buffers.value(value_);
  epilogue_.images = targets_.data();
  epilogue_.image_count = static_cast<int>(targets_.size());
}

void Sink::add_to(ValueUse& use) const {
  if (residual_ >= 0) use.reads_in_place.push_back(residual_);
  use.writes = value_;
}

}  // namespace mpsearch
