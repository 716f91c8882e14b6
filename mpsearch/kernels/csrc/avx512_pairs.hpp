// The innermost tile of avx512.cpp, which alone includes this: 8 pixels x 2 panels for every layout, to
// floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include "contract.hpp"

namespace mpsearch {
namespace {

// 8 rows x 2 panels, to floats, in assembly: gcc 12 copies or spills accumulators in every step and sends
// addresses through vector registers, which delays the next tile; together a fifth of the speed.
struct PairArgs {
  const std::uint8_t* const* pixels;  // 8
  const std::int32_t* const* init;    // 8
  std::ptrdiff_t init_offset;         // from there to where these columns' accumulators begin, in bytes
  bool is_init_shared;                // by all rows
  const std::ptrdiff_t* tap;
  const std::ptrdiff_t* end_tap;
  std::int64_t tap_bytes;
  const std::uint8_t* weights;
  std::size_t panel_bytes;
  const float* scale;
  const float* bias;
  float* out;
  std::ptrdiff_t out_stride;  // in bytes
};

// zmm0 to zmm15 are the accumulators, two to a row; r8 to r15 the rows; rax the weights, rcx from one panel
// to the next, rbx the tap, rdx the offset from a row, rsi its end. zmm28 and zmm29 hold decoded weights,
// zmm30 activations.
#define FIELD(name) "%c[" #name "](%%rdi)"
#define INIT(row, first, second)          \
  "mov 8*" #row                           \
  "(%%rdx), %%r8\n\t"                     \
  "vmovdqu64 (%%r8, %%rsi), %%zmm" #first \
  "\n\t"                                  \
  "vmovdqu64 64(%%r8, %%rsi), %%zmm" #second "\n\t"
#define ADD_INIT(row, first, second)                         \
  "mov 8*" #row                                              \
  "(%%r10), %%r12\n\t"                                       \
  "vpaddd %%zmm" #first ", %%zmm" #first ", %%zmm" #first    \
  "\n\t"                                                     \
  "vpaddd %%zmm" #second ", %%zmm" #second ", %%zmm" #second \
  "\n\t"                                                     \
  "vpaddd (%%r12, %%r11), %%zmm" #first ", %%zmm" #first     \
  "\n\t"                                                     \
  "vpaddd 64(%%r12, %%r11), %%zmm" #second ", %%zmm" #second "\n\t"
#define COPY(first, second)        \
  "vmovdqa64 %%zmm0, %%zmm" #first \
  "\n\t"                           \
  "vmovdqa64 %%zmm1, %%zmm" #second "\n\t"
#define COPIES COPY(2, 3) COPY(4, 5) COPY(6, 7) COPY(8, 9) COPY(10, 11) COPY(12, 13) COPY(14, 15)
#define LOAD(first, second)         \
  "vmovdqu64 (%%rax), %%zmm" #first \
  "\n\t"                            \
  "vmovdqu64 (%%rax, %%rcx), %%zmm" #second "\n\t"
#define ROWS(add, at)                                                                          \
  add(at, r8, 0, 1) add(at, r9, 2, 3) add(at, r10, 4, 5) add(at, r11, 6, 7) add(at, r12, 8, 9) \
      add(at, r13, 10, 11) add(at, r14, 12, 13) add(at, r15, 14, 15)
#define DOT(at, row, first, second)         \
  "vpbroadcastd " #at "(%%" #row            \
  ", %%rdx), %%zmm30\n\t"                   \
  "vpdpbusd %%zmm28, %%zmm30, %%zmm" #first \
  "\n\t"                                    \
  "vpdpbusd %%zmm29, %%zmm30, %%zmm" #second "\n\t"
#define COUNT(at, row, first, second)             \
  "vpbroadcastd " #at "(%%" #row                  \
  ", %%rdx), %%zmm30\n\t"                         \
  "vpxord %%zmm28, %%zmm30, %%zmm31\n\t"          \
  "vpopcntd %%zmm31, %%zmm31\n\t"                 \
  "vpsubd %%zmm31, %%zmm" #first ", %%zmm" #first \
  "\n\t"                                          \
  "vpxord %%zmm29, %%zmm30, %%zmm31\n\t"          \
  "vpopcntd %%zmm31, %%zmm31\n\t"                 \
  "vpsubd %%zmm31, %%zmm" #second ", %%zmm" #second "\n\t"
// Part of the blocks in zmm24 and zmm25 to the top bits of a byte; zmm27 is their mask.
#define DECODE(shift)                    \
  "vpsllw $" #shift                      \
  ", %%zmm24, %%zmm28\n\t"               \
  "vpsllw $" #shift                      \
  ", %%zmm25, %%zmm29\n\t"               \
  "vpandd %%zmm27, %%zmm28, %%zmm28\n\t" \
  "vpandd %%zmm27, %%zmm29, %%zmm29\n\t"
#define DECODE_TOP                       \
  "vpandd %%zmm27, %%zmm24, %%zmm28\n\t" \
  "vpandd %%zmm27, %%zmm25, %%zmm29\n\t"
#define MASK(byte)         \
  "mov $0x01010101*" #byte \
  ", %%esi\n\t"            \
  "vpbroadcastd %%esi, %%zmm27\n\t"
#define FINISH(shift, sum, scale, bias, at)                      \
  shift(sum) "vcvtdq2ps %%zmm" #sum ", %%zmm" #sum               \
             "\n\t"                                              \
             "vmulps %%zmm" #scale ", %%zmm" #sum ", %%zmm" #sum \
             "\n\t"                                              \
             "vaddps %%zmm" #bias ", %%zmm" #sum ", %%zmm" #sum  \
             "\n\t"                                              \
             "vmovups %%zmm" #sum ", " #at "(%%rdx)\n\t"
#define STORE(shift, first, second) \
  FINISH(shift, first, 28, 30, 0) FINISH(shift, second, 29, 31, 64) "add %%rsi, %%rdx\n\t"
#define NO_SHIFT(sum)
#define SHIFT_4(sum) "vpsrad $4, %%zmm" #sum ", %%zmm" #sum "\n\t"
#define SHIFT_6(sum) "vpsrad $6, %%zmm" #sum ", %%zmm" #sum "\n\t"
#define OFFSET(name) [name] "i"(offsetof(PairArgs, name))
// `begin` makes the accumulators from zmm0 and zmm1, `step` adds one unit to them.
#define PAIR(begin, step, block_bytes, unit, rescale, shift) \
  __asm__ volatile(                                                                                          \
      "mov " FIELD(init) ", %%rdx\n\t"                                                                       \
      "mov " FIELD(init_offset) ", %%rsi\n\t"                                                                \
      INIT(0, 0, 1) begin                                                                                    \
      "mov " FIELD(pixels) ", %%rdx\n\t"                                                                     \
      "mov (%%rdx), %%r8\n\t"                                                                                \
      "mov 8(%%rdx), %%r9\n\t"                                                                               \
      "mov 16(%%rdx), %%r10\n\t"                                                                             \
      "mov 24(%%rdx), %%r11\n\t"                                                                             \
      "mov 32(%%rdx), %%r12\n\t"                                                                             \
      "mov 40(%%rdx), %%r13\n\t"                                                                             \
      "mov 48(%%rdx), %%r14\n\t"                                                                             \
      "mov 56(%%rdx), %%r15\n\t"                                                                             \
      "mov " FIELD(weights) ", %%rax\n\t"                                                                    \
      "mov " FIELD(panel_bytes) ", %%rcx\n\t"                                                                \
      "mov " FIELD(tap) ", %%rbx\n\t"                                                                        \
      "1:\n\t"                                                                                               \
      "mov (%%rbx), %%rdx\n\t"                                                                               \
      "mov " FIELD(tap_bytes) ", %%rsi\n\t"                                                                  \
      "add %%rdx, %%rsi\n\t"                                                                                 \
      ".p2align 5\n"                                                                                         \
      "2:\n\t" step                                                                                          \
      "add $" #block_bytes ", %%rax\n\t"                                                                           \
      "add $" #unit ", %%rdx\n\t"                                                                            \
      "cmp %%rsi, %%rdx\n\t"                                                                                 \
      "jl 2b\n\t"                                                                                            \
      "add $8, %%rbx\n\t"                                                                                    \
      "cmp " FIELD(end_tap) ", %%rbx\n\t"                                                                    \
      "jne 1b\n\t"                                                                                           \
      "mov " FIELD(scale) ", %%r8\n\t"                                                                       \
      "mov " FIELD(bias) ", %%r9\n\t"                                                                        \
      "mov " FIELD(out) ", %%rdx\n\t"                                                                        \
      "mov " FIELD(out_stride) ", %%rsi\n\t"                                                                 \
      "vmovups (%%r8), %%zmm28\n\t"                                                                          \
      "vmovups 64(%%r8), %%zmm29\n\t"                                                                        \
      "vmovups (%%r9), %%zmm30\n\t"                                                                          \
      "vmovups 64(%%r9), %%zmm31\n\t" rescale                                                                  \
      STORE(shift, 0, 1) STORE(shift, 2, 3) STORE(shift, 4, 5) STORE(shift, 6, 7)                            \
      STORE(shift, 8, 9) STORE(shift, 10, 11) STORE(shift, 12, 13) STORE(shift, 14, 15)                      \
      :                                                                                                      \
      : "D"(&args), OFFSET(pixels), OFFSET(init), OFFSET(init_offset), OFFSET(is_init_shared), OFFSET(tap),  \
        OFFSET(end_tap), OFFSET(tap_bytes), OFFSET(weights), OFFSET(panel_bytes), OFFSET(scale),             \
        OFFSET(bias), OFFSET(out), OFFSET(out_stride)                                                        \
      : "memory", "cc", "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",    \
        "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",      \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",   \
        "xmm30", "xmm31", "k1", "k2")

// `HasHalves`: of kXor, `init` holds the halves of what the sums begin with.
template <Layout, bool HasHalves = true>
void pair(const PairArgs& args) noexcept;

template <>
void pair<Layout::kInt8>(const PairArgs& args) noexcept {
  PAIR(COPIES, LOAD(28, 29) ROWS(DOT, 0), 64, 4, , NO_SHIFT);
}

template <>
void pair<Layout::kInt4>(const PairArgs& args) noexcept {
  PAIR("vpslld $4, %%zmm0, %%zmm0\n\tvpslld $4, %%zmm1, %%zmm1\n\t" COPIES MASK(0xf0),
       LOAD(24, 25) "prefetcht0 768(%%rax)\n\tprefetcht0 768(%%rax, %%rcx)\n\t" DECODE(4) ROWS(DOT, 0)
           DECODE_TOP ROWS(DOT, 4),
       64, 8, , SHIFT_4);
}

template <>
void pair<Layout::kTernary>(const PairArgs& args) noexcept {
  PAIR("vpslld $6, %%zmm0, %%zmm0\n\tvpslld $6, %%zmm1, %%zmm1\n\t" COPIES MASK(0xc0),
       LOAD(24, 25) DECODE(6) ROWS(DOT, 0) DECODE(4) ROWS(DOT, 4) DECODE(2) ROWS(DOT, 8)
           DECODE_TOP ROWS(DOT, 12),
       64, 16, , SHIFT_6);
}

// zmm26 is +1, zmm27 is -1.
template <>
void pair<Layout::kBinary>(const PairArgs& args) noexcept {
  PAIR(COPIES MASK(0x01) "vmovdqa64 %%zmm27, %%zmm26\n\tvpternlogd $0xff, %%zmm27, %%zmm27, %%zmm27\n\t",
       "kmovq (%%rax), %%k1\n\t"
       "kmovq (%%rax, %%rcx), %%k2\n\t"
       "vpblendmb %%zmm26, %%zmm27, %%zmm28%{%%k1%}\n\t"
       "vpblendmb %%zmm26, %%zmm27, %%zmm29%{%%k2%}\n\t" ROWS(DOT, 0),
       8, 4, , NO_SHIFT);
}

// Counts down from half of the initial sum, so that only twice the scale and the bias remain to be done.
template <>
void pair<Layout::kXor>(const PairArgs& args) noexcept {
  PAIR("cmpb $0, " FIELD(is_init_shared) "\n\t"
       "je 3f\n\t" COPIES
       "jmp 4f\n"
       "3:\n\t"
       INIT(1, 2, 3) INIT(2, 4, 5) INIT(3, 6, 7) INIT(4, 8, 9) INIT(5, 10, 11) INIT(6, 12, 13) INIT(7, 14, 15)
       "4:\n\t",
       LOAD(28, 29) ROWS(COUNT, 0), 64, 4,
       "vaddps %%zmm28, %%zmm28, %%zmm28\n\tvaddps %%zmm29, %%zmm29, %%zmm29\n\t", NO_SHIFT);
}

// The same from 0, for initial sums that have no halves.
template <>
void pair<Layout::kXor, false>(const PairArgs& args) noexcept {
  PAIR("vpxord %%zmm0, %%zmm0, %%zmm0\n\tvpxord %%zmm1, %%zmm1, %%zmm1\n\t" COPIES,
       LOAD(28, 29) ROWS(COUNT, 0), 64, 4,
       "mov " FIELD(init) ", %%r10\n\t"
       "mov " FIELD(init_offset) ", %%r11\n\t"
       ADD_INIT(0, 0, 1) ADD_INIT(1, 2, 3) ADD_INIT(2, 4, 5) ADD_INIT(3, 6, 7) ADD_INIT(4, 8, 9)
           ADD_INIT(5, 10, 11) ADD_INIT(6, 12, 13) ADD_INIT(7, 14, 15),
       NO_SHIFT);
}

#undef PAIR
#undef ADD_INIT
#undef OFFSET
#undef SHIFT_6
#undef SHIFT_4
#undef NO_SHIFT
#undef STORE
#undef FINISH
#undef MASK
#undef DECODE_TOP
#undef DECODE
#undef COUNT
#undef DOT
#undef ROWS
#undef LOAD
#undef COPIES
#undef COPY
#undef INIT
#undef FIELD

}  // namespace
}  // namespace mpsearch
