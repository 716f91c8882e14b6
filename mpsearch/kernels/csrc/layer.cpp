#include "layer.hpp"

#include <algorithm>
#include <cmath>

#include "errors.hpp"
#include "pack_weights.hpp"
#include "rounding.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr double kMostImageBytes = 1099511627776.0;
// Shares of zero blocks from which leaving them out pays (benchmarks/zero_skipping.py). A layer of one tap
// may be asked for a single row, whose weights then no longer lie in one stream.
constexpr double kLeastZero = 0.05;
constexpr double kLeastZeroOfOneTap = 0.3;
constexpr float kMostScale = 1e38f;  // twice that is still a float

// The densest layout that holds the scheme's weights. Few channels would leave most of a wide block empty:
// those take the layout with the smallest unit.
Layout choose_layout(const std::string& scheme, std::int64_t channels) {
  if (scheme == "w1a1") return Layout::kXor;
  if (scheme == "w1a8") return Layout::kBinary;
  if (scheme == "w8a8") return Layout::kInt8;
  if (scheme != "w4a8" && scheme != "w1.58a8")
    throw KernelError("No kernel computes the scheme " + scheme + ".");
  const Layout layout = scheme == "w4a8" ? Layout::kInt4 : Layout::kTernary;
  return 2 * tap_bytes(layout, channels) > 3 * tap_bytes(Layout::kInt8, channels) ? Layout::kInt8 : layout;
}

}  // namespace

Layer::Layer(const LayerSpec& spec, const Implementation& implementation, int threads)
    : implementation_(implementation),
      threads_(threads),
      out_channels_(spec.out_channels),
      in_channels_(spec.in_channels),
      groups_(spec.groups),
      height_(spec.height),
      width_(spec.width),
      taps_(spec.height.kernel * spec.width.kernel),
      is_depthwise_(spec.groups > 1 && spec.groups == spec.in_channels),
      input_scale_(spec.input_scale),
      has_ternary_inputs_(spec.has_ternary_inputs),
      inverse_scale_(spec.inverse_scale),
      zero_(spec.zero_point + 128),
      group_columns_(spec.out_channels / spec.groups),
      group_channels_(spec.in_channels / spec.groups) {
  const std::int64_t reduction = taps_ * group_channels_;
  if (reduction > kMaxReduction) {
    throw KernelError("A kernel sums at most " + std::to_string(kMaxReduction) +
                      " products per output (input channels / groups * kernel size); this layer sums " +
                      std::to_string(reduction) + ". Keep it in 32 bits.");
  }
  if (threads < 1 || threads > kMaxThreads) {
    throw KernelError("`threads` must be in 1.." + std::to_string(kMaxThreads) + "; got " +
                      std::to_string(threads) + ".");
  }
  const bool is_binary = spec.scheme == "w1a1";
  layout_ = choose_layout(spec.scheme, group_channels_);
  if (is_binary) {
    threshold_.assign(spec.threshold, spec.threshold + in_channels_);
    threshold_.resize(static_cast<std::size_t>(round_up(in_channels_, kEpilogueUnit)));
  }

  if (is_depthwise_) {  // one table over all channels; binary activations are the bytes 0 and 2
    if (is_binary) zero_ = 1;
    table_columns_ = round_up(out_channels_, kPanel);
    group_bytes_ = table_columns_;
    pixel_bytes_ = table_columns_;
    run_bytes_ = group_bytes_;
  } else {
    panels_ = divide_up(group_columns_, kPanel);
    table_columns_ = panels_ * kPanel;
    group_bytes_ = tap_bytes(layout_, group_channels_);
    pixel_bytes_ = groups_ * group_bytes_;
    // Rows a multiple of 1 KiB apart would share few cache sets.
    if (pixel_bytes_ % 1024 == 0) pixel_bytes_ += 64;
    if (width_.dilation == 1 && pixel_bytes_ == group_bytes_) joined_taps_ = width_.kernel;
    run_bytes_ = joined_taps_ * group_bytes_;
    is_folded_ =
        is_xor() && group_channels_ < 32 && tap_bytes(layout_, joined_taps_ * group_channels_) < run_bytes_;
    if (is_folded_) run_bytes_ = tap_bytes(layout_, joined_taps_ * group_channels_);
  }
  if (is_xor()) {
    tap_padding_ = AlignedBuffer<std::int32_t>(static_cast<std::size_t>(table_size() * taps_));
  }

  if (spec.negative_scale == nullptr) {
    parts_.push_back(make_part(spec.weight, spec.scale));
  } else {
    std::vector<std::int8_t> weight(spec.weight, spec.weight + out_channels_ * reduction);
    const auto keep = [&](bool is_kept(std::int8_t)) {
      std::transform(spec.weight, spec.weight + weight.size(), weight.begin(),
                     [&](std::int8_t w) { return is_kept(w) ? w : std::int8_t{0}; });
      return weight.data();
    };
    parts_.push_back(make_part(keep([](std::int8_t w) { return w > 0; }), spec.scale));
    parts_.push_back(make_part(keep([](std::int8_t w) { return w < 0; }), spec.negative_scale));
  }
  bias_ = AlignedBuffer<float>(static_cast<std::size_t>(table_size()));
  kernel_bias_ = AlignedBuffer<float>(static_cast<std::size_t>(table_size()));
  const bool is_bias_later = parts_.size() > 1 || input_scale_ != InputScale::kGiven;
  for (std::int64_t channel = 0; spec.bias != nullptr && channel < out_channels_; ++channel) {
    const auto at = static_cast<std::size_t>(table_place(channel));
    bias_[at] = spec.bias[channel];
    if (!is_bias_later) kernel_bias_[at] = spec.bias[channel];
  }
}

std::int64_t Layer::table_place(std::int64_t channel) const noexcept {
  if (is_depthwise_) return channel;
  return channel / group_columns_ * table_columns_ + channel % group_columns_;
}

Layer::Part Layer::make_part(const std::int8_t* weight, const float* scale) {
  const WeightView view{weight, groups_, group_columns_, group_channels_, taps_};
  Part part;
  if (is_depthwise_) {
    part.depthwise = AlignedBuffer<std::int32_t>(static_cast<std::size_t>(taps_ * table_columns_));
  } else if (is_folded_) {
    const std::vector<std::int8_t> lines = fold_weights(view, joined_taps_);
    part.weights = pack_weights(
        {lines.data(), groups_, group_columns_, joined_taps_ * group_channels_, taps_ / joined_taps_},
        layout_);
  } else {
    part.weights = pack_weights(view, layout_);
  }
  if (!is_depthwise_ && layout_ == Layout::kTernary) {
    const LayoutInfo info = kLayouts[static_cast<int>(layout_)];
    part.zero_blocks =
        ZeroBlocks::find(part.weights, groups_, panels_, kUnitPanels, taps_ * group_bytes_ / info.unit,
                         info.block, taps_ == 1 ? kLeastZeroOfOneTap : kLeastZero);
    if (!part.zero_blocks.units.empty()) part.weights = AlignedBuffer<std::uint8_t>();
  }
  const auto size = static_cast<std::size_t>(table_size());
  part.scale = AlignedBuffer<float>(size);
  if (!is_xor()) part.init = AlignedBuffer<std::int32_t>(size);
  for (std::int64_t channel = 0; channel < out_channels_; ++channel) {
    const auto at = static_cast<std::size_t>(table_place(channel));
    part.scale[at] = scale[channel];
    can_double_scale_ = can_double_scale_ && std::abs(scale[channel]) < kMostScale;
    for (std::int64_t tap = 0; tap < taps_; ++tap) {
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < group_channels_; ++k) {
        sum += view.at(channel / group_columns_, channel % group_columns_, k, tap);
      }
      const std::size_t tap_at = static_cast<std::size_t>(tap) * size + at;
      // In a row of zeros every activation looks like -1: the tap added -sum.
      if (is_xor()) tap_padding_[tap_at] = sum;
      if (!is_xor()) part.init[at] -= zero_ * sum;
      if (is_depthwise_) part.depthwise[tap_at] = sum;
    }
  }
  return part;
}

std::int64_t Layer::packed_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const Part& part : parts_) {
    bytes +=
        part.weights.size() + part.zero_blocks.weights.size() + sizeof(std::int32_t) * part.depthwise.size();
  }
  return static_cast<std::int64_t>(bytes);
}

void Layer::plan(std::int64_t batch, std::int64_t height, std::int64_t width) {
  if (batch == batch_ && height == rows_.in_size && width == columns_.in_size) return;
  batch_ = 0;  // if memory runs out below, the next call plans again
  const auto padded = [](std::int64_t size, const Axis& axis) {
    return static_cast<double>(size) + 2.0 * static_cast<double>(axis.padding);
  };
  const double bytes = static_cast<double>(batch) * padded(height, height_) * padded(width, width_) *
                       static_cast<double>(pixel_bytes_);
  if (bytes > kMostImageBytes) {
    throw KernelError("The padded activations of a layer take at most 2^40 bytes; a batch of " +
                      std::to_string(batch) + " inputs of " + std::to_string(height) + "x" +
                      std::to_string(width) + " would take more. Use a smaller batch.");
  }
  rows_.build(height_, height);
  columns_.build(width_, width);
  const auto tap_offset = [&](std::int64_t tap) {
    const std::int64_t down = tap / width_.kernel * height_.dilation;
    const std::int64_t right = tap % width_.kernel * width_.dilation;
    if (is_folded_) return down * columns_.out_size * run_bytes_;
    return (down * columns_.padded_size + right) * pixel_bytes_;
  };
  for (Part& part : parts_) {
    part.tap_offsets.clear();
    if (part.zero_blocks.units.empty()) {
      for (std::int64_t tap = 0; tap < taps_; tap += joined_taps_)
        part.tap_offsets.push_back(tap_offset(tap));
    } else {
      const std::int64_t unit = kLayouts[static_cast<int>(layout_)].unit;
      const std::int64_t tap_blocks = group_bytes_ / unit;
      for (const std::int64_t block : part.zero_blocks.blocks)
        part.tap_offsets.push_back(tap_offset(block / tap_blocks) + block % tap_blocks * unit);
    }
  }
  // New and zeroed, since bytes between the channels must be 0.
  activations_ = AlignedBuffer<std::uint8_t>(
      static_cast<std::size_t>(batch * rows_.padded_size * columns_.padded_size * pixel_bytes_));
  if (is_folded_) {
    folded_ = AlignedBuffer<std::uint8_t>(
        static_cast<std::size_t>(batch * rows_.padded_size * columns_.out_size * run_bytes_));
  }
  if (is_xor()) {
    build_border_init();
  } else {
    fill_padding(batch);
  }
  find_pixels(batch);
  places_.clear();
  if (input_scale_ != InputScale::kGiven) {
    row_scale_.assign(static_cast<std::size_t>(batch * rows_.out_size * columns_.out_size), 1.0f);
  }
  if (input_scale_ == InputScale::kPixel) {
    magnitudes_.assign(static_cast<std::size_t>(batch * height * width), 0.0);
  }
  batch_ = batch;
  plan_work();
}

// Every real byte becomes the number 0; those inside the padding are overwritten by each call.
void Layer::fill_padding(std::int64_t batch) {
  if (height_.padding == 0 && width_.padding == 0) return;
  const std::int64_t parts = is_depthwise_ ? 1 : groups_;
  const std::int64_t real_bytes = is_depthwise_ ? group_bytes_ : group_channels_;
  const std::int64_t pixels = batch * rows_.padded_size * columns_.padded_size;
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (std::int64_t part = 0; part < parts; ++part) {
      std::uint8_t* out = activations_.data() + pixel * pixel_bytes_ + part * group_bytes_;
      std::fill_n(out, real_bytes, static_cast<std::uint8_t>(zero_));
    }
  }
}

// Sum of all taps' real inputs at -1, then what each padded tap must add to count as nothing.
void Layer::build_border_init() {
  const std::size_t table_size = static_cast<std::size_t>(groups_ * table_columns_);
  const std::int64_t column_classes = static_cast<std::int64_t>(columns_.valid_taps.size());
  const std::size_t tables = rows_.valid_taps.size() * columns_.valid_taps.size();
  const bool has_halves = group_channels_ % 2 == 0 && can_double_scale_;
  init_ = AlignedBuffer<std::int32_t>((has_halves ? 2 : 1) * tables * table_size);
  half_offset_ = has_halves ? static_cast<std::ptrdiff_t>(tables * table_size) : 0;
  std::int32_t* init = init_.data();
  for (const auto& valid_rows : rows_.valid_taps) {
    for (std::int64_t c = 0; c < column_classes; ++c, init += table_size) {
      const auto& valid_columns = columns_.valid_taps[static_cast<std::size_t>(c)];
      std::int64_t valid = 0;
      for (std::int64_t tap = 0; tap < taps_; ++tap) {
        const std::int64_t kh = tap / width_.kernel;
        const std::int64_t kw = tap % width_.kernel;
        if (kh >= valid_rows.first && kh < valid_rows.second && kw >= valid_columns.first &&
            kw < valid_columns.second) {
          ++valid;
          continue;
        }
        // popcount of the tap's weights = (channels + sum) / 2, and the kernel takes twice that away.
        const std::int32_t* padding = tap_padding_.data() + static_cast<std::size_t>(tap) * table_size;
        for (std::size_t i = 0; i < table_size; ++i) {
          init[i] += padding[i] + static_cast<std::int32_t>(group_channels_);
        }
      }
      for (std::size_t i = 0; i < table_size; ++i) {
        init[i] += static_cast<std::int32_t>(valid * group_channels_);
        if (has_halves) init[half_offset_ + static_cast<std::ptrdiff_t>(i)] = init[i] / 2;
      }
    }
  }
}

// First taps of the first group, and for 1-bit activations with borders the initial sums, of all output
// pixels.
void Layer::find_pixels(std::int64_t batch) {
  const auto count = static_cast<std::size_t>(batch * rows_.out_size * columns_.out_size);
  const std::int64_t table_size = groups_ * table_columns_;
  const std::int64_t column_classes = static_cast<std::int64_t>(columns_.valid_taps.size());
  const bool has_borders = is_xor() && rows_.valid_taps.size() * columns_.valid_taps.size() > 1;
  const std::int64_t line_bytes =
      is_folded_ ? columns_.out_size * run_bytes_ : columns_.padded_size * pixel_bytes_;
  const std::int64_t step_bytes = is_folded_ ? run_bytes_ : width_.stride * pixel_bytes_;
  const std::uint8_t* const image_start = is_folded_ ? folded_.data() : activations_.data();
  pixels_.clear();
  pixels_.reserve(count + kTileRows);
  pixel_init_.clear();
  is_init_shared_.clear();
  if (has_borders) pixel_init_.reserve(count + kTileRows);
  for (std::int64_t image = 0; image < batch; ++image) {
    for (std::int64_t row = 0; row < rows_.out_size; ++row) {
      const std::int64_t line = image * rows_.padded_size + row * height_.stride;
      const std::uint8_t* start = image_start + line * line_bytes;
      const std::int64_t row_class = rows_.border_class[static_cast<std::size_t>(row)];
      for (std::int64_t column = 0; column < columns_.out_size; ++column) {
        pixels_.push_back(start + column * step_bytes);
        if (!has_borders) continue;
        const std::int64_t column_class = columns_.border_class[static_cast<std::size_t>(column)];
        pixel_init_.push_back(init_.data() + (row_class * column_classes + column_class) * table_size);
      }
    }
  }
  pixels_.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(count), kTileRows)),
                 pixels_.back());
  if (!has_borders) return;
  pixel_init_.resize(pixels_.size(), pixel_init_.back());
  for (auto first = pixel_init_.begin(); first != pixel_init_.end(); first += kTileRows) {
    is_init_shared_.push_back(static_cast<std::uint8_t>(
        std::all_of(first, first + kTileRows, [&](const std::int32_t* init) { return init == *first; })));
  }
}

}  // namespace mpsearch
