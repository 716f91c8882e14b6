// For the files with x86 vector code only.
//
// A function hands back vector registers whose upper halves are zero, or the SSE code of its callers
// (PyTorch's sgemv, for one) runs at half its speed. gcc sees to it, but not where vectors are passed between
// functions.
#pragma once

#include <immintrin.h>

namespace mpsearch {
namespace {

template <auto Kernel, class Args>
void zero_upper(const Args& args) noexcept {
  Kernel(args);
  _mm256_zeroupper();
}

}  // namespace
}  // namespace mpsearch
