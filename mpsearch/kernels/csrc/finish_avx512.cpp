// Epilogue and pooling for x86 with AVX-512. See contract.hpp, and avx512.cpp for what this file must not
// hold.
#include <immintrin.h>

#include "finish_blocks.hpp"
#include "pool_lanes.hpp"

namespace mpsearch {
namespace {

struct Avx512 {
  using Floats = __m512;
  static constexpr int kLanes = 16;

  static __mmask16 first(int count) noexcept { return static_cast<__mmask16>((1u << count) - 1); }
  static Floats broadcast(float x) noexcept { return _mm512_set1_ps(x); }
  static Floats load(const float* from) noexcept { return _mm512_loadu_ps(from); }
  static Floats load_first(const float* from, int count) noexcept {
    return _mm512_maskz_loadu_ps(first(count), from);
  }
  static void store(float* to, Floats y) noexcept { _mm512_storeu_ps(to, y); }
  static void store_first(float* to, Floats y, int count) noexcept {
    _mm512_mask_storeu_ps(to, first(count), y);
  }
  static Floats fma(Floats a, Floats b, Floats c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static Floats add(Floats a, Floats b) noexcept { return _mm512_add_ps(a, b); }
  // The second operand wins where it is NaN.
  static Floats max(Floats low, Floats y) noexcept { return _mm512_max_ps(low, y); }
  static Floats min(Floats high, Floats y) noexcept { return _mm512_min_ps(high, y); }
  static std::uint32_t reached(Floats y, Floats threshold) noexcept {
    return _mm512_cmp_ps_mask(y, threshold, _CMP_GE_OQ);
  }
  static __m128i quantized(Floats y, float inverse_scale, std::int32_t zero) noexcept {
    const __m512 scaled = _mm512_mul_ps(y, _mm512_set1_ps(inverse_scale));
    const __mmask16 number = _mm512_cmp_ps_mask(scaled, scaled, _CMP_ORD_Q);
    const __m512 low = _mm512_set1_ps(static_cast<float>(-zero));
    const __m512 high = _mm512_set1_ps(static_cast<float>(255 - zero));
    const __m512 clipped = _mm512_min_ps(_mm512_max_ps(scaled, low), high);
    const __m512i rounded = _mm512_maskz_cvtps_epi32(number, clipped);
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(rounded, _mm512_set1_epi32(zero)));
  }
  static void store_bytes(std::uint8_t* to, __m128i bytes) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  }
  static void store_bytes_first(std::uint8_t* to, __m128i bytes, int count) noexcept {
    _mm_mask_storeu_epi8(to, first(count), bytes);
  }
};

}  // namespace

void finish_avx512(const FinishArgs& args) noexcept { finish_in_vectors<Avx512>(args); }
void pool_avx512(const PoolArgs& args) noexcept { pool_lanes(args); }

}  // namespace mpsearch
