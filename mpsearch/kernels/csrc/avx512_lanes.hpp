// What the avx512*.cpp files share. Included by files that are compiled for AVX-512 only; see avx512.cpp.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "contract.hpp"

namespace mpsearch {

// One pixel against weights that cost as much to decode as to multiply.
void ternary_row_avx512(const Tile& tile) noexcept;
void binary_row_avx512(const Tile& tile) noexcept;
void depthwise_avx512(const DepthwiseTile& tile) noexcept;
void quantize_avx512(const QuantizeArgs& args) noexcept;
void binarize_avx512(const QuantizeArgs& args) noexcept;

namespace {

inline std::uint32_t load_u32(const std::uint8_t* bytes) noexcept {
  std::uint32_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

inline std::uint64_t load_u64(const std::uint8_t* bytes) noexcept {
  std::uint64_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

inline __mmask16 first_lanes(std::int64_t count) noexcept {
  return count >= 16 ? __mmask16(0xffff) : static_cast<__mmask16>((1u << count) - 1);
}

inline __m512 scaled(__m512i sum, __m512 scale, __m512 bias) noexcept {
  return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias);
}

inline void store(std::int32_t* sums, float* out, std::ptrdiff_t at, __mmask16 mask, __m512i sum,
                  __m512 scale, __m512 bias) noexcept {
  if (sums != nullptr) {
    _mm512_mask_storeu_epi32(sums + at, mask, sum);
  } else {
    _mm512_mask_storeu_ps(out + at, mask, scaled(sum, scale, bias));
  }
}

// As assembly, because gcc 12 otherwise moves the steps of a loop apart and spills accumulators.
inline __m512i dot(__m512i sum, __m512i activations, __m512i weights) noexcept {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(activations), "v"(weights));
  return sum;
}

// Few rows read each weight once: ask for it 1 KiB ahead, near the end of these panels for the panels after
// them.
template <int Panels>
void prefetch(const std::uint8_t* weights, const std::uint8_t* end, std::size_t panel_bytes) noexcept {
  constexpr std::ptrdiff_t kAhead = 1024;
  const std::uint8_t* ahead = weights + kAhead;
  if (end - weights <= kAhead) ahead += (Panels - 1) * panel_bytes;
  for (int j = 0; j < Panels; ++j) {
    _mm_prefetch(reinterpret_cast<const char*>(ahead + static_cast<std::size_t>(j) * panel_bytes),
                 _MM_HINT_T0);
  }
}

}  // namespace
}  // namespace mpsearch
