// Vectors of sixteen numbers, for loops that are compiled for each instruction set by a file that includes
// them. Everything is in an anonymous namespace and nothing comes from the standard library, so that no code
// of one instruction set is taken for that of another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#define MPSEARCH_INLINE inline __attribute__((always_inline))

namespace mpsearch {
namespace {

constexpr std::size_t kLanes = 16;

// The compiler's own vectors: it does not find them by itself where sums are carried from step to step.
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Words = std::uint32_t __attribute__((vector_size(4 * kLanes)));
using Shorts = std::uint16_t __attribute__((vector_size(2 * kLanes)));

struct Bfloat16 {
  std::uint16_t bits;
};

template <class T>
MPSEARCH_INLINE void copy(const T* from, std::size_t count, T* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i];
}

MPSEARCH_INLINE Floats load(const float* x) {
  Floats y;
  std::memcpy(&y, x, sizeof y);
  return y;
}

MPSEARCH_INLINE Floats load(const Bfloat16* x) {
  Shorts bits;
  std::memcpy(&bits, x, sizeof bits);
  return reinterpret_cast<Floats>(__builtin_convertvector(bits, Words) << 16);
}

MPSEARCH_INLINE void store(Floats y, float* out) { std::memcpy(out, &y, sizeof y); }

MPSEARCH_INLINE void store(Floats y, Bfloat16* out) {
  const Words bits = reinterpret_cast<Words>(y);
  const Words even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words number = reinterpret_cast<Words>(y == y);  // else NaN could become infinity
  const Shorts shorts = __builtin_convertvector((even & number) | (0x7fc0 & ~number), Shorts);
  std::memcpy(out, &shorts, sizeof shorts);
}

}  // namespace
}  // namespace mpsearch
