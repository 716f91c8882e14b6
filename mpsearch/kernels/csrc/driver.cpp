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

// From a tile to its place among the outputs.
void store(const float* tile, int rows, std::int64_t columns, float* out, std::int64_t stride) noexcept {
  for (int i = 0; i < rows; ++i) std::copy_n(tile + i * kTileColumns, columns, out + i * stride);
}

void add_sums(const std::int32_t* tile, int rows, std::int64_t columns, std::int32_t* sums,
              std::int64_t stride) noexcept {
  for (int i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) sums[i * stride + j] += tile[i * kTileColumns + j];
  }
}

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
  const double macs = static_cast<double>(out_rows * out_channels_) *
                      static_cast<double>(taps_ * group_channels_) * static_cast<double>(parts_.size());
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
  if (input_scale_ != InputScale::kPixel || input.x == nullptr) return;
  const std::int64_t out_lines = batch_ * rows_.out_size;
  const std::int64_t chunk_size = work_.threads == 1 ? out_lines : divide_up(kChunkPixels, columns_.out_size);
  for_each_chunk(divide_up(out_lines, chunk_size), work_.threads, [&](std::int64_t chunk, int) {
    scale_windows(chunk * chunk_size, std::min(out_lines, (chunk + 1) * chunk_size));
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

// What all tiles of a unit share.
Tile Layer::tile_of(const Part& part, std::int64_t unit) const noexcept {
  const std::int64_t group_units = divide_up(panels_, kUnitPanels);
  const std::int64_t group = unit / group_units;
  const std::int64_t panel = unit % group_units * kUnitPanels;
  const std::int64_t table_column = group * table_columns_ + panel * kPanel;
  const LayoutInfo info = kLayouts[static_cast<int>(layout_)];
  const std::int64_t panel_bytes = taps_ / joined_taps_ * (run_bytes_ / info.unit) * info.block;
  Tile tile{};
  tile.init_column = table_column;
  tile.is_init_shared = true;
  tile.half_offset = half_offset_;
  if (part.zero_blocks.units.empty()) {
    tile.tap_offsets = part.tap_offsets.data();
    tile.tap_count = taps_ / joined_taps_;
    tile.tap_bytes = run_bytes_;
    tile.weights = part.weights.data() + (group * panels_ + panel) * panel_bytes;
    tile.panel_bytes = static_cast<std::size_t>(panel_bytes);
  } else {
    const ZeroBlocks::Unit& kept = part.zero_blocks.units[static_cast<std::size_t>(unit)];
    tile.tap_offsets = part.tap_offsets.data() + kept.first;
    tile.tap_count = kept.count;
    tile.tap_bytes = info.unit;
    tile.weights = part.zero_blocks.weights.data() + kept.weights;
    tile.panel_bytes = static_cast<std::size_t>(kept.count * info.block);
  }
  tile.scale = part.scale.data() + table_column;
  tile.bias = kernel_bias_.data() + table_column;
  tile.columns = static_cast<int>(std::min(kTileColumns, group_columns_ - panel * kPanel));
  return tile;
}

// A tile in L1, and that of the weights below 0 if they have their own: sums with scales to outputs.
void Layer::finish_rows(float* z, const float* negative, int rows, std::int64_t columns,
                        std::int64_t first_pixel, const float* bias) const noexcept {
  for (int i = 0; i < rows; ++i, z += kTileColumns) {
    if (negative != nullptr) {
      for (std::int64_t j = 0; j < columns; ++j) z[j] += negative[i * kTileColumns + j];
    }
    const float scale = row_scale_.empty() ? 1.0f : row_scale_[static_cast<std::size_t>(first_pixel + i)];
    for (std::int64_t j = 0; j < columns; ++j) z[j] = z[j] * scale + bias[j];
  }
}

void Layer::compute_dense(const Output& output, std::int64_t row_chunk, std::int64_t column_chunk) const {
  const std::int64_t first = row_chunk * work_.block_rows;
  const std::int64_t last = std::min(out_pixels(), first + work_.block_rows);
  const std::int64_t group_units = divide_up(panels_, kUnitPanels);
  const std::int64_t first_unit = column_chunk * work_.units_per_chunk;
  const std::int64_t last_unit = std::min(groups_ * group_units, first_unit + work_.units_per_chunk);
  const auto kernel = implementation_.tile[static_cast<int>(layout_)];
  const bool has_two_parts = parts_.size() > 1;
  const bool waits = output.sums == nullptr && (output.epilogue != nullptr || has_own_finish());
  alignas(64) float waiting[kTileRows * kTileColumns];
  alignas(64) float negative[kTileRows * kTileColumns];
  alignas(64) std::int32_t negative_sums[kTileRows * kTileColumns];
  for (std::int64_t unit = first_unit; unit < last_unit; ++unit) {
    const std::int64_t group = unit / group_units;
    Tile tile = tile_of(parts_[0], unit);
    const std::uint8_t* pixels[kTileRows];
    const std::int32_t* const start = is_xor() ? init_.data() : parts_[0].init.data();
    const std::int32_t* const init[kTileRows] = {start, start, start, start, start, start, start, start};
    tile.init = init;
    Tile second{};
    const std::int32_t* second_init[kTileRows];
    if (has_two_parts) {
      second = tile_of(parts_[1], unit);
      std::fill_n(second_init, kTileRows, parts_[1].init.data());
      second.init = second_init;
      second.pixels = pixels;
      second.out = negative;
      second.sums = output.sums == nullptr ? nullptr : negative_sums;
      second.out_stride = kTileColumns;
    }
    const std::int64_t first_column = group * group_columns_ + unit % group_units * kTileColumns;
    FinishArgs finish{output.epilogue, waiting, kTileColumns, 0, tile.columns, 0, first_column};
    for (std::int64_t m = first; m < last; m += kTileRows) {
      tile.rows = static_cast<int>(std::min<std::int64_t>(kTileRows, last - m));
      tile.pixels = pixels_.data() + m;
      if (group > 0 || has_two_parts) {
        for (int i = 0; i < kTileRows; ++i) pixels[i] = tile.pixels[i] + group * group_bytes_;
        tile.pixels = pixels;
      }
      if (!pixel_init_.empty()) {
        tile.init = pixel_init_.data() + m;
        tile.is_init_shared = is_init_shared_[static_cast<std::size_t>(m / kTileRows)] != 0;
      }
      if (has_two_parts) {
        second.rows = tile.rows;
        kernel(second);
      }
      if (!waits) {
        const std::int64_t at = m * out_channels_ + first_column;
        tile.out = output.out == nullptr ? nullptr : output.out + at;
        tile.sums = output.sums == nullptr ? nullptr : output.sums + at;
        tile.out_stride = out_channels_;
        kernel(tile);
        if (has_two_parts) add_sums(negative_sums, tile.rows, tile.columns, tile.sums, out_channels_);
        continue;
      }
      tile.out = waiting;
      tile.out_stride = kTileColumns;
      kernel(tile);
      if (has_own_finish()) {
        finish_rows(waiting, has_two_parts ? negative : nullptr, tile.rows, tile.columns, m,
                    bias_.data() + tile.init_column);
      }
      if (output.epilogue != nullptr) {
        finish.rows = tile.rows;
        finish.first_pixel = m;
        implementation_.finish(finish);
      } else {
        store(waiting, tile.rows, tile.columns, output.out + m * out_channels_ + first_column, out_channels_);
      }
    }
  }
}

void Layer::compute_depthwise(const Output& output, std::int64_t row_chunk) const {
  const std::int64_t first = row_chunk * work_.block_rows;
  const std::int64_t last = std::min(out_pixels(), first + work_.block_rows);
  const bool has_two_parts = parts_.size() > 1;
  const auto tile_of_columns = [&](const Part& part, std::int64_t column) {
    DepthwiseTile tile{};
    tile.tap_offsets = part.tap_offsets.data();
    tile.tap_count = taps_;
    tile.weights = part.depthwise.data() + column;
    tile.weight_stride = table_columns_;
    tile.init = part.init.data() + column;
    tile.scale = part.scale.data() + column;
    tile.bias = kernel_bias_.data() + column;
    return tile;
  };
  if (output.epilogue == nullptr && !has_own_finish()) {
    DepthwiseTile tile = tile_of_columns(parts_[0], 0);
    tile.pixels = pixels_.data() + first;
    tile.out = output.out == nullptr ? nullptr : output.out + first * out_channels_;
    tile.sums = output.sums == nullptr ? nullptr : output.sums + first * out_channels_;
    tile.out_stride = out_channels_;
    tile.rows = static_cast<int>(last - first);
    tile.columns = out_channels_;
    implementation_.depthwise(tile);
    return;
  }
  alignas(64) float waiting[kTileRows * kTileColumns];
  alignas(64) float negative[kTileRows * kTileColumns];
  alignas(64) std::int32_t negative_sums[kTileRows * kTileColumns];
  const std::uint8_t* pixels[kTileRows];
  for (std::int64_t m = first; m < last; m += kTileRows) {
    const int rows = static_cast<int>(std::min<std::int64_t>(kTileRows, last - m));
    for (std::int64_t column = 0; column < out_channels_; column += kTileColumns) {
      for (int i = 0; i < rows; ++i) pixels[i] = pixels_[static_cast<std::size_t>(m + i)] + column;
      const std::int64_t columns = std::min(kTileColumns, out_channels_ - column);
      const std::int64_t at = m * out_channels_ + column;
      const auto run = [&](const Part& part, float* out, std::int32_t* sums, std::ptrdiff_t stride) {
        DepthwiseTile tile = tile_of_columns(part, column);
        tile.pixels = pixels;
        tile.out = out;
        tile.sums = sums;
        tile.out_stride = stride;
        tile.rows = rows;
        tile.columns = columns;
        implementation_.depthwise(tile);
      };
      if (output.sums != nullptr) {
        run(parts_[0], nullptr, output.sums + at, out_channels_);
        if (has_two_parts) {
          run(parts_[1], nullptr, negative_sums, kTileColumns);
          add_sums(negative_sums, rows, columns, output.sums + at, out_channels_);
        }
        continue;
      }
      run(parts_[0], waiting, nullptr, kTileColumns);
      if (has_two_parts) run(parts_[1], negative, nullptr, kTileColumns);
      if (has_own_finish()) {
        finish_rows(waiting, has_two_parts ? negative : nullptr, rows, columns, m, bias_.data() + column);
      }
      if (output.epilogue != nullptr) {
        implementation_.finish(
            {output.epilogue, waiting, kTileColumns, rows, static_cast<int>(columns), m, column});
      } else {
        store(waiting, rows, columns, output.out + at, out_channels_);
      }
    }
  }
}

}  // namespace mpsearch
