#include "grid_rounding.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "implementations.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr std::size_t kChunk = 1 << 15;  // elements a thread takes at a time

template <class Body>
void in_chunks(std::size_t count, int threads, Body body) {
  const std::size_t chunks = (count + kChunk - 1) / kChunk;
  for_each_chunk(static_cast<std::int64_t>(chunks), threads, [&](std::int64_t index, int) {
    const auto chunk = static_cast<std::size_t>(index);
    body(chunk, chunk * kChunk, std::min(kChunk, count - chunk * kChunk));
  });
}

std::size_t bytes(Number number) { return number == Number::kFloat32 ? 4 : 2; }

const char* at(const void* start, Number number, std::size_t index) {
  return static_cast<const char*>(start) + index * bytes(number);
}

char* at(void* start, Number number, std::size_t index) {
  return static_cast<char*>(start) + index * bytes(number);
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
  in_chunks(count, threads, [&](std::size_t, std::size_t begin, std::size_t n) {
    run(at(x, x_type, begin), at(y, y_type, begin), n, grid);
  });
}

GridGradients round_to_grid_backward(const GridLoops& loops, const void* grad, Number grad_type,
                                     const void* x, Number x_type, void* grad_x, std::size_t count,
                                     const Grid& grid, int threads) {
  const auto run = loops.backward[static_cast<int>(grad_type)][static_cast<int>(x_type)];
  std::vector<float> sums(2 * ((count + kChunk - 1) / kChunk));
  in_chunks(count, threads, [&](std::size_t chunk, std::size_t begin, std::size_t n) {
    run(at(grad, grad_type, begin), at(x, x_type, begin), at(grad_x, x_type, begin), n, grid,
        &sums[2 * chunk]);
  });
  GridGradients found{0, 0};
  for (std::size_t i = 0; i < sums.size(); i += 2) {
    found.scale += static_cast<double>(sums[i]);
    found.offset += static_cast<double>(sums[i + 1]);
  }
  found.scale *= static_cast<double>(grid.inverse);
  found.offset *= static_cast<double>(grid.scale);
  return found;
}

}  // namespace mpsearch
