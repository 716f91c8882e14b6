// The sign of activations while a model trains, and its gradients: one pass over memory each way.
#pragma once

#include <cstddef>
#include <string>

#include "number.hpp"

namespace mpsearch {

// What the backward pass takes for the slope of sign(u).
enum class Slope : int { kIdentity = 0, kClipped = 1, kApproxSign = 2 };

// Number i of channel c of piece p lies at p * stride + c * inner + i. Images whose channels come last in
// memory have a piece a pixel and inner = 1, others a piece a sample and inner = pixels.
struct Channels {
  std::size_t pieces;
  std::size_t channels;
  std::size_t inner;
  std::size_t stride;
};

// `number` runs of `length` numbers, whose starts lie `stride` apart. Each is compared with the same `length`
// thresholds, or all of it with one.
struct Runs {
  std::size_t number;
  std::size_t length;
  std::size_t stride;
  bool share_threshold;
};

// Thresholds and their sums are arrays of a multiple of 16, or one number where it is shared; both sums are
// added to.
struct SignLoops {
  void (*forward[2][2])(const void* x, void* y, const Runs& runs, const float* thresholds,
                        float scale) noexcept;
  void (*backward[2][2])(const void* grad, const void* x, void* grad_x, const Runs& runs,
                         const float* thresholds, float window, Slope slope, float* by_threshold,
                         float* by_scale) noexcept;
};

extern const SignLoops kSignScalar;  // sign_scalar.cpp
extern const SignLoops kSignAvx2;    // sign_avx2.cpp
extern const SignLoops kSignAvx512;  // sign_avx512.cpp

// Those of the best implementation of this machine, or of the one named.
const SignLoops& sign_loops(const std::string& forced_isa);

// y = scale where x >= threshold, else -scale (also where x is no number), rounded to the type of y.
void take_signs(const SignLoops& loops, const void* x, Number x_type, void* y, Number y_type,
                const Channels& layout, const float* thresholds, float scale, int threads);

// With u = (x - threshold) / window: grad_x = grad * slope(u), in float32 and then in the type of x, and
// by_threshold, one number a channel, the negative sum of it before that. Returns the sum of grad * sign(x -
// threshold). Sums are taken in an order that depends on the layout alone.
double take_signs_backward(const SignLoops& loops, const void* grad, Number grad_type, const void* x,
                           Number x_type, void* grad_x, const Channels& layout, const float* thresholds,
                           float window, Slope slope, float* by_threshold, int threads);

}  // namespace mpsearch
