// Where a step's results go: through an epilogue into a value, into images, or both.
#pragma once

#include <vector>

#include "aligned_buffer.hpp"
#include "step.hpp"

namespace mpsearch {

// An epilogue as the caller gives it; pointers are read by Sink's constructor only.
struct EpilogueSpec {
  const float* multiplier;  // channels, or both null
  const float* offset;
  int residual;  // a value, or -1
  float low;
  float high;
};

class Sink {
 public:
  // `value` may be -1. Ids and shapes have been checked.
  Sink(const EpilogueSpec& spec, std::int64_t channels, int value, std::vector<int> images);

  void bind(const Buffers& buffers);
  // Null if the results go to out() as they are.
  const Epilogue* epilogue() const noexcept { return is_plain_ ? nullptr : &epilogue_; }
  float* out() const noexcept { return epilogue_.out; }
  std::int64_t channels() const noexcept { return epilogue_.channels; }
  void add_to(ValueUse& use) const;

 private:
  AlignedBuffer<float> multiplier_;
  AlignedBuffer<float> offset_;
  const int residual_;
  const int value_;
  const std::vector<int> images_;
  bool is_plain_;
  std::vector<ImageTarget> targets_;
  Epilogue epilogue_{};
};

}  // namespace mpsearch
