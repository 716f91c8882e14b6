// Activations to bytes and bits, for x86 with AVX-512. See avx512.cpp for what this file must not hold.
#include "avx512_lanes.hpp"

namespace mpsearch {

void quantize_avx512(const QuantizeArgs& args) noexcept {
  const __m512 inverse_scale = _mm512_set1_ps(args.inverse_scale);
  const __m512 low = _mm512_set1_ps(static_cast<float>(-args.zero));
  const __m512 high = _mm512_set1_ps(static_cast<float>(255 - args.zero));
  const __m512i zero = _mm512_set1_epi32(args.zero);
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 16) {
      const __mmask16 mask = first_lanes(args.channels - c);
      const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + c), inverse_scale);
      const __mmask16 number = _mm512_cmp_ps_mask(scaled, scaled, _CMP_ORD_Q);
      const __m512 clipped = _mm512_min_ps(_mm512_max_ps(scaled, low), high);
      const __m512i integers = _mm512_add_epi32(_mm512_maskz_cvtps_epi32(number, clipped), zero);
      const __m128i bytes = _mm512_cvtepi32_epi8(integers);
      if (args.channels - c >= 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c), bytes);
      } else {
        _mm_mask_storeu_epi8(out + c, mask, bytes);
      }
    }
  }
}

void binarize_avx512(const QuantizeArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 32, out += 4) {
      const __mmask16 first = first_lanes(args.channels - c);
      const __mmask16 second = args.channels - c > 16 ? first_lanes(args.channels - c - 16) : __mmask16(0);
      const __mmask16 low =
          _mm512_mask_cmp_ps_mask(first, _mm512_maskz_loadu_ps(first, x + c),
                                  _mm512_maskz_loadu_ps(first, args.threshold + c), _CMP_GE_OQ);
      std::uint32_t bits = low;
      if (second != 0) {
        const __mmask16 high =
            _mm512_mask_cmp_ps_mask(second, _mm512_maskz_loadu_ps(second, x + c + 16),
                                    _mm512_maskz_loadu_ps(second, args.threshold + c + 16), _CMP_GE_OQ);
        bits |= static_cast<std::uint32_t>(high) << 16;
      }
      __builtin_memcpy(out, &bits, sizeof bits);
    }
  }
}

}  // namespace mpsearch
