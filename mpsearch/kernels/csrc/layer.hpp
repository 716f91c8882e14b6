// One packed layer: quantize or binarize the input, then compute tiles of output with an implementation.
// layer.cpp builds it, activations.cpp fills its image, driver.cpp walks over the tiles.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "aligned_buffer.hpp"
#include "contract.hpp"
#include "geometry.hpp"
#include "zero_blocks.hpp"

namespace mpsearch {

// Where an activation's scale comes from: the spec, or each input by itself.
enum class InputScale : int {
  kGiven = 0,
  kToken = 1,  // 8 bit, one tap: of each input pixel, its greatest magnitude / 127
  kPixel = 2,  // 1 bit: of each output pixel, the mean magnitude of all inputs in its window
};

// What QuantizedLayer (quantized_layer.py) says. Pointers are read during construction only.
struct LayerSpec {
  std::string scheme;
  std::int64_t out_channels;
  std::int64_t in_channels;
  std::int64_t groups;
  Axis height;
  Axis width;
  const std::int8_t* weight;    // (out_channels, in_channels / groups, kernel height, kernel width)
  const float* scale;           // out_channels: activation scale * weight scale
  const float* bias;            // out_channels, or null
  const float* threshold;       // in_channels, 1-bit activations only
  float inverse_scale;          // 8-bit activations only
  int zero_point;               // 8-bit activations only: -128..127
  const float* negative_scale;  // out_channels: of the weights below 0, ternary only; or null
  InputScale input_scale;
  bool has_ternary_inputs;  // 8-bit activations only, zero point 0: integers are clipped to -1..1
};

class Layer {
 public:
  // Throws KernelError if a bound of the contract is exceeded.
  Layer(const LayerSpec& spec, const Implementation& implementation, int threads);

  const Implementation& implementation() const noexcept { return implementation_; }
  std::int64_t in_channels() const noexcept { return in_channels_; }
  std::int64_t out_channels() const noexcept { return out_channels_; }
  const Axis& height() const noexcept { return height_; }
  const Axis& width() const noexcept { return width_; }
  int threads() const noexcept { return threads_; }
  std::int64_t packed_bytes() const noexcept;
  bool has_binary_activations() const noexcept { return !threshold_.empty(); }

  // x: batch x height x width x in_channels; out: batch x out height x out width x out_channels. Sizes are
  // at least 1 and the kernel fits. Calls from several threads take turns.
  void run(const float* x, std::int64_t batch, std::int64_t height, std::int64_t width, float* out);
  // The same from integers to sums; binary activations are -1 or +1.
  void run_integer(const std::int8_t* a, std::int64_t batch, std::int64_t height, std::int64_t width,
                   std::int32_t* sums);

  // A program's layer goes through these three in turn, under the program's own lock.
  // Sizes the image and all tables for one input size; nothing after it allocates.
  void plan(std::int64_t batch, std::int64_t height, std::int64_t width);
  // Fills the image from batch x height x width x in_channels floats.
  void load(const float* x);
  // Or where producers write the pixels of the input themselves; only if takes_finished_pixels().
  ImageTarget target();
  bool takes_finished_pixels() const noexcept {
    if (input_scale_ != InputScale::kGiven || has_ternary_inputs_) return false;
    return groups_ == 1 || (is_depthwise_ && out_channels_ == in_channels_);
  }
  // Whether its tiles may be wider than an epilogue's unit: those of groups begin anywhere.
  bool has_aligned_columns() const noexcept { return groups_ == 1 || is_depthwise_; }
  // From the image to `out`, or through the epilogue if it is not null.
  void compute(float* out, const Epilogue* epilogue);

  // The product alone, from the activations of the last `run` or `run_integer`, for benchmarks. Throws
  // ShapeError before the first, or if `count` is not the number of its outputs.
  void run_product(float* out, std::int64_t count);

 private:
  struct Input {
    const float* x;        // or null
    const std::int8_t* a;  // or null
  };
  struct Output {
    float* out;                // or null
    std::int32_t* sums;        // or null
    const Epilogue* epilogue;  // or null
  };
  // Weights that share one scale per output channel: all of them, or those of one sign.
  struct Part {
    AlignedBuffer<std::uint8_t> weights;      // empty if blocks are left out
    ZeroBlocks zero_blocks;                   // kTernary
    AlignedBuffer<std::int32_t> depthwise;    // taps x table_columns_
    AlignedBuffer<std::int32_t> init;         // groups x table_columns_; not kXor
    AlignedBuffer<float> scale;               // groups x table_columns_
    std::vector<std::ptrdiff_t> tap_offsets;  // by tap or joined taps; by block if blocks are left out
  };
  // How one input size is cut into chunks for the threads.
  struct Work {
    int threads = 1;
    std::int64_t block_rows = 0;
    std::int64_t row_chunks = 0;
    std::int64_t column_chunks = 1;
    std::int64_t units_per_chunk = 0;  // of kUnitPanels panels
  };

  // Bits against bits; the border needs its own initial sums.
  bool is_xor() const noexcept { return has_binary_activations() && !is_depthwise_; }
  std::int64_t out_pixels() const noexcept { return batch_ * rows_.out_size * columns_.out_size; }
  // Whether sums become outputs in more steps than a kernel takes: bias is then added here, at the end.
  bool has_own_finish() const noexcept { return parts_.size() > 1 || !row_scale_.empty(); }
  std::int64_t table_size() const noexcept { return (is_depthwise_ ? 1 : groups_) * table_columns_; }

  // Of an output channel, in tables of groups x table_columns_.
  std::int64_t table_place(std::int64_t channel) const noexcept;
  Part make_part(const std::int8_t* weight, const float* scale);
  Tile tile_of(const Part& part, std::int64_t unit) const noexcept;

  void fill_padding(std::int64_t batch);
  void build_border_init();
  void find_pixels(std::int64_t batch);
  void plan_work();

  void load_image(const Input& input);
  void load_lines(const Input& input, std::int64_t first, std::int64_t last);
  void load_pixels(const Input& input, std::int64_t first, std::int64_t count, std::uint8_t* out);
  void load_tokens(const float* x, std::int64_t first, std::int64_t count, std::uint8_t* out);
  void sum_magnitudes(const float* x, std::int64_t first, std::int64_t count);
  void scale_windows(std::int64_t first, std::int64_t last);
  void quantize_pixels(const float* x, std::int64_t count, float inverse_scale, std::uint8_t* out) const;
  void copy_integers(const std::int8_t* a, std::int64_t count, std::uint8_t* out) const;
  void repeat_channels(std::uint8_t* pixel) const noexcept;

  void fold_lines(std::int64_t first, std::int64_t last) noexcept;
  template <int Kernel>
  void fold_lines(std::int64_t first, std::int64_t last) noexcept;
  void compute_image(const Output& output);
  void compute_dense(const Output& output, std::int64_t row_chunk, std::int64_t column_chunk) const;
  void compute_depthwise(const Output& output, std::int64_t row_chunk) const;
  void finish_rows(float* z, const float* negative, int rows, std::int64_t columns, std::int64_t first_pixel,
                   const float* bias) const noexcept;

  const Implementation& implementation_;
  const int threads_;
  const std::int64_t out_channels_, in_channels_, groups_;
  const Axis height_, width_;
  const std::int64_t taps_;
  const bool is_depthwise_;
  const InputScale input_scale_;
  const bool has_ternary_inputs_;
  Layout layout_ = Layout::kInt8;
  float inverse_scale_ = 0;
  std::int32_t zero_ = 0;         // of unsigned activations
  std::vector<float> threshold_;  // 1-bit activations only; to a whole epilogue unit

  std::int64_t group_columns_, group_channels_;
  std::int64_t panels_ = 0;                  // per group
  std::int64_t table_columns_ = 0;           // per group: columns rounded up to whole panels
  std::int64_t group_bytes_ = 0;             // of activations, per pixel
  std::int64_t pixel_bytes_ = 0;             // from one pixel to the next
  std::int64_t joined_taps_ = 1;             // of a line, if their activations follow one another
  bool is_folded_ = false;                   // or the bits of these are packed into words again
  std::int64_t run_bytes_ = 0;               // of joined taps, or of one
  std::vector<Part> parts_;                  // one, or those above 0 and those below
  AlignedBuffer<std::int32_t> tap_padding_;  // kXor: taps x tables; what a padded tap must add
  AlignedBuffer<float> bias_, kernel_bias_;  // groups x table_columns_; the latter 0 if has_own_finish()
  bool can_double_scale_ = true;

  std::mutex mutex_;  // guards what follows: what depends on the input's size
  std::int64_t batch_ = 0;
  AxisPlan rows_, columns_;
  AlignedBuffer<std::int32_t> init_;         // kXor: one table per border class, then their halves
  std::ptrdiff_t half_offset_ = 0;           // as in Tile
  AlignedBuffer<std::uint8_t> activations_;  // batch x padded height x padded width pixels
  AlignedBuffer<std::uint8_t> folded_;       // by line of the image and column of the output: run_bytes_
  std::vector<float> row_scale_;             // by output pixel, unless scales are given
  std::vector<double> magnitudes_;           // kPixel: by input pixel, their sum over the channels
  // By output pixel, its first tap in the first group; and its initial sums, none if one table serves all.
  // Both repeat the last one up to a whole tile.
  std::vector<const std::uint8_t*> pixels_;
  std::vector<const std::int32_t*> pixel_init_;
  std::vector<std::uint8_t> is_init_shared_;  // by tile, if there are initial sums by pixel
  std::vector<std::uint8_t*> places_;         // by input pixel, if there is a target
  Work work_;
};

}  // namespace mpsearch
