#include "layer.hpp"

#include <algorithm>
#include <utility>

#include "errors.hpp"
#include "pack_weights.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr double kSingleThreadNs = 100e3;         // below this, waking a thread costs more than it gives
constexpr double kQuantizeBytesPerNs = 4;         // rough
constexpr double kXorSpeedup = 5;                 // of a bit over a byte, rough
constexpr std::int64_t kBlockBytes = 256 * 1024;  // activations read again and again: half an L2 cache
constexpr std::int64_t kMostBlockRows = 1024;
constexpr std::int64_t kUnitPanels = 4;    // panels that a thread works on before it moves on
constexpr std::int64_t kChunkPixels = 64;  // quantized at a time by one of several threads

std::int64_t round_up(std::int64_t value, std::int64_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}
std::int64_t divide_up(std::int64_t value, std::int64_t unit) noexcept { return (value + unit - 1) / unit; }

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

template <class Body>
void for_each_chunk(std::int64_t chunks, int threads, Body body) {
  parallel_for(
      static_cast<std::size_t>(chunks), threads,
      [](void* context, std::size_t chunk, int slot) noexcept {
        (*static_cast<Body*>(context))(static_cast<std::int64_t>(chunk), slot);
      },
      &body);
}

// The bytes 2 for +1 and 0 for -1, so that 1 is the number 0.
void binarize_to_bytes(const float* x, const float* threshold, std::int64_t count,
                       std::uint8_t* out) noexcept {
  for (std::int64_t c = 0; c < count; ++c) out[c] = static_cast<std::uint8_t>((x[c] >= threshold[c]) << 1);
}

}  // namespace

struct Layer::Call {
  const float* x;         // or null
  const std::int8_t* a;   // or null
  float* out;             // or null
  std::int32_t* sums;     // or null
  std::int64_t out_rows;  // pixels of the whole batch
  std::int64_t row_chunks;
  std::int64_t units_per_chunk;
};

void Layer::AxisPlan::build(const Axis& axis, std::int64_t size) {
  in_size = size;
  padded_size = size + 2 * axis.padding;
  out_size = axis.out_size(size);
  border_class.assign(static_cast<std::size_t>(out_size), 0);
  valid_taps.clear();
  for (std::int64_t place = 0; place < out_size; ++place) {
    std::pair<std::int64_t, std::int64_t> valid{0, 0};
    for (std::int64_t tap = 0; tap < axis.kernel; ++tap) {
      const std::int64_t at = place * axis.stride - axis.padding + tap * axis.dilation;
      if (at < 0 || at >= size) continue;
      if (valid.second == 0) valid.first = tap;
      valid.second = tap + 1;
    }
    const auto known = std::find(valid_taps.begin(), valid_taps.end(), valid);
    border_class[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(known - valid_taps.begin());
    if (known == valid_taps.end()) valid_taps.push_back(valid);
  }
}

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
  if (is_binary) threshold_.assign(spec.threshold, spec.threshold + in_channels_);
  scratch_.resize(static_cast<std::size_t>(threads));

  const WeightView view{spec.weight, groups_, group_columns_, group_channels_, taps_};
  if (is_depthwise_) {  // one table over all channels; binary activations are the bytes 0 and 2
    if (is_binary) zero_ = 1;
    table_columns_ = round_up(out_channels_, kPanel);
    group_bytes_ = table_columns_;
    pixel_bytes_ = table_columns_;
    depthwise_weights_ = AlignedBuffer<std::int32_t>(static_cast<std::size_t>(taps_ * table_columns_));
  } else {
    panels_ = divide_up(group_columns_, kPanel);
    table_columns_ = panels_ * kPanel;
    group_bytes_ = tap_bytes(layout_, group_channels_);
    pixel_bytes_ = groups_ * group_bytes_;
    // Rows a multiple of 1 KiB apart would share few cache sets.
    if (pixel_bytes_ % 1024 == 0) pixel_bytes_ += 64;
    weights_ = pack_weights(view, layout_);
  }

  const std::int64_t tables = is_depthwise_ ? 1 : groups_;
  const std::size_t table_size = static_cast<std::size_t>(tables * table_columns_);
  scale_ = AlignedBuffer<float>(table_size);
  bias_ = AlignedBuffer<float>(table_size);
  if (is_xor()) {
    tap_padding_ = AlignedBuffer<std::int32_t>(table_size * static_cast<std::size_t>(taps_));
  } else {
    init_ = AlignedBuffer<std::int32_t>(table_size);
  }
  for (std::int64_t group = 0; group < groups_; ++group) {
    for (std::int64_t column = 0; column < group_columns_; ++column) {
      const std::int64_t channel = group * group_columns_ + column;
      const auto at = static_cast<std::size_t>(is_depthwise_ ? channel : group * table_columns_ + column);
      scale_[at] = spec.scale[channel];
      bias_[at] = spec.bias == nullptr ? 0.0f : spec.bias[channel];
      for (std::int64_t tap = 0; tap < taps_; ++tap) {
        std::int32_t sum = 0;
        for (std::int64_t k = 0; k < group_channels_; ++k) sum += view.at(group, column, k, tap);
        const std::size_t tap_at = static_cast<std::size_t>(tap) * table_size + at;
        // In a row of zeros every activation looks like -1: the tap added -sum.
        if (is_xor()) tap_padding_[tap_at] = sum;
        if (!is_xor()) init_[at] -= zero_ * sum;
        if (is_depthwise_) depthwise_weights_[tap_at] = sum;
      }
    }
  }
}

std::int64_t Layer::packed_bytes() const noexcept {
  return static_cast<std::int64_t>(weights_.size() + sizeof(std::int32_t) * depthwise_weights_.size());
}

void Layer::plan(std::int64_t batch, std::int64_t height, std::int64_t width) {
  if (batch == batch_ && height == rows_.in_size && width == columns_.in_size) return;
  batch_ = 0;  // if memory runs out below, the next call plans again
  rows_.build(height_, height);
  columns_.build(width_, width);
  tap_offsets_.resize(static_cast<std::size_t>(taps_));
  for (std::int64_t tap = 0; tap < taps_; ++tap) {
    const std::int64_t down = tap / width_.kernel * height_.dilation;
    const std::int64_t right = tap % width_.kernel * width_.dilation;
    tap_offsets_[static_cast<std::size_t>(tap)] = (down * columns_.padded_size + right) * pixel_bytes_;
  }
  // New and zeroed, since bytes between the channels must be 0.
  activations_ = AlignedBuffer<std::uint8_t>(
      static_cast<std::size_t>(batch * rows_.padded_size * columns_.padded_size * pixel_bytes_));
  const std::int64_t out_rows = batch * rows_.out_size * columns_.out_size;
  const std::int64_t row_bytes = std::max<std::int64_t>(1, taps_ * group_bytes_);
  block_rows_ = std::min({kBlockBytes / row_bytes, kMostBlockRows, divide_up(out_rows, 2 * threads_)});
  block_rows_ = round_up(std::max<std::int64_t>(block_rows_, 1), kTileRows);
  for (Scratch& scratch : scratch_) {
    scratch.pixels.resize(static_cast<std::size_t>(block_rows_));
    scratch.init.resize(static_cast<std::size_t>(block_rows_));
  }
  batch_ = batch;
  if (is_xor()) {
    build_border_init();
  } else {
    fill_padding();
  }
}

// Every real byte becomes the number 0; those inside the padding are overwritten by each call.
void Layer::fill_padding() {
  if (height_.padding == 0 && width_.padding == 0) return;
  const std::int64_t parts = is_depthwise_ ? 1 : groups_;
  const std::int64_t real_bytes = is_depthwise_ ? group_bytes_ : group_channels_;
  const std::int64_t pixels = batch_ * rows_.padded_size * columns_.padded_size;
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
  init_ = AlignedBuffer<std::int32_t>(rows_.valid_taps.size() * columns_.valid_taps.size() * table_size);
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
      }
    }
  }
}

void Layer::run(const float* x, std::int64_t batch, std::int64_t height, std::int64_t width, float* out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  plan(batch, height, width);
  Call call{x, nullptr, out, nullptr, 0, 0, 0};
  execute(call);
}

void Layer::run_integer(const std::int8_t* a, std::int64_t batch, std::int64_t height, std::int64_t width,
                        std::int32_t* sums) {
  const std::lock_guard<std::mutex> lock(mutex_);
  plan(batch, height, width);
  Call call{nullptr, a, nullptr, sums, 0, 0, 0};
  execute(call);
}

void Layer::execute(Call& call) {
  const std::int64_t lines = batch_ * rows_.in_size;
  call.out_rows = batch_ * rows_.out_size * columns_.out_size;
  const double macs =
      static_cast<double>(call.out_rows * out_channels_) * static_cast<double>(taps_ * group_channels_);
  const double speed = implementation_.macs_per_ns * (is_xor() ? kXorSpeedup : 1.0);
  const double quantize_ns =
      static_cast<double>(lines * columns_.in_size * in_channels_) / kQuantizeBytesPerNs;
  const int threads = macs / speed + quantize_ns < kSingleThreadNs ? 1 : threads_;

  const std::int64_t chunk_lines = threads == 1 ? lines : divide_up(kChunkPixels, columns_.in_size);
  for_each_chunk(divide_up(lines, chunk_lines), threads, [&](std::int64_t chunk, int) {
    load_lines(call, chunk * chunk_lines, std::min(lines, (chunk + 1) * chunk_lines));
  });

  call.row_chunks = divide_up(call.out_rows, block_rows_);
  if (is_depthwise_) {
    for_each_chunk(call.row_chunks, threads, [&](std::int64_t chunk, int slot) {
      compute_depthwise(call, scratch_[static_cast<std::size_t>(slot)], chunk);
    });
    return;
  }
  const std::int64_t units = groups_ * divide_up(panels_, kUnitPanels);
  const bool split_columns = threads > 1 && call.row_chunks < 2 * threads;
  const std::int64_t column_chunks = split_columns ? std::min<std::int64_t>(units, 2 * threads) : 1;
  call.units_per_chunk = divide_up(units, column_chunks);
  for_each_chunk(call.row_chunks * column_chunks, threads, [&](std::int64_t chunk, int slot) {
    compute_dense(call, scratch_[static_cast<std::size_t>(slot)], chunk % call.row_chunks,
                  chunk / call.row_chunks);
  });
}

// Lines of the input, of all images one after another, into the padded images.
void Layer::load_lines(const Call& call, std::int64_t first, std::int64_t last) {
  const std::int64_t width = columns_.in_size;
  if (height_.padding == 0 && width_.padding == 0) {  // one long line
    load_pixels(call, first * width, (last - first) * width,
                activations_.data() + first * width * pixel_bytes_);
    return;
  }
  for (std::int64_t line = first; line < last; ++line) {
    const std::int64_t row =
        line / rows_.in_size * rows_.padded_size + line % rows_.in_size + height_.padding;
    const std::int64_t pixel = row * columns_.padded_size + width_.padding;
    load_pixels(call, line * width, width, activations_.data() + pixel * pixel_bytes_);
  }
}

void Layer::load_pixels(const Call& call, std::int64_t first, std::int64_t count, std::uint8_t* out) const {
  if (call.a != nullptr) {
    copy_integers(call.a + first * in_channels_, count, out);
  } else {
    quantize_pixels(call.x + first * in_channels_, count, out);
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

// First taps and initial sums of output pixels first..last - 1.
void Layer::find_pixels(Scratch& scratch, std::int64_t group, std::int64_t first, std::int64_t last) const {
  const std::uint8_t* activations = activations_.data() + group * group_bytes_;
  const std::int32_t* init = init_.data() + group * table_columns_;
  const std::int64_t table_size = groups_ * table_columns_;
  const std::int64_t column_classes = static_cast<std::int64_t>(columns_.valid_taps.size());
  std::int64_t column = first % columns_.out_size;
  std::int64_t row = first / columns_.out_size % rows_.out_size;
  std::int64_t image = first / columns_.out_size / rows_.out_size;
  for (std::int64_t i = 0; i < last - first;) {
    const std::int64_t line = image * rows_.padded_size + row * height_.stride;
    const std::uint8_t* start = activations + line * columns_.padded_size * pixel_bytes_;
    const std::int64_t row_class = rows_.border_class[static_cast<std::size_t>(row)];
    for (; column < columns_.out_size && i < last - first; ++column, ++i) {
      const std::int64_t column_class = columns_.border_class[static_cast<std::size_t>(column)];
      const std::int64_t table = is_xor() ? row_class * column_classes + column_class : 0;
      scratch.pixels[static_cast<std::size_t>(i)] = start + column * width_.stride * pixel_bytes_;
      scratch.init[static_cast<std::size_t>(i)] = init + table * table_size;
    }
    column = 0;
    if (++row == rows_.out_size) {
      row = 0;
      ++image;
    }
  }
}

void Layer::compute_dense(const Call& call, Scratch& scratch, std::int64_t row_chunk,
                          std::int64_t column_chunk) {
  const std::int64_t first = row_chunk * block_rows_;
  const std::int64_t last = std::min(call.out_rows, first + block_rows_);
  const std::int64_t group_units = divide_up(panels_, kUnitPanels);
  const std::int64_t first_unit = column_chunk * call.units_per_chunk;
  const std::int64_t last_unit = std::min(groups_ * group_units, first_unit + call.units_per_chunk);
  const auto kernel = implementation_.tile[static_cast<int>(layout_)];
  const LayoutInfo info = kLayouts[static_cast<int>(layout_)];
  const std::int64_t panel_bytes = taps_ * (group_bytes_ / info.unit) * info.block;
  std::int64_t found_group = -1;
  for (std::int64_t unit = first_unit; unit < last_unit; ++unit) {
    const std::int64_t group = unit / group_units;
    const std::int64_t panel = unit % group_units * kUnitPanels;
    const std::int64_t column = panel * kPanel;
    if (group != found_group) find_pixels(scratch, group, first, last);
    found_group = group;

    Tile tile{};
    tile.tap_offsets = tap_offsets_.data();
    tile.tap_count = taps_;
    tile.tap_bytes = group_bytes_;
    tile.weights = weights_.data() + (group * panels_ + panel) * panel_bytes;
    tile.panel_bytes = static_cast<std::size_t>(panel_bytes);
    tile.scale = scale_.data() + group * table_columns_ + column;
    tile.bias = bias_.data() + group * table_columns_ + column;
    tile.out_stride = out_channels_;
    tile.columns = static_cast<int>(std::min(kUnitPanels * kPanel, group_columns_ - column));
    for (std::int64_t m = first; m < last; m += kTileRows) {
      const std::int32_t* init[kTileRows];
      tile.rows = static_cast<int>(std::min<std::int64_t>(kTileRows, last - m));
      for (int i = 0; i < tile.rows; ++i)
        init[i] = scratch.init[static_cast<std::size_t>(m - first + i)] + column;
      tile.pixels = scratch.pixels.data() + (m - first);
      tile.init = init;
      const std::int64_t at = m * out_channels_ + group * group_columns_ + column;
      tile.out = call.out == nullptr ? nullptr : call.out + at;
      tile.sums = call.sums == nullptr ? nullptr : call.sums + at;
      kernel(tile);
    }
  }
}

void Layer::compute_depthwise(const Call& call, Scratch& scratch, std::int64_t row_chunk) {
  const std::int64_t first = row_chunk * block_rows_;
  const std::int64_t last = std::min(call.out_rows, first + block_rows_);
  find_pixels(scratch, 0, first, last);
  DepthwiseTile tile{};
  tile.pixels = scratch.pixels.data();
  tile.tap_offsets = tap_offsets_.data();
  tile.tap_count = taps_;
  tile.weights = depthwise_weights_.data();
  tile.weight_stride = table_columns_;
  tile.init = init_.data();
  tile.scale = scale_.data();
  tile.bias = bias_.data();
  tile.out = call.out == nullptr ? nullptr : call.out + first * out_channels_;
  tile.sums = call.sums == nullptr ? nullptr : call.sums + first * out_channels_;
  tile.out_stride = out_channels_;
  tile.rows = static_cast<int>(last - first);
  tile.columns = out_channels_;
  implementation_.depthwise(tile);
}

}  // namespace mpsearch
