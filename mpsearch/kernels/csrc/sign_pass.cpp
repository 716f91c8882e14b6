#include "sign_pass.hpp"

#include <algorithm>
#include <vector>

#include "implementations.hpp"
#include "tensor_chunks.hpp"

namespace mpsearch {
namespace {

constexpr std::size_t kVector = 16;  // numbers that the loops take at once
constexpr std::size_t kShortRun = 64;

std::size_t padded(std::size_t length) { return (length + kVector - 1) / kVector * kVector; }

// Channels side by side in memory. Few of them are taken as one longer run where nothing lies between two
// pieces, so that runs fill vectors and sums do not wait for each other.
struct SideBySide {
  std::size_t length;  // of a run
  std::size_t number;  // of whole runs
  std::size_t rest;    // numbers after them
  std::size_t stride;
  std::size_t runs_of_a_chunk;

  explicit SideBySide(const Channels& layout)
      : length(layout.channels), number(layout.pieces), rest(0), stride(layout.stride) {
    if (layout.stride == layout.channels && layout.channels < kShortRun) {
      while (length % kVector != 0) length += layout.channels;
      while (length < kShortRun) length += length;
      number = layout.pieces * layout.channels / length;
      rest = layout.pieces * layout.channels % length;
      stride = length;
    }
    runs_of_a_chunk = std::max<std::size_t>(1, kChunk / length);
  }

  std::size_t chunks() const { return (number + (rest != 0) + runs_of_a_chunk - 1) / runs_of_a_chunk; }

  // Calls body(chunk, first number, runs), twice for a chunk that ends with the rest.
  template <class Body>
  void each(int threads, Body body) const {
    in_chunks(number + (rest != 0), runs_of_a_chunk, threads,
              [&](std::size_t chunk, std::size_t begin, std::size_t n) {
                const std::size_t whole = std::min(n, number - begin);
                if (whole != 0) body(chunk, begin * stride, Runs{whole, length, stride, false});
                if (whole < n) body(chunk, number * stride, Runs{1, rest, rest, false});
              });
  }

  std::vector<float> repeated(const float* thresholds, std::size_t channels) const {
    std::vector<float> values(padded(length));
    for (std::size_t i = 0; i < length; ++i) values[i] = thresholds[i % channels];
    return values;
  }
};

// Channels whose numbers lie together: a run each. Calls body(run, channel, first number, runs).
template <class Body>
void each_channel(const Channels& layout, int threads, Body body) {
  const std::size_t runs_of_a_chunk = std::max<std::size_t>(1, kChunk / layout.inner);
  in_chunks(layout.pieces * layout.channels, runs_of_a_chunk, threads,
            [&](std::size_t, std::size_t begin, std::size_t n) {
              for (std::size_t run = begin; run < begin + n; ++run) {
                const std::size_t piece = run / layout.channels;
                const std::size_t channel = run % layout.channels;
                body(run, channel, piece * layout.stride + channel * layout.inner,
                     Runs{1, layout.inner, layout.inner, true});
              }
            });
}

}  // namespace

const SignLoops& sign_loops(const std::string& forced_isa) {
#if defined(__x86_64__)
  const std::string name = find_implementation(forced_isa).name;
  if (name == "avx512") return kSignAvx512;
  if (name == "avx2") return kSignAvx2;
#endif
  (void)forced_isa;
  return kSignScalar;
}

void take_signs(const SignLoops& loops, const void* x, Number x_type, void* y, Number y_type,
                const Channels& layout, const float* thresholds, float scale, int threads) {
  const auto take = loops.forward[static_cast<int>(x_type)][static_cast<int>(y_type)];
  if (layout.inner == 1) {
    const SideBySide side_by_side(layout);
    const std::vector<float> values = side_by_side.repeated(thresholds, layout.channels);
    side_by_side.each(threads, [&](std::size_t, std::size_t first, const Runs& runs) {
      take(at(x, x_type, first), at(y, y_type, first), runs, values.data(), scale);
    });
    return;
  }
  each_channel(layout, threads, [&](std::size_t, std::size_t channel, std::size_t first, const Runs& runs) {
    take(at(x, x_type, first), at(y, y_type, first), runs, thresholds + channel, scale);
  });
}

double take_signs_backward(const SignLoops& loops, const void* grad, Number grad_type, const void* x,
                           Number x_type, void* grad_x, const Channels& layout, const float* thresholds,
                           float window, Slope slope, float* by_threshold, int threads) {
  const auto take = loops.backward[static_cast<int>(grad_type)][static_cast<int>(x_type)];
  std::vector<double> sums(layout.channels);
  std::vector<float> by_scale;
  if (layout.inner == 1) {
    const SideBySide side_by_side(layout);
    const std::vector<float> values = side_by_side.repeated(thresholds, layout.channels);
    std::vector<float> found(side_by_side.chunks() * values.size());
    by_scale.resize(side_by_side.chunks());
    side_by_side.each(threads, [&](std::size_t chunk, std::size_t first, const Runs& runs) {
      take(at(grad, grad_type, first), at(x, x_type, first), at(grad_x, x_type, first), runs, values.data(),
           window, slope, &found[chunk * values.size()], &by_scale[chunk]);
    });
    for (std::size_t i = 0; i < found.size(); ++i) {
      const std::size_t place = i % values.size();
      if (place < side_by_side.length) sums[place % layout.channels] += static_cast<double>(found[i]);
    }
  } else {
    std::vector<float> found(layout.pieces * layout.channels);
    by_scale.resize(found.size());
    each_channel(layout, threads,
                 [&](std::size_t run, std::size_t channel, std::size_t first, const Runs& runs) {
                   take(at(grad, grad_type, first), at(x, x_type, first), at(grad_x, x_type, first), runs,
                        thresholds + channel, window, slope, &found[run], &by_scale[run]);
                 });
    for (std::size_t run = 0; run < found.size(); ++run) {
      sums[run % layout.channels] += static_cast<double>(found[run]);
    }
  }
  for (std::size_t channel = 0; channel < layout.channels; ++channel) {
    by_threshold[channel] = static_cast<float>(-sums[channel]);
  }
  double total = 0;
  for (const float sum : by_scale) total += static_cast<double>(sum);
  return total;
}

}  // namespace mpsearch
