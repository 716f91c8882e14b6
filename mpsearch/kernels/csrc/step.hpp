// One step of a program, as the program sees it: what it reads and writes, where, and how to run it.
#pragma once

#include <cstdint>
#include <vector>

#include "contract.hpp"

namespace mpsearch {

class Layer;

// Of one element of the batch; a value is batch x height x width x channels floats.
struct ValueShape {
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;

  std::int64_t pixels() const noexcept { return height * width; }
  std::int64_t count() const noexcept { return height * width * channels; }
  bool operator==(const ValueShape& other) const noexcept {
    return height == other.height && width == other.width && channels == other.channels;
  }
};

// Which values a step touches, by id.
struct ValueUse {
  std::vector<int> reads;
  std::vector<int> reads_in_place;  // each element before the same element of `writes` is written
  int writes = -1;
};

// Where everything lies for one batch size.
class Buffers {
 public:
  virtual ~Buffers() = default;
  virtual std::int64_t batch() const noexcept = 0;
  virtual float* value(int id) const noexcept = 0;
  virtual Layer& image(int id) const noexcept = 0;
};

// What the caller of a run brings; null where no step of the run needs it.
struct RunArrays {
  const float* x;
  float* out;
};

class Step {
 public:
  virtual ~Step() = default;
  virtual ValueUse use() const = 0;
  // Looks up all addresses. May allocate; run() does not.
  virtual void bind(const Buffers& buffers) = 0;
  virtual void run(const RunArrays& arrays) noexcept = 0;
};

// Threads that `elements` simple operations are worth.
inline int threads_for(std::int64_t elements, int threads) noexcept {
  constexpr std::int64_t kSingleThreadElements = 512 * 1024;  // about 100 us
  return elements < kSingleThreadElements ? 1 : threads;
}

}  // namespace mpsearch
