// Rounding activations to a uniform grid while a model trains: one pass over memory each way.
#pragma once

#include <cstddef>
#include <string>

#include "number.hpp"

namespace mpsearch {

struct Grid {
  float scale;
  float inverse;  // float(1) / the scale that x is divided by
  float low;      // whole numbers, at most 2^22 in magnitude
  float high;
  float slack;  // x is clipped unless (low - slack) * scale < x < (high + slack) * scale
};

struct GridLoops {
  void (*forward[2][2])(const void* x, void* y, std::size_t count, const Grid& grid) noexcept;
  void (*backward[2][2])(const void* grad, const void* x, void* grad_x, std::size_t count, const Grid& grid,
                         float* sums) noexcept;
};

extern const GridLoops kGridScalar;  // grid_scalar.cpp
extern const GridLoops kGridAvx2;    // grid_avx2.cpp
extern const GridLoops kGridAvx512;  // grid_avx512.cpp

// Those of the best implementation of this machine, or of the one named.
const GridLoops& grid_loops(const std::string& forced_isa);

// y = scale * clip(round_half_even(x * inverse), low, high), each step rounded to float32, then to the type
// of y.
void round_to_grid(const GridLoops& loops, const void* x, Number x_type, void* y, Number y_type,
                   std::size_t count, const Grid& grid, int threads);

struct GridGradients {
  double scale;   // sum of g * q over the clipped x, and with slack of g * (q - x / scale) over the others
  double offset;  // sum of g * scale over the clipped x
};

// grad_x = g where x is not clipped, else 0. Sums are taken in an order that depends on `count` alone.
GridGradients round_to_grid_backward(const GridLoops& loops, const void* grad, Number grad_type,
                                     const void* x, Number x_type, void* grad_x, std::size_t count,
                                     const Grid& grid, int threads);

// Pieces of `count` float32 numbers, whose starts lie `stride` numbers apart.
struct Pieces {
  std::size_t number;
  std::size_t count;
  std::size_t stride;
};

// Both, over pieces in place of one run of numbers: x, y, grad and grad_x lie alike.
void round_pieces_to_grid(const GridLoops& loops, const float* x, float* y, const Pieces& pieces,
                          const Grid& grid, int threads);
GridGradients round_pieces_to_grid_backward(const GridLoops& loops, const float* grad, const float* x,
                                            float* grad_x, const Pieces& pieces, const Grid& grid,
                                            int threads);

}  // namespace mpsearch
