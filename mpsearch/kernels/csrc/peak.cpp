// The loops are assembly, so that no compiler moves, merges or spills what is counted. Each holds independent
// accumulators in registers, as many as hide the latency of its instructions.
#include "peak.hpp"

#include <algorithm>
#include <chrono>

#include "errors.hpp"
#include "implementations.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mpsearch {
namespace {

constexpr std::size_t kRounds = 2000;
constexpr std::size_t kLeastRead = 512 + 64;  // one step of the readers, and what alignment may skip
constexpr std::size_t kLeastBytes = std::size_t{1} << 20;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Sequence {
  const char* isa;
  const char* name;
  double macs;  // of one call of `run`
  void (*run)();
};

#if defined(__x86_64__)

#define TIMES_4(step, a, b, c, d) step(a) step(b) step(c) step(d)
#define TIMES_8(step) TIMES_4(step, 0, 1, 2, 3) TIMES_4(step, 4, 5, 6, 7)
#define TIMES_16(step) TIMES_8(step) TIMES_4(step, 8, 9, 10, 11) TIMES_4(step, 12, 13, 14, 15)

#define LOW_REGISTERS                                                                                        \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"

// zmm16 to zmm31 and the sums are whatever they are: the speed of integers does not depend on their values,
// and the floats are zeroed below.

#define AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq,avx512vbmi,gfni")))
#define HIGH_REGISTERS                                                                               \
  "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", \
      "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"

AVX512 void avx512_fma() {
  __asm__ volatile("vpxord %%zmm16, %%zmm16, %%zmm16\n\t" ::: "xmm16");
#define STEP(i) "vpxord %%zmm" #i ", %%zmm" #i ", %%zmm" #i "\n\t"
  __asm__ volatile(TIMES_16(STEP)::: LOW_REGISTERS);
#undef STEP
#define STEP(i) "vfmadd231ps %%zmm16, %%zmm16, %%zmm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n) __asm__ volatile(TIMES_16(STEP)::: LOW_REGISTERS);
#undef STEP
}

AVX512 void avx512_vpdpbusd() {
#define STEP(i) "vpdpbusd %%zmm16, %%zmm17, %%zmm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n) __asm__ volatile(TIMES_16(STEP)::: LOW_REGISTERS);
#undef STEP
}

AVX512 void avx512_vpopcntd() {
#define STEP(i)                          \
  "vpxord %%zmm30, %%zmm31, %%zmm16\n\t" \
  "vpopcntd %%zmm16, %%zmm16\n\t"        \
  "vpaddd %%zmm16, %%zmm" #i ", %%zmm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n) __asm__ volatile(TIMES_16(STEP)::: LOW_REGISTERS, HIGH_REGISTERS);
#undef STEP
}

// One row of activations against ternary weights from L1: a 64-byte block is 4 times 64 products. Four
// panels, each with two sums.
AVX512 void avx512_ternary_decode() {
  alignas(64) static const std::uint8_t blocks[4 * 64] = {};
#define PART(shift, block, sum)          \
  "vpsllw $" #shift ", %%zmm" #block     \
  ", %%zmm20\n\t"                        \
  "vpandd %%zmm21, %%zmm20, %%zmm20\n\t" \
  "vpdpbusd %%zmm20, %%zmm22, %%zmm" #sum "\n\t"
#define BLOCK(offset, block, first, second)                                                     \
  "vmovdqu64 " #offset "(%0), %%zmm" #block "\n\t" PART(6, block, first) PART(4, block, second) \
      PART(2, block, first) "vpandd %%zmm21, %%zmm" #block                                      \
                            ", %%zmm20\n\t"                                                     \
                            "vpdpbusd %%zmm20, %%zmm22, %%zmm" #second "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n) {
    __asm__ volatile(BLOCK(0, 16, 0, 1) BLOCK(64, 17, 2, 3) BLOCK(128, 18, 4, 5) BLOCK(192, 19, 6, 7)
                     :
                     : "r"(blocks)
                     : LOW_REGISTERS, HIGH_REGISTERS);
  }
#undef BLOCK
#undef PART
}

// One row of activations against binary weights from L1: a 64-byte block is 8 times 64 products. Two panels,
// with a sum for each part.
AVX512 void avx512_binary_decode() {
  alignas(64) static const std::uint8_t blocks[2 * 64] = {};
#define PART(mask, first, second)           \
  "vpandd %%zmm16, %%zmm" #mask             \
  ", %%zmm18\n\t"                           \
  "vpdpbusd %%zmm18, %%zmm19, %%zmm" #first \
  "\n\t"                                    \
  "vpandd %%zmm17, %%zmm" #mask             \
  ", %%zmm18\n\t"                           \
  "vpdpbusd %%zmm18, %%zmm19, %%zmm" #second "\n\t"
#define BLOCK(offset, block)                      \
  "vpermb " #offset "(%0), %%zmm20, %%zmm" #block \
  "\n\t"                                          \
  "vgf2p8affineqb $0, %%zmm" #block ", %%zmm21, %%zmm" #block "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n) {
    __asm__ volatile(BLOCK(0, 16) BLOCK(64, 17) PART(22, 0, 1) PART(23, 2, 3) PART(24, 4, 5) PART(25, 6, 7)
                         PART(26, 8, 9) PART(27, 10, 11) PART(28, 12, 13) PART(29, 14, 15)
                     :
                     : "r"(blocks)
                     : LOW_REGISTERS, HIGH_REGISTERS);
  }
#undef BLOCK
#undef PART
}

#define AVX2 __attribute__((target("avx2,fma")))

AVX2 void avx2_fma() {
#define STEP(i) "vxorps %%ymm" #i ", %%ymm" #i ", %%ymm" #i "\n\t"
  __asm__ volatile(TIMES_16(STEP)::: LOW_REGISTERS);
#undef STEP
#define STEP(i) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n)
    __asm__ volatile(TIMES_8(STEP) TIMES_4(STEP, 8, 9, 10, 11)::: LOW_REGISTERS);
#undef STEP
}

AVX2 void avx2_vpmaddubsw() {
#define STEP(i)                              \
  "vpmaddubsw %%ymm15, %%ymm14, %%ymm12\n\t" \
  "vpmaddwd %%ymm12, %%ymm13, %%ymm12\n\t"   \
  "vpaddd %%ymm12, %%ymm" #i ", %%ymm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n)
    __asm__ volatile(TIMES_8(STEP) TIMES_4(STEP, 8, 9, 10, 11)::: LOW_REGISTERS);
#undef STEP
}

AVX2 void avx2_vpmaddwd() {
#define STEP(i)                            \
  "vpmaddwd %%ymm15, %%ymm14, %%ymm12\n\t" \
  "vpaddd %%ymm12, %%ymm" #i ", %%ymm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n)
    __asm__ volatile(TIMES_8(STEP) TIMES_4(STEP, 8, 9, 10, 11)::: LOW_REGISTERS);
#undef STEP
}

// Nibbles of a ^ b looked up in a table, counted in bytes.
AVX2 void avx2_vpshufb() {
#define STEP(i)                           \
  "vpxor %%ymm15, %%ymm14, %%ymm10\n\t"   \
  "vpand %%ymm10, %%ymm13, %%ymm11\n\t"   \
  "vpsrlw $4, %%ymm10, %%ymm10\n\t"       \
  "vpand %%ymm10, %%ymm13, %%ymm10\n\t"   \
  "vpshufb %%ymm11, %%ymm12, %%ymm11\n\t" \
  "vpshufb %%ymm10, %%ymm12, %%ymm10\n\t" \
  "vpaddb %%ymm11, %%ymm10, %%ymm10\n\t"  \
  "vpaddb %%ymm10, %%ymm" #i ", %%ymm" #i "\n\t"
  for (std::size_t n = 0; n < kRounds; ++n) __asm__ volatile(TIMES_8(STEP)::: LOW_REGISTERS);
#undef STEP
}

constexpr Sequence kSequences[] = {
    {"avx512", "fma", 16.0 * 16 * kRounds, avx512_fma},
    {"avx512", "vpdpbusd", 16.0 * 64 * kRounds, avx512_vpdpbusd},
    {"avx512", "vpopcntd", 16.0 * 512 * kRounds, avx512_vpopcntd},
    {"avx512", "ternary_decode", 16.0 * 64 * kRounds, avx512_ternary_decode},
    {"avx512", "binary_decode", 16.0 * 64 * kRounds, avx512_binary_decode},
    {"avx2", "fma", 12.0 * 8 * kRounds, avx2_fma},
    {"avx2", "vpmaddubsw", 12.0 * 32 * kRounds, avx2_vpmaddubsw},
    {"avx2", "vpmaddwd", 12.0 * 16 * kRounds, avx2_vpmaddwd},
    {"avx2", "vpshufb", 8.0 * 256 * kRounds, avx2_vpshufb},
};

#define READ(i) "vmovdqu64 " #i "*64(%0), %%zmm" #i "\n\t"
AVX512 void read_avx512(const std::uint8_t* data, std::size_t count) {
  for (std::size_t at = 0; at + 512 <= count; at += 512)
    __asm__ volatile(TIMES_8(READ)::"r"(data + at) : "memory", LOW_REGISTERS);
}
#undef READ

#define READ(i) "vmovdqu " #i "*32(%0), %%ymm" #i "\n\t"
AVX2 void read_avx2(const std::uint8_t* data, std::size_t count) {
  for (std::size_t at = 0; at + 512 <= count; at += 512)
    __asm__ volatile(TIMES_16(READ)::"r"(data + at) : "memory", LOW_REGISTERS);
}
#undef READ

#else

constexpr Sequence kSequences[] = {{"", "", 0, nullptr}};

#endif

void read_words(const std::uint8_t* data, std::size_t count) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at + 512 <= count; at += 8) {
    std::uint64_t word;
    __builtin_memcpy(&word, data + at, sizeof word);
    sum ^= word;
  }
  __asm__ volatile("" ::"r"(sum));
}

using Reader = void (*)(const std::uint8_t*, std::size_t);

Reader best_reader() {
#if defined(__x86_64__)
  const std::string best = available_implementations().front()->name;
  if (best == "avx512") return read_avx512;
  if (best == "avx2") return read_avx2;
#endif
  return read_words;
}

}  // namespace

std::vector<std::string> peak_sequences(const std::string& isa) {
  std::vector<std::string> names;
  for (const Sequence& sequence : kSequences) {
    if (!isa.empty() && isa == sequence.isa) names.emplace_back(sequence.name);
  }
  return names;
}

double peak_macs_per_s(const std::string& isa, const std::string& name) {
  const auto available = available_implementations();
  const bool runs_here =
      std::any_of(available.begin(), available.end(),
                  [&](const Implementation* implementation) { return isa == implementation->name; });
  for (const Sequence& sequence : kSequences) {
    if (!runs_here || isa != sequence.isa || name != sequence.name) continue;
    const double begin = seconds_now();
    sequence.run();
    return sequence.macs / (seconds_now() - begin);
  }
  throw KernelError("No sequence '" + name + "' can run here for '" + isa +
                    "'. Ask `peak_sequences` for those that can.");
}

double read_bytes_per_s(const std::uint8_t* data, std::size_t count) {
  static const Reader read = best_reader();
  if (count < 512)
    throw KernelError("A read is timed over at least 512 bytes; got " + std::to_string(count) + ".");
  const std::size_t skipped = (64 - reinterpret_cast<std::uintptr_t>(data) % 64) % 64;
  data += skipped;
  count -= skipped;
  const std::size_t passes = (kLeastBytes + count - 1) / count;
  read(data, count);
  const double begin = seconds_now();
  for (std::size_t pass = 0; pass < passes; ++pass) read(data, count);
  return static_cast<double>(passes * count) / (seconds_now() - begin);
}

}  // namespace mpsearch
