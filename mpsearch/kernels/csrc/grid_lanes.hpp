// The loops of grid_rounding.hpp, compiled for each instruction set by a file that includes this one.
#pragma once

#include <cstddef>

#include "float_lanes.hpp"
#include "grid_rounding.hpp"

namespace mpsearch {
namespace {

constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves whole numbers, half to even

MPSEARCH_INLINE Floats rounded(Floats x, const Grid& grid) {
  const Floats low = grid.low - Floats{};
  const Floats high = grid.high - Floats{};
  Floats v = x * grid.inverse;
  v = v < low ? low : v;  // before rounding, so that it is small enough to be; keeps NaN
  v = v > high ? high : v;
  return ((v + kRound) - kRound) * grid.scale;
}

template <class X, class Y>
void forward(const void* input, void* output, std::size_t count, const Grid& grid) noexcept {
  const X* x = static_cast<const X*>(input);
  Y* y = static_cast<Y*>(output);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(rounded(load(x + i), grid), y + i);
  if (i == count) return;
  X from[kLanes] = {};
  Y to[kLanes];
  copy(x + i, count - i, from);
  store(rounded(load(from), grid), to);
  copy(to, count - i, y + i);
}

template <class G, class X>
struct Backward {
  Floats least, greatest, by_scale, by_offset;
  bool learns_inside;

  MPSEARCH_INLINE void step(const G* grad, const X* x, X* grad_x, const Grid& grid) {
    const Floats g = load(grad);
    const Floats v = load(x);
    const Words is_inside = reinterpret_cast<Words>((v > least) & (v < greatest));
    const Floats inside = reinterpret_cast<Floats>(reinterpret_cast<Words>(g) & is_inside);
    const Floats y = rounded(v, grid);
    by_scale += g * y - inside * (learns_inside ? v : y);
    by_offset += g - inside;
    store(inside, grad_x);
  }
};

template <class G, class X>
void backward(const void* upstream_of_y, const void* input, void* output, std::size_t count, const Grid& grid,
              float* sums) noexcept {
  const G* grad = static_cast<const G*>(upstream_of_y);
  const X* x = static_cast<const X*>(input);
  X* grad_x = static_cast<X*>(output);
  Backward<G, X> run{(grid.low - grid.slack) * grid.scale - Floats{},
                     (grid.high + grid.slack) * grid.scale - Floats{}, Floats{}, Floats{}, grid.slack != 0};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) run.step(grad + i, x + i, grad_x + i, grid);
  if (i < count) {
    G upstream[kLanes] = {};
    X from[kLanes] = {};
    X to[kLanes];
    copy(grad + i, count - i, upstream);
    copy(x + i, count - i, from);
    run.step(upstream, from, to, grid);
    copy(to, count - i, grad_x + i);
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    sums[0] += run.by_scale[lane];
    sums[1] += run.by_offset[lane];
  }
}

// By Number of x and y, and of grad and x.
constexpr GridLoops kLoops = {
    {{forward<float, float>, forward<float, Bfloat16>},
     {forward<Bfloat16, float>, forward<Bfloat16, Bfloat16>}},
    {{backward<float, float>, backward<float, Bfloat16>},
     {backward<Bfloat16, float>, backward<Bfloat16, Bfloat16>}},
};

}  // namespace
}  // namespace mpsearch
