// Filling a layer's padded activation image.
#include <algorithm>

#include "layer.hpp"

namespace mpsearch {
namespace {

// The bytes 2 for +1 and 0 for -1, so that 1 is the number 0.
void binarize_to_bytes(const float* x, const float* threshold, std::int64_t count,
                       std::uint8_t* out) noexcept {
  for (std::int64_t c = 0; c < count; ++c) out[c] = static_cast<std::uint8_t>((x[c] >= threshold[c]) << 1);
}

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

void Layer::load_pixels(const Input& input, std::int64_t first, std::int64_t count, std::uint8_t* out) const {
  if (input.a != nullptr) {
    copy_integers(input.a + first * in_channels_, count, out);
  } else {
    quantize_pixels(input.x + first * in_channels_, count, out);
  }
  if (is_depthwise_ && out_channels_ > in_channels_) {
    for (std::int64_t pixel = 0; pixel < count; ++pixel) repeat_channels(out + pixel * pixel_bytes_);
  }
}

void Layer::quantize_pixels(const float* x, std::int64_t count, std::uint8_t* out) const {
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
  args.inverse_scale = inverse_scale_;
  args.zero = zero_;
  args.threshold = has_binary_activations() ? threshold_.data() : nullptr;
  if (args.threshold == nullptr && pixel_bytes_ == in_channels_) {  // no gaps: one long row
    args.channels *= args.rows;
    args.rows = 1;
    implementation_.quantize(args);
    return;
  }
  const std::int64_t parts = is_depthwise_ ? 1 : groups_;
  args.channels = in_channels_ / parts;
  for (std::int64_t part = 0; part < parts; ++part) {
    if (args.threshold == nullptr) {
      implementation_.quantize(args);
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
