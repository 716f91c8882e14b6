// One packed layer: quantize or binarize the input, then compute tiles of output with an implementation.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "aligned_buffer.hpp"
#include "contract.hpp"

namespace mpsearch {

struct Axis {
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding;
  std::int64_t dilation;

  // At most 0 if the kernel does not fit.
  std::int64_t out_size(std::int64_t size) const noexcept {
    const std::int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
};

// What QuantizedLayer (quantized_layer.py) says. Pointers are read during construction only.
struct LayerSpec {
  std::string scheme;
  std::int64_t out_channels;
  std::int64_t in_channels;
  std::int64_t groups;
  Axis height;
  Axis width;
  const std::int8_t* weight;  // (out_channels, in_channels / groups, kernel height, kernel width)
  const float* scale;         // out_channels: activation scale * weight scale
  const float* bias;          // out_channels, or null
  const float* threshold;     // in_channels, 1-bit activations only
  float inverse_scale;        // 8-bit activations only
  int zero_point;             // 8-bit activations only: 0 or -128
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
  std::int64_t packed_bytes() const noexcept;
  bool has_binary_activations() const noexcept { return !threshold_.empty(); }

  // x: batch x height x width x in_channels; out: batch x out height x out width x out_channels. Sizes are
  // at least 1 and the kernel fits. Calls from several threads take turns.
  void run(const float* x, std::int64_t batch, std::int64_t height, std::int64_t width, float* out);
  // The same from integers to sums; binary activations are -1 or +1.
  void run_integer(const std::int8_t* a, std::int64_t batch, std::int64_t height, std::int64_t width,
                   std::int32_t* sums);

 private:
  // One axis for one input size. Places of the output that see the same valid taps form a border class.
  struct AxisPlan {
    std::int64_t in_size = 0;
    std::int64_t padded_size = 0;
    std::int64_t out_size = 0;
    std::vector<std::int32_t> border_class;                         // by output place
    std::vector<std::pair<std::int64_t, std::int64_t>> valid_taps;  // by class: first, one past last
    void build(const Axis& axis, std::int64_t in_size);
  };
  struct Scratch {  // of one thread
    std::vector<const std::uint8_t*> pixels;
    std::vector<const std::int32_t*> init;
  };
  struct Call;

  // Bits against bits; the border needs its own initial sums.
  bool is_xor() const noexcept { return has_binary_activations() && !is_depthwise_; }
  void plan(std::int64_t batch, std::int64_t height, std::int64_t width);
  void fill_padding();
  void build_border_init();
  void execute(Call& call);
  void load_lines(const Call& call, std::int64_t first, std::int64_t last);
  void load_pixels(const Call& call, std::int64_t first, std::int64_t count, std::uint8_t* out) const;
  void quantize_pixels(const float* x, std::int64_t count, std::uint8_t* out) const;
  void copy_integers(const std::int8_t* a, std::int64_t count, std::uint8_t* out) const;
  void repeat_channels(std::uint8_t* pixel) const noexcept;
  void find_pixels(Scratch& scratch, std::int64_t group, std::int64_t first, std::int64_t last) const;
  void compute_dense(const Call& call, Scratch& scratch, std::int64_t row_chunk, std::int64_t column_chunk);
  void compute_depthwise(const Call& call, Scratch& scratch, std::int64_t row_chunk);

  const Implementation& implementation_;
  const int threads_;
  const std::int64_t out_channels_, in_channels_, groups_;
  const Axis height_, width_;
  const std::int64_t taps_;
  const bool is_depthwise_;
  Layout layout_ = Layout::kInt8;
  float inverse_scale_ = 0;
  std::int32_t zero_ = 0;         // of unsigned activations
  std::vector<float> threshold_;  // 1-bit activations only

  std::int64_t group_columns_, group_channels_;
  std::int64_t panels_ = 0;         // per group
  std::int64_t table_columns_ = 0;  // per group: columns rounded up to whole panels
  std::int64_t group_bytes_ = 0;    // of activations, per pixel
  std::int64_t pixel_bytes_ = 0;    // from one pixel to the next
  AlignedBuffer<std::uint8_t> weights_;
  AlignedBuffer<std::int32_t> depthwise_weights_;  // taps x table_columns_
  AlignedBuffer<std::int32_t> tap_padding_;        // kXor: taps x tables; what a padded tap must add
  AlignedBuffer<float> scale_, bias_;              // groups x table_columns_

  std::mutex mutex_;  // guards what follows: what depends on the input's size
  std::int64_t batch_ = 0;
  AxisPlan rows_, columns_;
  AlignedBuffer<std::int32_t> init_;         // kXor: one table per border class; else one table
  AlignedBuffer<std::uint8_t> activations_;  // batch x padded height x padded width pixels
  std::vector<std::ptrdiff_t> tap_offsets_;
  std::vector<Scratch> scratch_;
  std::int64_t block_rows_ = 0;
};

}  // namespace mpsearch
