// Epilogue and pooling for x86 with AVX2 and FMA. See contract.hpp, and avx512.cpp for what this file must
// not hold.
#include <immintrin.h>

#include "finish_blocks.hpp"
#include "pool_lanes.hpp"

namespace mpsearch {
namespace {

struct Avx2 {
  using Floats = __m256;
  static constexpr int kLanes = 8;

  static __m256i first(int count) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Floats broadcast(float x) noexcept { return _mm256_set1_ps(x); }
  static Floats load(const float* from) noexcept { return _mm256_loadu_ps(from); }
  static Floats load_first(const float* from, int count) noexcept {
    return _mm256_maskload_ps(from, first(count));
  }
  static void store(float* to, Floats y) noexcept { _mm256_storeu_ps(to, y); }
  static void store_first(float* to, Floats y, int count) noexcept {
    _mm256_maskstore_ps(to, first(count), y);
  }
  static Floats fma(Floats a, Floats b, Floats c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  static Floats add(Floats a, Floats b) noexcept { return _mm256_add_ps(a, b); }
  // The second operand wins where it is NaN.
  static Floats max(Floats low, Floats y) noexcept { return _mm256_max_ps(low, y); }
  static Floats min(Floats high, Floats y) noexcept { return _mm256_min_ps(high, y); }
  static std::uint32_t reached(Floats y, Floats threshold) noexcept {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(y, threshold, _CMP_GE_OQ)));
  }
  static __m128i quantized(Floats y, float inverse_scale, std::int32_t zero) noexcept {
    const __m256 scaled = _mm256_mul_ps(y, _mm256_set1_ps(inverse_scale));
    const __m256 number = _mm256_and_ps(scaled, _mm256_cmp_ps(scaled, scaled, _CMP_ORD_Q));
    const __m256 low = _mm256_set1_ps(static_cast<float>(-zero));
    const __m256 high = _mm256_set1_ps(static_cast<float>(255 - zero));
    const __m256 clipped = _mm256_min_ps(_mm256_max_ps(number, low), high);
    const __m256i integers = _mm256_add_epi32(_mm256_cvtps_epi32(clipped), _mm256_set1_epi32(zero));
    // The low byte of each 32-bit lane into the first 4 bytes of its half.
    const __m256i low_bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m256i bytes = _mm256_shuffle_epi8(integers, low_bytes);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  }
  static void store_bytes(std::uint8_t* to, __m128i bytes) noexcept {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), bytes);
  }
  static void store_bytes_first(std::uint8_t* to, __m128i bytes, int count) noexcept {
    alignas(16) std::uint8_t all[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(all), bytes);
    for (int i = 0; i < count; ++i) to[i] = all[i];
  }
};

}  // namespace

void finish_avx2(const FinishArgs& args) noexcept { finish_in_vectors<Avx2>(args); }
void pool_avx2(const PoolArgs& args) noexcept { pool_lanes(args); }

}  // namespace mpsearch
