// Walking over a layer's tiles of output, on one thread or several.
#include <algorithm>

#include "errors.hpp"
#include "layer.hpp"
#include "rounding.hpp"
#include "thread_pool.hpp"

namespace mpsearch {
namespace {

constexpr double kSingleThreadNs = 100e3;         // below this, waking a thread costs more than it gives
constexpr double kQuantizeBytesPerNs = 4;         // rough
constexpr double kXorSpeedup = 5;                 // of a bit over a byte, rough
constexpr std::int64_t kBlockBytes = 512 * 1024;  // activations read again and again: half an L2 cache
constexpr std::int64_t kMostBlockRows = 1024;
constexpr std::int64_t kThreadChunks = 4;  // per thread
constexpr std::int64_t kChunkPixels = 64;  // quantized at a time by one of several threads

// Columns whose sums wait in L1 for the epilogue: whole words of bits.
constexpr std::int64_t kTileColumns = kUnitPanels * kPanel;
static_assert(kTileColumns % 32 == 0);

}  // namespace

void Layer::run(const float* x, std::int64_t batch, std::int64_t height, std::int64_t width, float* out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  plan(batch, height, width);
  load_image({x, nullptr});
  compute_image({out, nullptr, nullptr});
}

void Layer::run_integer(const std::int8_t* a, std::int64_t batch, std::int64_t height, std::int64_t width,
                        std::int32_t* sums) {
  const std::lock_guard<std::mutex> lock(mutex_);
  plan(batch, height, width);
  load_image({nullptr, a});
  compute_image({nullptr, sums, nullptr});
}

void Layer::run_product(float* out, std::int64_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::int64_t expected = batch_ * rows_.out_size * columns_.out_size * out_channels_;
  if (batch_ == 0 || count != expected) {
    throw ShapeError("The output of the last call had " + std::to_string(expected) + " elements; got " +
                     std::to_string(count) + ". Run the layer on an input of that size first.");
  }
  compute_image({out, nullptr, nullptr});
}

void Layer::load(const float* x) { load_image({x, nullptr}); }

void Layer::compute(float* out, const Epilogue* epilogue) { compute_image({out, nullptr, epilogue}); }

void Layer::plan_work() {
  const std::int64_t out_rows = out_pixels();
  const std::int64_t in_pixels = batch_ * rows_.in_size * columns_.in_size;
  const double macs =
      static_cast<double>(out_rows * out_channels_) * static_cast<double>(taps_ * group_channels_);
  const double speed = implementation_.macs_per_ns * (is_xor() ? kXorSpeedup : 1.0);
  const double quantize_ns = static_cast<double>(in_pixels * in_channels_) / kQuantizeBytesPerNs;
  work_ = Work{};
  work_.threads = macs / speed + quantize_ns < kSingleThreadNs ? 1 : threads_;

  // Equal chunks, but several a thread: one that is kept waiting for its core leaves them to the others.
  // Where there are few rows, output channels are cut as well.
  const std::int64_t wanted = work_.threads == 1 ? 1 : kThreadChunks * work_.threads;
  const std::int64_t units = is_depthwise_ ? 1 : groups_ * divide_up(panels_, kUnitPanels);
  const bool has_few_rows = out_rows < kThreadChunks * wanted * kTileRows;
  work_.units_per_chunk = divide_up(units, has_few_rows ? std::min(units, wanted) : 1);
  work_.column_chunks = divide_up(units, work_.units_per_chunk);
  const std::int64_t share = out_rows / divide_up(wanted, work_.column_chunks);
  const std::int64_t row_bytes = std::max<std::int64_t>(1, taps_ / joined_taps_ * run_bytes_);
  const std::int64_t rows = std::min({kBlockBytes / row_bytes, kMostBlockRows, share});
  work_.block_rows = std::max<std::int64_t>(rows / kTileRows, 1) * kTileRows;
  work_.row_chunks = divide_up(out_rows, work_.block_rows);
}

void Layer::load_image(const Input& input) {
  const std::int64_t lines = batch_ * rows_.in_size;
  const std::int64_t chunk_lines = work_.threads == 1 ? lines : divide_up(kChunkPixels, columns_.in_size);
  for_each_chunk(divide_up(lines, chunk_lines), work_.threads, [&](std::int64_t chunk, int) {
    load_lines(input, chunk * chunk_lines, std::min(lines, (chunk + 1) * chunk_lines));
  });
}

void Layer::compute_image(const Output& output) {
  if (is_folded_) {
    const std::int64_t lines = batch_ * rows_.padded_size;
    const std::int64_t chunk_lines = work_.threads == 1 ? lines : divide_up(kChunkPixels, columns_.out_size);
    for_each_chunk(divide_up(lines, chunk_lines), work_.threads, [&](std::int64_t chunk, int) {
      fold_lines(chunk * chunk_lines, std::min(lines, (chunk + 1) * chunk_lines));
    });
  }
  for_each_chunk(work_.row_chunks * work_.column_chunks, work_.threads, [&](std::int64_t chunk, int) {
    if (is_depthwise_) {
      compute_depthwise(output, chunk);
    } else {
      compute_dense(output, chunk % work_.row_chunks, chunk / work_.row_chunks);
    }
  });
}

void Layer::compute_dense(const Output& output, std::int64_t row_chunk, std::int64_t column_chunk) const {
  const std::int64_t first = row_chunk * work_.block_rows;
  const std::int64_t last = std::min(out_pixels(), first + work_.block_rows);
  const std::int64_t group_units = divide_up(panels_, kUnitPanels);
  const std::int64_t first_unit = column_chunk * work_.units_per_chunk;
  const std::int64_t last_unit = std::min(groups_ * group_units, first_unit + work_.units_per_chunk);
  const auto kernel = implementation_.tile[static_cast<int>(layout_)];
  const LayoutInfo info = kLayouts[static_cast<int>(layout_)];
  const std::int64_t panel_bytes = taps_ / joined_taps_ * (run_bytes_ / info.unit) * info.block;
  alignas(64) float waiting[kTileRows * kTileColumns];
  for (std::int64_t unit = first_unit; unit < last_unit; ++unit) {
    const std::int64_t group = unit / group_units;
    const std::int64_t panel = unit % group_units * kUnitPanels;
    const std::int64_t column = panel * kPanel;
    const std::int64_t table_column = group * table_columns_ + column;

    Tile tile{};
    const std::uint8_t* pixels[kTileRows];
    const std::int32_t* const init[kTileRows] = {init_.data(), init_.data(), init_.data(), init_.data(),
                                                 init_.data(), init_.data(), init_.data(), init_.data()};
    tile.init = init;
    tile.init_column = table_column;
    tile.is_init_shared = true;
    tile.half_offset = half_offset_;
    if (zero_blocks_.units.empty()) {
      tile.tap_offsets = tap_offsets_.data();
      tile.tap_count = taps_ / joined_taps_;
      tile.tap_bytes = run_bytes_;
      tile.weights = weights_.data() + (group * panels_ + panel) * panel_bytes;
      tile.panel_bytes = static_cast<std::size_t>(panel_bytes);
    } else {
      const ZeroBlocks::Unit& kept = zero_blocks_.units[static_cast<std::size_t>(unit)];
      tile.tap_offsets = tap_offsets_.data() + kept.first;
      tile.tap_count = kept.count;
      tile.tap_bytes = info.unit;
      tile.weights = zero_blocks_.weights.data() + kept.weights;
      tile.panel_bytes = static_cast<std::size_t>(kept.count * info.block);
    }
    tile.scale = scale_.data() + table_column;
    tile.bias = bias_.data() + table_column;
    tile.columns = static_cast<int>(std::min(kTileColumns, group_columns_ - column));
    FinishArgs finish{
        output.epilogue, waiting, kTileColumns, 0, tile.columns, 0, group * group_columns_ + column};
    for (std::int64_t m = first; m < last; m += kTileRows) {
      tile.rows = static_cast<int>(std::min<std::int64_t>(kTileRows, last - m));
      tile.pixels = pixels_.data() + m;
      if (group > 0) {
        for (int i = 0; i < kTileRows; ++i) pixels[i] = tile.pixels[i] + group * group_bytes_;
        tile.pixels = pixels;
      }
      if (!pixel_init_.empty()) {
        tile.init = pixel_init_.data() + m;
        tile.is_init_shared = is_init_shared_[static_cast<std::size_t>(m / kTileRows)] != 0;
      }
      if (output.epilogue != nullptr) {
        tile.out = waiting;
        tile.out_stride = kTileColumns;
        kernel(tile);
        finish.rows = tile.rows;
        finish.first_pixel = m;
        implementation_.finish(finish);
        continue;
      }
      const std::int64_t at = m * out_channels_ + finish.first_column;
      tile.out = output.out == nullptr ? nullptr : output.out + at;
      tile.sums = output.sums == nullptr ? nullptr : output.sums + at;
      tile.out_stride = out_channels_;
      kernel(tile);
    }
  }
}

void Layer::compute_depthwise(const Output& output, std::int64_t row_chunk) const {
  const std::int64_t first = row_chunk * work_.block_rows;
  const std::int64_t last = std::min(out_pixels(), first + work_.block_rows);
  DepthwiseTile tile{};
  tile.tap_offsets = tap_offsets_.data();
  tile.tap_count = taps_;
  tile.weight_stride = table_columns_;
  if (output.epilogue == nullptr) {
    tile.pixels = pixels_.data() + first;
    tile.weights = depthwise_weights_.data();
    tile.init = init_.data();
    tile.scale = scale_.data();
    tile.bias = bias_.data();
    tile.out = output.out == nullptr ? nullptr : output.out + first * out_channels_;
    tile.sums = output.sums == nullptr ? nullptr : output.sums + first * out_channels_;
    tile.out_stride = out_channels_;
    tile.rows = static_cast<int>(last - first);
    tile.columns = out_channels_;
    implementation_.depthwise(tile);
    return;
  }
  alignas(64) float waiting[kTileRows * kTileColumns];
  const std::uint8_t* pixels[kTileRows];
  tile.pixels = pixels;
  tile.out = waiting;
  tile.out_stride = kTileColumns;
  for (std::int64_t m = first; m < last; m += kTileRows) {
    tile.rows = static_cast<int>(std::min<std::int64_t>(kTileRows, last - m));
    for (std::int64_t column = 0; column < out_channels_; column += kTileColumns) {
      for (int i = 0; i < tile.rows; ++i) pixels[i] = pixels_[static_cast<std::size_t>(m + i)] + column;
      tile.weights = depthwise_weights_.data() + column;
      tile.init = init_.data() + column;
      tile.scale = scale_.data() + column;
      tile.bias = bias_.data() + column;
      tile.columns = std::min(kTileColumns, out_channels_ - column);
      implementation_.depthwise(tile);
      implementation_.finish(
          {output.epilogue, waiting, kTileColumns, tile.rows, static_cast<int>(tile.columns), m, column});
    }
  }
}

}  // namespace mpsearch
