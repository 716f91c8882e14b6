// The contract between the portable driver (driver.cpp) and the kernels of each instruction set.
//
// Every layer is a convolution in NHWC; a linear layer is a 1x1 convolution. Activations are quantized once
// into a scratch image with its padding around it, one row of bytes per pixel and group; a kernel then
// computes a tile of output pixels times output channels straight from that image (no im2col) and writes the
// scaled result. Each tap of the convolution kernel lies at the same offset from every output pixel's first
// one.
//
// 8-bit activations are stored unsigned, u = a + 128, with zero point z = zero_point + 128:
//     sum of (a - zero_point) * w  =  sum of u * w  -  z * sum of w
// The second term is the same for every pixel (`init`), because padded pixels hold z.
// Channels beyond the layer's are stored as u = 0, so they add nothing whatever their weight is.
//
// 1-bit activations are stored as bits (1 means +1), and so are their weights, 32 channels to a word:
//     sum of a * w  =  count  -  2 * popcount(a ^ w)
// Channels beyond the layer's are 0 on both sides. Padded pixels are rows of zeros; what such a row wrongly
// adds is known per tap and output channel, and is part of `init` for border pixels.
//
// Bounds: K, the products summed per output, is at most kMaxReduction, so that
//     |sum of u * w|  <=  65536 * 255 * 128  <  2^31
// is exact in int32, also where 4-bit and ternary weights are held 16 and 64 times too large.
// Inputs and outputs must not overlap. Kernels allocate nothing and throw nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mpsearch {

inline constexpr const char* kKernelVersion = "1.1";

inline constexpr std::int64_t kMaxReduction = 65536;
inline constexpr int kPanel = 16;      // output channels in one panel of weights
inline constexpr int kTileRows = 8;    // most output pixels in one tile
inline constexpr int kUnitPanels = 4;  // panels in one call of a kernel, at most
inline constexpr int kMaxLayouts = 5;

// How weights lie in memory: [group][panel][tap][unit][block]. A block holds `unit` bytes of activations'
// worth of weights for 16 output channels. Byte 4 * lane + i of a block belongs to output channel `lane`.
enum class Layout : int {
  kInt8 = 0,     // unit 4, block 64: one weight a byte
  kInt4 = 1,     // unit 8, block 64: weight i in the low nibble, weight 4 + i in the high one
  kTernary = 2,  // unit 16, block 64: weight 4 * s + i in bits 2s and 2s + 1, two's complement
  kBinary = 3,   // unit 4, block 8: bit 4 * lane + i is set for +1
  kXor = 4,      // unit 4 (32 channels), block 64: one 32-bit word per lane
};

struct LayoutInfo {
  int unit;   // activation bytes per block; rows of activations are a multiple of it
  int block;  // weight bytes per block
};

inline constexpr LayoutInfo kLayouts[kMaxLayouts] = {{4, 64}, {8, 64}, {16, 64}, {4, 8}, {4, 64}};

// out[i][j] = float(sum[i][j]) * scale[j] + bias[j], rounded after each step (no fused multiply-add), where
// sum[i][j] = init[i][j] + dot product (kXor: init[i][j] - 2 * popcount of differences).
// Taps whose activations follow one another in memory may be given as one of several times the bytes.
// `pixels` and `init` have kTileRows readable entries: those beyond `rows` are repetitions of others. Only
// kXor has entries of `init` that differ.
struct Tile {
  const std::uint8_t* const* pixels;  // kTileRows pointers to an output pixel's first tap; see below
  const std::ptrdiff_t* tap_offsets;  // tap_count offsets from there, to tap_bytes activations each
  std::int64_t tap_count;
  std::int64_t tap_bytes;           // a multiple of the layout's unit
  const std::uint8_t* weights;      // first panel
  std::size_t panel_bytes;          // from one panel to the next
  const std::int32_t* const* init;  // kTileRows pointers; init_column from there a whole number of panels
  std::ptrdiff_t init_column;
  bool is_init_shared;         // all pointers of `init` are the same
  std::ptrdiff_t half_offset;  // if not 0: init[i] + half_offset are the halves of init[i], all even, and
                               // all `scale` can be doubled
  const float* scale;          // a whole number of panels
  const float* bias;           // a whole number of panels
  float* out;                  // rows x columns, out_stride elements from row to row
  std::int32_t* sums;          // if not null: the sums go here, and `out` is not touched
  std::ptrdiff_t out_stride;
  int rows;     // 1..kTileRows
  int columns;  // output channels, at least 1
};

// One output channel per input channel. `weights` is tap_count x weight_stride int32, |w| <= 128; activations
// and tables are readable up to the next multiple of kPanel columns. Otherwise as Tile.
struct DepthwiseTile {
  const std::uint8_t* const* pixels;
  const std::ptrdiff_t* tap_offsets;
  std::int64_t tap_count;
  const std::int32_t* weights;
  std::ptrdiff_t weight_stride;
  const std::int32_t* init;
  const float* scale;
  const float* bias;
  float* out;
  std::int32_t* sums;
  std::ptrdiff_t out_stride;
  int rows;
  std::int64_t columns;
};

// A matrix of rows x channels floats and the rows of bytes that it becomes. Strides are in elements.
struct QuantizeArgs {
  const float* x;
  std::int64_t rows;
  std::int64_t channels;
  std::ptrdiff_t x_stride;
  std::uint8_t* out;
  std::ptrdiff_t out_stride;
  float inverse_scale;     // 8 bit: u = clip(round_half_even(x * inverse_scale), -zero, 255 - zero) + zero;
  std::int32_t zero;       //        NaN becomes `zero`, the real number 0
  const float* threshold;  // 1 bit: bit = x >= threshold[channel]; NaN becomes 0
};

// How an epilogue writes a consumer's activations.
enum class ImageKind : int {
  kBytes = 0,        // one byte per channel, as QuantizeArgs says
  kBits = 1,         // 32 channels to a word, as QuantizeArgs says
  kBinaryBytes = 2,  // depthwise with 1-bit activations: the byte 2 for +1 and 0 for -1
};

struct ImageTarget {
  ImageKind kind;
  std::uint8_t* const* places;  // by pixel: its first byte in the consumer's padded image
  float inverse_scale;          // kBytes
  std::int32_t zero;            // kBytes
  const float* threshold;       // the others: by channel
};

// What follows a layer's scale and bias, in float32, each step rounded once:
//     y = fma(z, multiplier[c], offset[c])
//     y = y + residual[pixel][c]
//     y = min(high, max(low, y)); NaN stays NaN
// Then y is stored, quantized, or both. A null pointer leaves its step out. From any channel on,
// kEpilogueUnit multipliers and offsets are readable, since tiles of groups begin anywhere; thresholds are
// readable up to the next multiple of kEpilogueUnit.
inline constexpr int kEpilogueUnit = 32;

struct Epilogue {
  const float* multiplier;  // null if and only if `offset` is
  const float* offset;
  const float* residual;  // pixels x channels
  float low;              // -infinity and
  float high;             // infinity: no bounds
  float* out;             // pixels x channels
  std::int64_t channels;
  const ImageTarget* images;
  int image_count;
};

// A tile of pixels x columns that its epilogue takes from L1. Columns count from 0 at first_column, which is
// a multiple of kEpilogueUnit if there are images; places count from 0 at first_pixel.
struct FinishArgs {
  const Epilogue* epilogue;
  const float* z;
  std::ptrdiff_t z_stride;
  int rows;
  int columns;
  std::int64_t first_pixel;
  std::int64_t first_column;
};

// One output pixel of a pooling layer: out[c] from taps[t][first_column + c] of all taps, at least one.
enum class Reduction : int {
  kMax = 0,     // NaN if any is
  kWindow = 1,  // their sum in order, / divisor
  kMean = 2,    // their sum in the order of torch.mean over height and width, channels last, / divisor
};

struct PoolArgs {
  Reduction reduction;
  const float* const* taps;
  std::int64_t tap_count;
  std::int64_t first_column;  // kMean: a multiple of kEpilogueUnit
  std::int64_t columns;
  float divisor;
  float* out;
};

// One instruction set's kernels. simdjson's pattern: a table of these, best first.
struct Implementation {
  const char* name;        // the value of MPSEARCH_FORCE_ISA that selects it
  std::uint32_t required;  // bits of cpu_features(); 0 runs everywhere
  double macs_per_ns;      // rough speed with 8-bit activations, to decide how many threads pay
  void (*tile[kMaxLayouts])(const Tile&) noexcept;  // by Layout
  void (*depthwise)(const DepthwiseTile&) noexcept;
  void (*quantize)(const QuantizeArgs&) noexcept;  // to bytes
  void (*binarize)(const QuantizeArgs&) noexcept;  // to ceil(channels / 32) words a row
  void (*finish)(const FinishArgs&) noexcept;
  void (*pool)(const PoolArgs&) noexcept;
};

// Portable, for every implementation that has no faster ones.
void finish_portably(const FinishArgs& args) noexcept;
void pool_portably(const PoolArgs& args) noexcept;
#if defined(__x86_64__)
void finish_avx2(const FinishArgs& args) noexcept;
void pool_avx2(const PoolArgs& args) noexcept;
void finish_avx512(const FinishArgs& args) noexcept;
void pool_avx512(const PoolArgs& args) noexcept;
#endif

extern const Implementation kScalar;
#if defined(__x86_64__)
extern const Implementation kAvx2;
extern const Implementation kAvx512;
#elif defined(__aarch64__)
extern const Implementation kNeon;
extern const Implementation kNeonDotprod;
#endif

}  // namespace mpsearch
