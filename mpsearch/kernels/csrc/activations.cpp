// Filling a layer's padded activation image.
#include <algorithm>
#include <cmath>

#include "layer.hpp"

namespace mpsearch {
namespace {

// The bytes 2 for +1 and 0 for -1, so that 1 is the number 0.
void binarize_to_bytes(const float* x, const float* threshold, std::int64_t count,
                       std::uint8_t* out) noexcept {
  for (std::int64_t c = 0; c < count; ++c) out[c] = static_cast<std::uint8_t>((x[c] >= threshold[c]) << 1);
}

// NaN counts as 0. Whole numbers are compared, which the compiler may do several at a time.
float greatest_magnitude(const float* x, std::int64_t count) noexcept {
  constexpr std::int32_t kInfinity = 0x7f800000;
  std::int32_t greatest = 0;
  for (std::int64_t c = 0; c < count; ++c) {
    std::int32_t bits;
    __builtin_memcpy(&bits, x + c, sizeof bits);
    bits &= 0x7fffffff;
    bits = bits > kInfinity ? 0 : bits;
    greatest = std::max(greatest, bits);
  }
  float result;
  __builtin_memcpy(&result, &greatest, sizeof result);
  return result;
}

// Bytes of integers + 128.
void clip_to_ternary(std::uint8_t* bytes, std::int64_t count) noexcept {
  for (std::int64_t c = 0; c < count; ++c) {
    bytes[c] = std::min<std::uint8_t>(std::max<std::uint8_t>(bytes[c], 127), 129);
  }
}

constexpr float kLeastTokenScale = 1e-8f;  // LEAST_TOKEN_SCALE (quantized_layer.py)

}  // namespace

ImageTarget Layer::target() {
  if (places_.empty()) {
    places_.reserve(static_cast<std::size_t>(batch_ * rows_.in_size * columns_.in_size));
    for (std::int64_t line = 0; line < batch_ * rows_.in_size; ++line) {
      const std::int64_t row =
          line / rows_.in_size * rows_.padded_size + line % rows_.in_size + height_.padding;
      std::uint8_t* pixel =
          activations_.data() + (row * columns_.padded_size + width_.padding) * pixel_bytes_;
      for (std::int64_t column = 0; column < columns_.in_size; ++column, pixel += pixel_bytes_) {
        places_.push_back(pixel);
      }
    }
  }
  const ImageKind kind = is_xor()                   ? ImageKind::kBits
                         : has_binary_activations() ? ImageKind::kBinaryBytes
                                                    : ImageKind::kBytes;
  return {kind, places_.data(), inverse_scale_, zero_, threshold_.data()};
}

// Lines of the input, of all images one after another, into the padded images.
void Layer::load_lines(const Input& input, std::int64_t first, std::int64_t last) {
  const std::int64_t width = columns_.in_size;
  if (height_.padding == 0 && width_.padding == 0) {  // one long line
    load_pixels(input, first * width, (last - first) * width,
                activations_.data() + first * width * pixel_bytes_);
    return;
  }
  for (std::int64_t line = first; line < last; ++line) {
    const std::int64_t row =
        line / rows_.in_size * rows_.padded_size + line % rows_.in_size + height_.padding;
    const std::int64_t pixel = row * columns_.padded_size + width_.padding;
    load_pixels(input, line * width, width, activations_.data() + pixel * pixel_bytes_);
  }
}

void Layer::load_pixels(const Input& input, std::int64_t first, std::int64_t count, std::uint8_t* out) {
  if (input.a != nullptr) {
    copy_integers(input.a + first * in_channels_, count, out);
  } else if (input_scale_ == InputScale::kToken) {
    load_tokens(input.x + first * in_channels_, first, count, out);
  } else {
    const float* const x = input.x + first * in_channels_;
    if (input_scale_ == InputScale::kPixel) sum_magnitudes(x, first, count);
    quantize_pixels(x, count, inverse_scale_, out);
  }
  if (is_depthwise_ && out_channels_ > in_channels_) {
    for (std::int64_t pixel = 0; pixel < count; ++pixel) repeat_channels(out + pixel * pixel_bytes_);
  }
}

// Each pixel by its own scale, which its outputs are multiplied by.
void Layer::load_tokens(const float* x, std::int64_t first, std::int64_t count, std::uint8_t* out) {
  for (std::int64_t pixel = 0; pixel < count; ++pixel, x += in_channels_, out += pixel_bytes_) {
    const float scale = std::max(greatest_magnitude(x, in_channels_) * (1.0f / 127.0f), kLeastTokenScale);
    row_scale_[static_cast<std::size_t>(first + pixel)] = scale;
    quantize_pixels(x, 1, 1.0f / scale, out);
  }
}

void Layer::sum_magnitudes(const float* x, std::int64_t first, std::int64_t count) {
  for (std::int64_t pixel = 0; pixel < count; ++pixel, x += in_channels_) {
    constexpr std::int64_t kLanes = 8;  // additions that do not wait for one another
    double lanes[kLanes] = {};
    std::int64_t c = 0;
    for (; c + kLanes <= in_channels_; c += kLanes) {
      for (std::int64_t i = 0; i < kLanes; ++i) lanes[i] += static_cast<double>(std::fabs(x[c + i]));
    }
    for (; c < in_channels_; ++c) lanes[0] += static_cast<double>(std::fabs(x[c]));
    double sum = 0.0;
    for (const double lane : lanes) sum += lane;
    magnitudes_[static_cast<std::size_t>(first + pixel)] = sum;
  }
}

// Lines of the output, of all images one after another. Summed in float64: whatever the order, float32 sees
// the same number but for one in a billion.
void Layer::scale_windows(std::int64_t first, std::int64_t last) {
  const double divisor = static_cast<double>(taps_ * in_channels_);
  for (std::int64_t line = first; line < last; ++line) {
    const double* const image = magnitudes_.data() + line / rows_.out_size * rows_.in_size * columns_.in_size;
    const std::int64_t top = line % rows_.out_size * height_.stride - height_.padding;
    for (std::int64_t column = 0; column < columns_.out_size; ++column) {
      const std::int64_t left = column * width_.stride - width_.padding;
      double sum = 0.0;
      for (std::int64_t kh = 0; kh < height_.kernel; ++kh) {
        const std::int64_t y = top + kh * height_.dilation;
        if (y < 0 || y >= rows_.in_size) continue;
        for (std::int64_t kw = 0; kw < width_.kernel; ++kw) {
          const std::int64_t x = left + kw * width_.dilation;
          if (x >= 0 && x < columns_.in_size) sum += image[y * columns_.in_size + x];
        }
      }
      row_scale_[static_cast<std::size_t>(line * columns_.out_size + column)] =
          static_cast<float>(sum / divisor);
    }
  }
}

void Layer::quantize_pixels(const float* x, std::int64_t count, float inverse_scale,
                            std::uint8_t* out) const {
  if (is_depthwise_ && has_binary_activations()) {
    for (std::int64_t pixel = 0; pixel < count; ++pixel, x += in_channels_, out += pixel_bytes_) {
      binarize_to_bytes(x, threshold_.data(), in_channels_, out);
    }
    return;
  }
  QuantizeArgs args{};
  args.x = x;
  args.rows = count;
  args.channels = in_channels_;
  args.x_stride = in_channels_;
  args.out = out;
  args.out_stride = pixel_bytes_;
  args.inverse_scale = inverse_scale;
  args.zero = zero_;
  args.threshold = has_binary_activations() ? threshold_.data() : nullptr;
  if (args.threshold == nullptr && pixel_bytes_ == in_channels_) {  // no gaps: one long row
    args.channels *= args.rows;
    args.rows = 1;
    implementation_.quantize(args);
    if (has_ternary_inputs_) clip_to_ternary(out, args.channels);
    return;
  }
  const std::int64_t parts = is_depthwise_ ? 1 : groups_;
  args.channels = in_channels_ / parts;
  for (std::int64_t part = 0; part < parts; ++part) {
    if (args.threshold == nullptr) {
      implementation_.quantize(args);
      for (std::int64_t row = 0; has_ternary_inputs_ && row < count; ++row) {
        clip_to_ternary(args.out + row * pixel_bytes_, args.channels);
      }
    } else {
      implementation_.binarize(args);
      args.threshold += args.channels;
    }
    args.x += args.channels;
    args.out += group_bytes_;
  }
}

// Bits of a line of the kernel, which a word per pixel leaves apart, into one run per column of the output.
// `Kernel`: the kernel's width, or 0.
template <int Kernel>
void Layer::fold_lines(std::int64_t first, std::int64_t last) noexcept {
  const std::int64_t kernel = Kernel == 0 ? width_.kernel : Kernel;
  const int channels = static_cast<int>(group_channels_);
  const std::int64_t step = width_.stride * pixel_bytes_;
  const std::int64_t run_bytes = run_bytes_;
  const std::int64_t columns = columns_.out_size;
  std::uint8_t* out = folded_.data() + first * columns * run_bytes;
  for (std::int64_t line = first; line < last; ++line) {
    const std::uint8_t* run = activations_.data() + line * columns_.padded_size * pixel_bytes_;
    for (std::int64_t column = 0; column < columns; ++column, run += step, out += run_bytes) {
      const auto pixel = [&](std::int64_t tap) {
        std::uint32_t word;
        __builtin_memcpy(&word, run + 4 * tap, sizeof word);
        return static_cast<std::uint64_t>(word);
      };
      std::uint64_t bits = 0;
      if (run_bytes <= 8) {
        for (std::int64_t tap = kernel - 1; tap >= 0; --tap) bits = bits << channels | pixel(tap);
        __builtin_memcpy(out, &bits, 4);
        const std::uint64_t high = bits >> 32;
        if (run_bytes > 4) __builtin_memcpy(out + 4, &high, 4);
        continue;
      }
      std::uint8_t* word = out;
      int count = 0;
      for (std::int64_t tap = 0; tap < kernel; ++tap) {
        bits |= pixel(tap) << count;
        count += channels;
        if (count < 32 && tap + 1 < kernel) continue;
        __builtin_memcpy(word, &bits, 4);
        word += 4;
        bits >>= 32;
        count -= 32;
      }
      if (count > 0) __builtin_memcpy(word, &bits, 4);
    }
  }
}

void Layer::fold_lines(std::int64_t first, std::int64_t last) noexcept {
  switch (width_.kernel) {
    case 3:
      return fold_lines<3>(first, last);
    case 5:
      return fold_lines<5>(first, last);
    case 7:
      return fold_lines<7>(first, last);
    default:
      return fold_lines<0>(first, last);
  }
}

void Layer::copy_integers(const std::int8_t* a, std::int64_t count, std::uint8_t* out) const {
  const std::int64_t parts = is_depthwise_ ? 1 : groups_;
  const std::int64_t channels = in_channels_ / parts;
  const int offset = has_binary_activations() ? 1 : 128;
  for (std::int64_t pixel = 0; pixel < count; ++pixel, out += pixel_bytes_) {
    for (std::int64_t part = 0; part < parts; ++part, a += channels) {
      std::uint8_t* row = out + part * group_bytes_;
      if (is_xor()) {
        std::fill_n(row, group_bytes_, std::uint8_t{0});
        for (std::int64_t c = 0; c < channels; ++c) {
          row[c / 8] = static_cast<std::uint8_t>(row[c / 8] | (a[c] > 0) << (c % 8));
        }
      } else {
        for (std::int64_t c = 0; c < channels; ++c) row[c] = static_cast<std::uint8_t>(a[c] + offset);
      }
    }
  }
}

// Depthwise with several output channels per input channel: each byte as many times, from the last.
void Layer::repeat_channels(std::uint8_t* pixel) const noexcept {
  for (std::int64_t column = out_channels_ - 1; column > 0; --column) {
    pixel[column] = pixel[column / group_columns_];
  }
}

}  // namespace mpsearch
