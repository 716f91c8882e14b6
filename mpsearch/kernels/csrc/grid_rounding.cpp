#include "grid_rounding.hpp"

#include <algorithm>
#include <vector>

#include "implementations.hpp"
#include "tensor_chunks.hpp"

namespace mpsearch {
namespace {

std::size_t pieces_of_a_chunk(const Pieces& pieces) {
  return std::max<std::size_t>(1, kChunk / std::max<std::size_t>(1, pieces.count));
}

GridGradients in_units(double by_scale, double by_offset, const Grid& grid) {
  return {by_scale * static_cast<double>(grid.inverse), by_offset * static_cast<double>(grid.scale)};
}

}  // namespace

const GridLoops& grid_loops(const std::string& forced_isa) {
#if defined(__x86_64__)
  const std::string name = find_implementation(forced_isa).name;
  if (name == "avx512") return kGridAvx512;
  if (name == "avx2") return kGridAvx2;
#endif
  (void)forced_isa;
  return kGridScalar;
}

void round_to_grid(const GridLoops& loops, const void* x, Number x_type, void* y, Number y_type,
                   std::size_t count, const Grid& grid, int threads) {
  const auto run = loops.forward[static_cast<int>(x_type)][static_cast<int>(y_type)];
  in_chunks(count, kChunk, threads, [&](std::size_t, std::size_t begin, std::size_t n) {
    run(at(x, x_type, begin), at(y, y_type, begin), n, grid);
  });
}

GridGradients round_to_grid_backward(const GridLoops& loops, const void* grad, Number grad_type,
                                     const void* x, Number x_type, void* grad_x, std::size_t count,
                                     const Grid& grid, int threads) {
  const auto run = loops.backward[static_cast<int>(grad_type)][static_cast<int>(x_type)];
  std::vector<float> sums(2 * ((count + kChunk - 1) / kChunk));
  in_chunks(count, kChunk, threads, [&](std::size_t chunk, std::size_t begin, std::size_t n) {
    run(at(grad, grad_type, begin), at(x, x_type, begin), at(grad_x, x_type, begin), n, grid,
        &sums[2 * chunk]);
  });
  double by_scale = 0;
  double by_offset = 0;
  for (std::size_t i = 0; i < sums.size(); i += 2) {
    by_scale += static_cast<double>(sums[i]);
    by_offset += static_cast<double>(sums[i + 1]);
  }
  return in_units(by_scale, by_offset, grid);
}

void round_pieces_to_grid(const GridLoops& loops, const float* x, float* y, const Pieces& pieces,
                          const Grid& grid, int threads) {
  const auto run = loops.forward[0][0];
  const std::size_t size = pieces_of_a_chunk(pieces);
  in_chunks(pieces.number, size, threads, [&](std::size_t, std::size_t begin, std::size_t n) {
    for (std::size_t i = begin; i < begin + n; ++i) {
      run(x + i * pieces.stride, y + i * pieces.stride, pieces.count, grid);
    }
  });
}

GridGradients round_pieces_to_grid_backward(const GridLoops& loops, const float* grad, const float* x,
                                            float* grad_x, const Pieces& pieces, const Grid& grid,
                                            int threads) {
  const auto run = loops.backward[0][0];
  const std::size_t size = pieces_of_a_chunk(pieces);
  std::vector<double> sums(2 * ((pieces.number + size - 1) / size));
  in_chunks(pieces.number, size, threads, [&](std::size_t chunk, std::size_t begin, std::size_t n) {
    for (std::size_t i = begin; i < begin + n; ++i) {
      const std::size_t start = i * pieces.stride;
      float found[2] = {};
      run(grad + start, x + start, grad_x + start, pieces.count, grid, found);
      sums[2 * chunk] += static_cast<double>(found[0]);
      sums[2 * chunk + 1] += static_cast<double>(found[1]);
    }
  });
  double by_scale = 0;
  double by_offset = 0;
  for (std::size_t i = 0; i < sums.size(); i += 2) {
    by_scale += sums[i];
    by_offset += sums[i + 1];
  }
  return in_units(by_scale, by_offset, grid);
}

}  // namespace mpsearch
