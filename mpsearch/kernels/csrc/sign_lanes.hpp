// The loops of sign_pass.hpp, compiled for each instruction set by a file that includes this one.
#pragma once

#include <cstddef>

#include "float_lanes.hpp"
#include "sign_pass.hpp"

namespace mpsearch {
namespace {

constexpr std::uint32_t kSignBit = 0x80000000;

// All ones where x is at its threshold or above.
MPSEARCH_INLINE Words reaches(Floats x, Floats threshold) { return reinterpret_cast<Words>(x >= threshold); }

MPSEARCH_INLINE Floats with_sign(Floats y, Words is_positive) {
  return reinterpret_cast<Floats>(reinterpret_cast<Words>(y) ^ (~is_positive & kSignBit));
}

MPSEARCH_INLINE Floats magnitude(Floats y) {
  return reinterpret_cast<Floats>(reinterpret_cast<Words>(y) & ~kSignBit);
}

// One threshold for each place of a run.
struct Own {
  const float* values;
  MPSEARCH_INLINE Floats at(std::size_t place) const { return load(values + place); }
};

// One for all.
struct Shared {
  Floats value;
  MPSEARCH_INLINE Floats at(std::size_t) const { return value; }
};

template <class X, class Y, class Threshold>
MPSEARCH_INLINE void forward_runs(const X* x, Y* y, const Runs& runs, Threshold thresholds, float scale) {
  const Floats all = scale - Floats{};
  for (std::size_t run = 0; run < runs.number; ++run, x += runs.stride, y += runs.stride) {
    std::size_t i = 0;
    for (; i + kLanes <= runs.length; i += kLanes) {
      store(with_sign(all, reaches(load(x + i), thresholds.at(i))), y + i);
    }
    if (i == runs.length) continue;
    X from[kLanes] = {};
    Y to[kLanes];
    copy(x + i, runs.length - i, from);
    store(with_sign(all, reaches(load(from), thresholds.at(i))), to);
    copy(to, runs.length - i, y + i);
  }
}

template <class X, class Y>
void forward(const void* input, void* output, const Runs& runs, const float* thresholds,
             float scale) noexcept {
  const X* x = static_cast<const X*>(input);
  Y* y = static_cast<Y*>(output);
  if (runs.share_threshold) {
    forward_runs(x, y, runs, Shared{*thresholds - Floats{}}, scale);
  } else {
    forward_runs(x, y, runs, Own{thresholds}, scale);
  }
}

template <Slope slope>
MPSEARCH_INLINE Floats slope_of(Floats distance, Floats window) {
  const Floats one = 1 - Floats{};
  if (slope == Slope::kIdentity) return one;
  if (slope == Slope::kClipped) {  // |u| <= 1 without the division: a quotient rounds to 1 only from 1
    const Words inside = reinterpret_cast<Words>(magnitude(distance) <= window);
    return reinterpret_cast<Floats>(reinterpret_cast<Words>(one) & inside);
  }
  const Floats v = 2 - 2 * magnitude(distance / window);
  return v < Floats{} ? Floats{} : v;  // keeps NaN
}

// Of sixteen numbers: grad_x before it is rounded to its type; adds to the sum for the scale.
template <Slope slope>
MPSEARCH_INLINE Floats backward_step(Floats grad, Floats x, Floats threshold, Floats window,
                                     Floats& by_scale) {
  by_scale += with_sign(grad, reaches(x, threshold));
  return slope_of<slope>(x - threshold, window) * grad;
}

// Where sums of the thresholds' gradients go: beside each threshold, or into one register.
struct OwnSums {
  float* values;
  MPSEARCH_INLINE void add(std::size_t place, Floats more) {
    store(load(values + place) + more, values + place);
  }
  MPSEARCH_INLINE void finish() {}
};

struct SharedSum {
  float* value;
  Floats lanes;
  MPSEARCH_INLINE void add(std::size_t, Floats more) { lanes += more; }
  MPSEARCH_INLINE void finish() {
    for (std::size_t lane = 0; lane < kLanes; ++lane) *value += lanes[lane];
  }
};

template <Slope slope, class G, class X, class Threshold, class Sums>
MPSEARCH_INLINE void backward_runs(const G* grad, const X* x, X* grad_x, const Runs& runs,
                                   Threshold thresholds, float window, Sums by_threshold, float* by_scale) {
  const Floats reach = window - Floats{};
  Floats scale_lanes{};
  for (std::size_t run = 0; run < runs.number;
       ++run, grad += runs.stride, x += runs.stride, grad_x += runs.stride) {
    std::size_t i = 0;
    for (; i + kLanes <= runs.length; i += kLanes) {
      const Floats product =
          backward_step<slope>(load(grad + i), load(x + i), thresholds.at(i), reach, scale_lanes);
      by_threshold.add(i, product);
      store(product, grad_x + i);
    }
    if (i == runs.length) continue;
    G upstream[kLanes] = {};
    X from[kLanes] = {};
    X to[kLanes];
    copy(grad + i, runs.length - i, upstream);
    copy(x + i, runs.length - i, from);
    const Floats product =
        backward_step<slope>(load(upstream), load(from), thresholds.at(i), reach, scale_lanes);
    by_threshold.add(i, product);  // 0 beyond the end of the run
    store(product, to);
    copy(to, runs.length - i, grad_x + i);
  }
  by_threshold.finish();
  for (std::size_t lane = 0; lane < kLanes; ++lane) *by_scale += scale_lanes[lane];
}

template <Slope slope, class G, class X>
MPSEARCH_INLINE void backward_with(const G* grad, const X* x, X* grad_x, const Runs& runs,
                                   const float* thresholds, float window, float* by_threshold,
                                   float* by_scale) {
  if (runs.share_threshold) {
    backward_runs<slope>(grad, x, grad_x, runs, Shared{*thresholds - Floats{}}, window,
                         SharedSum{by_threshold, Floats{}}, by_scale);
  } else {
    backward_runs<slope>(grad, x, grad_x, runs, Own{thresholds}, window, OwnSums{by_threshold}, by_scale);
  }
}

template <class G, class X>
void backward(const void* upstream, const void* input, void* output, const Runs& runs,
              const float* thresholds, float window, Slope slope, float* by_threshold,
              float* by_scale) noexcept {
  const G* grad = static_cast<const G*>(upstream);
  const X* x = static_cast<const X*>(input);
  X* grad_x = static_cast<X*>(output);
  switch (slope) {
    case Slope::kIdentity:
      return backward_with<Slope::kIdentity>(grad, x, grad_x, runs, thresholds, window, by_threshold,
                                             by_scale);
    case Slope::kClipped:
      return backward_with<Slope::kClipped>(grad, x, grad_x, runs, thresholds, window, by_threshold,
                                            by_scale);
    case Slope::kApproxSign:
      return backward_with<Slope::kApproxSign>(grad, x, grad_x, runs, thresholds, window, by_threshold,
                                               by_scale);
  }
}

// By Number of x and y, and of grad and x.
constexpr SignLoops kLoops = {
    {{forward<float, float>, forward<float, Bfloat16>},
     {forward<Bfloat16, float>, forward<Bfloat16, Bfloat16>}},
    {{backward<float, float>, backward<float, Bfloat16>},
     {backward<Bfloat16, float>, backward<Bfloat16, Bfloat16>}},
};

}  // namespace
}  // namespace mpsearch
