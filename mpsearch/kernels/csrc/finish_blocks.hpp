// The epilogue of tiles in vectors, for the instruction set of the file that includes it. See contract.hpp.
//
// V says what a vector is: Floats, kLanes (which divides kEpilogueUnit), and the operations used below; those
// that end in _first touch the first `count` lanes of memory only, count in 0..kLanes.
#pragma once

#include "contract.hpp"

namespace mpsearch {
namespace {

enum class Targets { kNone, kOneOfBits, kOneOfBytes, kAny };

// kWidth columns, or fewer unless Full, of all rows: constants by channel stay in registers.
template <class V, int kWidth, bool Full>
class FinishBlock {
 public:
  static constexpr int kVectors = kWidth / V::kLanes;
  using Floats = typename V::Floats;

  FinishBlock(const FinishArgs& args, int column) noexcept
      : args_(args),
        epilogue_(*args.epilogue),
        column_(column),
        channel_(args.first_column + column),
        low_(V::broadcast(epilogue_.low)),
        high_(V::broadcast(epilogue_.high)) {
    for (int v = 0; v < kVectors; ++v) {
      // fma(z, 1, -0) is z, its sign and NaN included.
      const bool is_affine = epilogue_.multiplier != nullptr;
      multiplier_[v] =
          is_affine ? V::load(epilogue_.multiplier + channel_ + v * V::kLanes) : V::broadcast(1.0f);
      offset_[v] = is_affine ? V::load(epilogue_.offset + channel_ + v * V::kLanes) : V::broadcast(-0.0f);
    }
  }

  template <bool HasResidual, bool HasOut, Targets kTargets>
  void run() const noexcept {
    Floats threshold[kVectors];
    const ImageTarget* image = epilogue_.images;
    if constexpr (kTargets == Targets::kOneOfBits) load_threshold(*image, threshold);
    for (int row = 0; row < args_.rows; ++row) {
      const std::int64_t pixel = args_.first_pixel + row;
      const float* z = args_.z + row * args_.z_stride + column_;
      const std::int64_t at = pixel * epilogue_.channels + channel_;
      Floats y[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        y[v] = V::fma(load(z, v), multiplier_[v], offset_[v]);
        if constexpr (HasResidual) y[v] = V::add(y[v], load(epilogue_.residual + at, v));
        y[v] = V::min(high_, V::max(low_, y[v]));
        if constexpr (HasOut) store(epilogue_.out + at, y[v], v);
      }
      if constexpr (kTargets == Targets::kOneOfBits) {
        store_bits(*image, threshold, y, pixel);
      } else if constexpr (kTargets == Targets::kOneOfBytes) {
        store_bytes(*image, y, pixel);
      } else if constexpr (kTargets == Targets::kAny) {
        for (int i = 0; i < epilogue_.image_count; ++i) store_any(epilogue_.images[i], y, pixel);
      }
    }
  }

 private:
  // Of vector `v`: lanes that there are channels for.
  int lanes(int v) const noexcept {
    const int left = args_.columns - column_ - v * V::kLanes;
    return left < 0 ? 0 : left < V::kLanes ? left : V::kLanes;
  }
  Floats load(const float* from, int v) const noexcept {
    if constexpr (Full) return V::load(from + v * V::kLanes);
    return V::load_first(from + v * V::kLanes, lanes(v));
  }
  void store(float* to, Floats y, int v) const noexcept {
    if constexpr (Full) {
      V::store(to + v * V::kLanes, y);
    } else {
      V::store_first(to + v * V::kLanes, y, lanes(v));
    }
  }

  void load_threshold(const ImageTarget& image, Floats (&threshold)[kVectors]) const noexcept {
    for (int v = 0; v < kVectors; ++v) threshold[v] = V::load(image.threshold + channel_ + v * V::kLanes);
  }

  std::uint32_t bits_of(const Floats (&threshold)[kVectors], const Floats (&y)[kVectors]) const noexcept {
    std::uint32_t bits = 0;
    for (int v = 0; v < kVectors; ++v) bits |= V::reached(y[v], threshold[v]) << (v * V::kLanes);
    if constexpr (!Full) bits &= (1u << (args_.columns - column_)) - 1;
    return bits;
  }

  void store_bits(const ImageTarget& image, const Floats (&threshold)[kVectors], const Floats (&y)[kVectors],
                  std::int64_t pixel) const noexcept {
    const std::uint32_t bits = bits_of(threshold, y);
    __builtin_memcpy(image.places[pixel] + channel_ / 8, &bits, sizeof bits);
  }

  void store_bytes(const ImageTarget& image, const Floats (&y)[kVectors], std::int64_t pixel) const noexcept {
    std::uint8_t* place = image.places[pixel] + channel_;
    for (int v = 0; v < kVectors; ++v) {
      const auto bytes = V::quantized(y[v], image.inverse_scale, image.zero);
      if constexpr (Full) {
        V::store_bytes(place + v * V::kLanes, bytes);
      } else {
        V::store_bytes_first(place + v * V::kLanes, bytes, lanes(v));
      }
    }
  }

  void store_any(const ImageTarget& image, const Floats (&y)[kVectors], std::int64_t pixel) const noexcept {
    if (image.kind == ImageKind::kBytes) {
      store_bytes(image, y, pixel);
      return;
    }
    Floats threshold[kVectors];
    load_threshold(image, threshold);
    if (image.kind == ImageKind::kBits) {
      store_bits(image, threshold, y, pixel);
      return;
    }
    const std::uint32_t bits = bits_of(threshold, y);
    std::uint8_t* place = image.places[pixel] + channel_;
    const int count = Full ? kWidth : args_.columns - column_;
    for (int c = 0; c < count; ++c) place[c] = static_cast<std::uint8_t>((bits >> c & 1u) << 1);
  }

  const FinishArgs& args_;
  const Epilogue& epilogue_;
  const int column_;
  const std::int64_t channel_;
  const Floats low_, high_;
  Floats multiplier_[kVectors];
  Floats offset_[kVectors];
};

template <class V, bool HasResidual, bool HasOut, Targets kTargets>
void finish_columns(const FinishArgs& args) noexcept {
  constexpr int kHalf = kEpilogueUnit / 2;
  int column = 0;
  for (; column + kEpilogueUnit <= args.columns; column += kEpilogueUnit) {
    FinishBlock<V, kEpilogueUnit, true>(args, column).template run<HasResidual, HasOut, kTargets>();
  }
  const int left = args.columns - column;
  if (left == kHalf) {
    FinishBlock<V, kHalf, true>(args, column).template run<HasResidual, HasOut, kTargets>();
  } else if (left > kHalf) {
    FinishBlock<V, kEpilogueUnit, false>(args, column).template run<HasResidual, HasOut, kTargets>();
  } else if (left > 0) {
    FinishBlock<V, kHalf, false>(args, column).template run<HasResidual, HasOut, kTargets>();
  }
}

template <class V, bool HasResidual, bool HasOut>
void finish_targets(const FinishArgs& args) noexcept {
  const Epilogue& epilogue = *args.epilogue;
  if (epilogue.image_count == 0) {
    finish_columns<V, HasResidual, HasOut, Targets::kNone>(args);
  } else if (epilogue.image_count == 1 && epilogue.images->kind == ImageKind::kBits) {
    finish_columns<V, HasResidual, HasOut, Targets::kOneOfBits>(args);
  } else if (epilogue.image_count == 1 && epilogue.images->kind == ImageKind::kBytes) {
    finish_columns<V, HasResidual, HasOut, Targets::kOneOfBytes>(args);
  } else {
    finish_columns<V, HasResidual, HasOut, Targets::kAny>(args);
  }
}

template <class V>
void finish_in_vectors(const FinishArgs& args) noexcept {
  const bool has_out = args.epilogue->out != nullptr;
  if (args.epilogue->residual != nullptr) {
    has_out ? finish_targets<V, true, true>(args) : finish_targets<V, true, false>(args);
  } else {
    has_out ? finish_targets<V, false, true>(args) : finish_targets<V, false, false>(args);
  }
}

}  // namespace
}  // namespace mpsearch
